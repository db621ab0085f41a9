"""ROS lives here and nowhere else: messages in, systems.*.step, messages out."""

from depth_perception.memory import share_one_heap

share_one_heap()  # before anything else of ROS: what rclpy imports starts threads, each with a heap of its own
