"""The one place that knows which ROS packages an installation may lack."""

from __future__ import annotations

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # the PyPI wheels do not carry it; the environment builds it where it can
    TFMessage = None

try:
    from vision_msgs.msg import Detection3DArray
except ImportError:  # not among the common interfaces; objects are published as markers in any case
    Detection3DArray = None

MISSING = [] if TFMessage else ["tf2_msgs is not installed: TF is neither read nor published, extrinsics come as parameters"]
