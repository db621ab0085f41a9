"""A LiDAR turns while the car drives: every point is seen from another place. Deskewing puts them all where the scan's stamp is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from depth_perception.frame import BadInput, check_ranges, ranged


@dataclass(frozen=True)
class Config:
    """Attributes:
    mode: off; time: by the per-point time where the cloud has it, untouched where it has not; azimuth: by the azimuth of each point,
        whatever the cloud says.
    sweep_s: how long the LiDAR takes for one turn, seconds (azimuth only).
    start_deg: azimuth at which a sweep begins, degrees from the LiDAR's x towards its y (azimuth only).
    clockwise: turns clockwise seen from above (azimuth only).
    stamp_at: where in the sweep the scan's stamp lies, 0 its beginning, 1 its end (azimuth only).
    """

    mode: Literal["off", "time", "azimuth"] = "time"
    sweep_s: float = ranged(0.1, 0.005, 1)
    start_deg: float = ranged(180.0, -360, 360)
    clockwise: bool = True
    stamp_at: float = ranged(0.0, 0, 1)

    def __post_init__(self) -> None:
        if self.mode not in ("off", "time", "azimuth"):
            raise BadInput(f"deskew.mode: wanted off, time or azimuth, got {self.mode!r}")
        check_ranges(self)

    def seconds_of(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points, LiDAR frame -> (N,) float32 seconds relative to the scan's stamp, by azimuth."""
        azimuth = np.arctan2(points[:, 1], points[:, 0])
        return seconds_by_azimuth(
            azimuth, sweep_s=self.sweep_s, start_deg=self.start_deg, clockwise=self.clockwise, stamp_at=self.stamp_at
        )


def seconds_by_azimuth(azimuth: np.ndarray, *, sweep_s: float, start_deg: float, clockwise: bool, stamp_at: float) -> np.ndarray:
    """(N,) azimuths in radians -> (N,) float32 seconds relative to the stamp of a LiDAR that turns evenly; see `Config`."""
    turned = np.deg2rad(start_deg) - azimuth if clockwise else azimuth - np.deg2rad(start_deg)
    share = np.mod(turned / (2 * np.pi), 1.0)
    return ((share - stamp_at) * sweep_s).astype(np.float32)


def deskew(points: np.ndarray, seconds: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Points as they were measured -> as seen from where the LiDAR was at the scan's stamp.

    Every point is moved by `pose.from_rotation_vector(angular * t, linear * t)`, all at once: the axis is the same for all (Rodrigues).

    Args:
        points: (N, 3) float32, metres, each in the LiDAR frame of its own moment.
        seconds: (N,) when each was measured, relative to the stamp.
        twist: (6,) the LiDAR's own constant velocity in its own frame, linear m/s and angular rad/s.
    Returns:
        (N, 3) of the points' dtype, LiDAR frame at the stamp.
    """
    seconds = seconds.astype(points.dtype)[:, None]
    moved = points + seconds * np.asarray(twist[:3], points.dtype)
    speed = float(np.linalg.norm(twist[3:]))
    if speed > 0:
        x, y, z = twist[3:] / speed
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        half = np.sin(seconds * points.dtype.type(speed / 2))
        # What Rodrigues adds to p, with 1 - cos as 2 sin^2 of the half: nothing is lost where the angle is small.
        moved += np.sin(seconds * points.dtype.type(speed)) * (points @ skew.T.astype(points.dtype))
        moved += 2 * half * half * (points @ (skew @ skew).T.astype(points.dtype))
    return moved
