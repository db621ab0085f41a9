"""Records a drive.

ros2 launch depth_perception record.launch.py path:=drive topics:="/camera/image_raw /camera/camera_info /lidar/points /tf /tf_static"
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from depth_perception.nodes.launching import Bringup, declared, recorder, transport

ARGUMENTS = ("path", "topics", "namespace", "use_sim_time")


def generate_launch_description() -> LaunchDescription:
    """The arguments, the transport that carries images, and the recorder."""
    return LaunchDescription([*declared(*ARGUMENTS), *transport(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The recorder."""
    given = Bringup.read(context).given
    use_sim_time = given["use_sim_time"] == "true"
    return [recorder(given["path"], given["topics"].split(), namespace=given["namespace"], use_sim_time=use_sim_time)]
