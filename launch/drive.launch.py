"""Drives on the vehicle's own topics, or on a bag's.

ros2 launch depth_perception drive.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info points:=/lidar/points
ros2 launch depth_perception drive.launch.py params_file:=drive.yaml view:=true
ros2 launch depth_perception drive.launch.py bag:=drive.mcap rviz:=true
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from depth_perception.nodes.launching import Bringup, declared, transport

ARGUMENTS = (
    "image", "camera_info", "points", "namespace", "params_file", "systems", "model", "engine", "composed",
    "bag", "rate", "record", "rviz", "view", "respawn", "use_sim_time", "log_level",
)  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    """The arguments, the transport that carries images, and what they ask for."""
    return LaunchDescription([*declared(*ARGUMENTS), *transport(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The nodes; the bag, the recorder, RViz and the viewer when they are wanted."""
    drive = Bringup.read(context)
    return [*drive.perception(), *drive.recorder(), *drive.rviz(), *drive.view(), *drive.player()]
