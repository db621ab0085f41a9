"""Drives: all systems in one process, on the vehicle's own topics.

ros2 launch depth_perception drive.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info points:=/lidar/points
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

TOPICS = {
    "image": "the camera's images (sensor_msgs/Image)",
    "camera_info": "their calibration (sensor_msgs/CameraInfo)",
    "points": "LiDAR scans (sensor_msgs/PointCloud2); without them depth has the network's own scale",
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, the transport that carries images, and the node."""
    config = os.path.join(get_package_share_directory("depth_perception"), "config")
    profile = os.path.join(config, "fastdds.xml")
    return LaunchDescription([
        *(DeclareLaunchArgument(topic, default_value=topic, description=meaning) for topic, meaning in TOPICS.items()),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the node and its outputs"),
        DeclareLaunchArgument("params_file", default_value=os.path.join(config, "drive.yaml"), description="ROS parameters (YAML)"),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error"),
        # A profile that is set already stays. Two names: the second is the one before Kilted.
        *(SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=profile))
          for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")),
        Node(
            package="depth_perception",
            executable="drive",
            name="drive",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file")],
            remappings=[(topic, LaunchConfiguration(topic)) for topic in TOPICS],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        ),
    ])
