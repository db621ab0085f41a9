"""The parameters `input.*`: what the sensors send, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry import pose

EXTRINSICS = ("T_base_camera", "T_camera_lidar")


@dataclass(frozen=True)
class Config:
    """Attributes:
    compressed: the image topic carries sensor_msgs/CompressedImage.
    calibration: YAML file with the camera's calibration, instead of CameraInfo and of what TF says about its frames; empty: none.
    max_scan_delay_s: a scan older than this, seen from the image, is not paired with it.
    scan_offset_s: seconds to add to a scan's stamp to have it in the camera's time.
    base_frame: name of the body frame in TF; empty: base_link, or the root above the camera.
    T_base_camera, T_camera_lidar: x y z (metres) and qx qy qz qw, instead of what TF says; empty: what TF says.
    """

    compressed: bool = False
    calibration: str = ""
    max_scan_delay_s: float = ranged(0.15, 0, 10)
    scan_offset_s: float = ranged(0.0, -10, 10)
    base_frame: str = ""
    T_base_camera: tuple[float, ...] = ()
    T_camera_lidar: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in EXTRINSICS:
            self.transform(name)

    def transform(self, name: str) -> np.ndarray | None:
        """(4, 4) of T_base_camera or T_camera_lidar; None when it is not given."""
        values = getattr(self, name)
        if not values:
            return None
        if len(values) != 7 or not np.isfinite(values).all():
            raise BadInput(f"input.{name}: wanted 7 numbers (x y z qx qy qz qw), got {list(values)}")
        try:
            return pose.from_quaternion(np.array(values[:3]), np.array(values[3:]))
        except BadInput as error:
            raise BadInput(f"input.{name}: {error}") from None
