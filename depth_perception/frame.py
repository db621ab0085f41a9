"""The nouns: what a car's sensors say at one moment, as plain numpy.

Conventions, kept by every name in the package:
`T_b_a` maps points of frame a into frame b. A camera frame is x right, y down, z forward (optical, REP 103);
the body frame is x forward, y left, z up. Depth is z in metres, NaN where there is none. Time is integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np


class BadInput(ValueError):
    """Input that cannot be used, said in one sentence that names what was wanted and what came.

    The command line prints the sentence and exits 2; a node skips the frame and puts it into a diagnostic.
    """


@dataclass(frozen=True, eq=False)
class Calibration:
    """A rectified pinhole camera and where it stands.

    Attributes:
        K: (3, 3) float64 intrinsics, pixels of an image of `width` x `height`.
        width, height: image size, pixels.
        frame_id: name of the camera's optical frame.
        T_base_camera: (4, 4) optical camera frame -> body frame, metres; None when unknown.
        T_camera_lidar: (4, 4) LiDAR frame -> optical camera frame, metres; None when unknown.
        base_frame: name of the body frame.
        is_guess: whether `base_frame` is merely the topmost frame above the camera that is known so far.
    """

    K: np.ndarray
    width: int
    height: int
    frame_id: str = "camera"
    T_base_camera: np.ndarray | None = None
    T_camera_lidar: np.ndarray | None = None
    base_frame: str = "base_link"
    is_guess: bool = False

    def __post_init__(self) -> None:
        K = np.asarray(self.K, np.float64)
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise BadInput(f"K: wanted a finite 3x3 matrix, got shape {K.shape}: {K.ravel().tolist()}")
        if self.width <= 0 or self.height <= 0:
            raise BadInput(f"image size: wanted positive pixels, got {self.width}x{self.height}")
        fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
        if fx <= 0 or fy <= 0:
            raise BadInput(f"K: wanted positive focal lengths, got fx={fx:g} fy={fy:g} (an uncalibrated camera?)")
        # A region of interest may well leave the centre out, but not by a whole image.
        if not (-self.width < cx < 2 * self.width and -self.height < cy < 2 * self.height):
            raise BadInput(f"K: its centre ({cx:g}, {cy:g}) lies far outside the {self.width}x{self.height} image it came with")
        object.__setattr__(self, "K", K)
        for name in ("T_base_camera", "T_camera_lidar"):
            T = getattr(self, name)
            if T is not None:
                object.__setattr__(self, name, as_transform(name, T))

    @property
    def body_frame(self) -> str:
        """Name of the frame that body coordinates are in: where nobody knows the body, axes like its own in the camera's place."""
        return self.base_frame if self.T_base_camera is not None else f"{self.frame_id}_body"


@dataclass(frozen=True, eq=False)
class Scan:
    """One LiDAR sweep, finite points only.

    Attributes:
        points: (N, 3) float32, metres, LiDAR frame.
        stamp_ns: time of the sweep, nanoseconds.
        intensity: (N,) float32 or None.
        ring: (N,) int32 beam index or None.
        time_s: (N,) float32 seconds relative to `stamp_ns`, or None.
        frame_id: name of the LiDAR frame.
        twist: (6,) how the LiDAR itself moved during the sweep, linear m/s and angular rad/s in its own frame; None when unknown.
        seconds_of: (M, 3) points -> (M,) seconds relative to `stamp_ns`, asked instead of `time_s`; None when `time_s` tells.
    """

    points: np.ndarray
    stamp_ns: int
    intensity: np.ndarray | None = None
    ring: np.ndarray | None = None
    time_s: np.ndarray | None = None
    frame_id: str = "lidar"
    twist: np.ndarray | None = None
    seconds_of: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera image and what belongs to it.

    Attributes:
        image: (H, W, 3) uint8 RGB; may be a read-only view into the message it came from.
        stamp_ns: time of the exposure, nanoseconds.
        calibration: the camera; its size is the image's size.
        scan: the LiDAR sweep paired with the image, or None. Its `stamp_ns` may differ from the image's.
    """

    image: np.ndarray
    stamp_ns: int
    calibration: Calibration
    scan: Scan | None = None

    def __post_init__(self) -> None:
        wanted = (self.calibration.height, self.calibration.width, 3)
        if self.image.shape != wanted or self.image.dtype != np.uint8:
            raise BadInput(f"image: its calibration wants uint8 {wanted}, got {self.image.dtype} {self.image.shape}")


def ranged(default: float, least: float, most: float) -> Any:
    """A Config field that `check_ranges` holds between two values, and that a node's parameter description shows with them."""
    return field(default=default, metadata={"range": (least, most)})


def check_ranges(config: Any) -> None:
    """BadInput naming the first `ranged` field of a Config whose value lies outside."""
    for each in fields(config):
        value = getattr(config, each.name)
        least, most = each.metadata.get("range", (None, None))
        if least is not None and not least <= value <= most:
            room = type(config).__module__.rpartition(".")[2]
            raise BadInput(f"{room}.{each.name}: wanted a number from {least:g} to {most:g}, got {value}")


def as_transform(name: str, T: np.ndarray) -> np.ndarray:
    """A checked (4, 4) float64 rigid transform, or BadInput naming `name`."""
    T = np.asarray(T, np.float64)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise BadInput(f"{name}: wanted a finite 4x4 transform, got shape {T.shape}")
    if (
        not np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-3)
        or np.linalg.det(T[:3, :3]) < 0
        or not np.allclose(T[3], [0, 0, 0, 1])
    ):
        raise BadInput(f"{name}: wanted a rotation and a translation, got {np.round(T, 4).tolist()}")
    return T
