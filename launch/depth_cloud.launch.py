"""image_pipeline's depth_image_proc on this package's pair of depth image and CameraInfo: a dense cloud in the camera's frame.

ros2 launch depth_perception depth_cloud.launch.py namespace:=front
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from depth_perception.nodes.launching import Bringup, declared, depth_cloud, transport

ARGUMENTS = ("namespace", "use_sim_time")


def generate_launch_description() -> LaunchDescription:
    """The arguments, the transport that carries images, and the node of depth_image_proc."""
    return LaunchDescription([*declared(*ARGUMENTS), *transport(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The container."""
    given = Bringup.read(context).given
    return [depth_cloud(given["namespace"], use_sim_time=given["use_sim_time"] == "true")]
