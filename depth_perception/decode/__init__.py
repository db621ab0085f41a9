"""Messages -> the parts of a Frame.

Only attributes are read, so a live message and one from a bag both pass. Everything that does not fit raises BadInput.
"""

from depth_perception.decode.calibrations import (
    calibration,
    camera_key,
    completed,
    disagreement,
    disagreements,
    read_calibration,
    transforms,
)
from depth_perception.decode.clouds import scan, scan_offset_ns
from depth_perception.decode.images import compressed_image, depth_image, image
from depth_perception.decode.pairing import Pairing
from depth_perception.decode.serialized import serialized_cloud, serialized_image
from depth_perception.decode.stamps import stamp_ns
from depth_perception.geometry.distortion import Rectifier

__all__ = [
    "Pairing",
    "Rectifier",
    "calibration",
    "camera_key",
    "completed",
    "compressed_image",
    "depth_image",
    "disagreement",
    "disagreements",
    "image",
    "read_calibration",
    "scan",
    "scan_offset_ns",
    "serialized_cloud",
    "serialized_image",
    "stamp_ns",
    "transforms",
]
