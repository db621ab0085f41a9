"""A bag through the nodes into a new bag that also has their outputs, for training and comparison; ends by itself.

ros2 launch depth_perception replay.launch.py bag:=drive.mcap out:=drive_with_depth
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from depth_perception.nodes.launching import Bringup, declared, transport

ARGUMENTS = (
    "bag", "out", "image", "camera_info", "points", "namespace", "params_file", "systems", "model", "engine", "composed", "rate",
    "log_level",
)  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    """The arguments, the transport that carries images, and what they ask for."""
    return LaunchDescription([*declared(*ARGUMENTS), *transport(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The nodes, the recorder and the bag."""
    replay = Bringup.read(context, needs=("bag", "out"))
    return [*replay.perception(), *replay.recorder(), *replay.player()]
