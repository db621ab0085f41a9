"""ROS lives here and nowhere else: messages in, systems.*.step, messages out."""
