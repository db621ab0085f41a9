"""Scans in the camera: projection, motion to another time, and beams."""

from __future__ import annotations

import numpy as np

from depth_perception.frame import Calibration, Scan
from depth_perception.geometry import camera, pose
from depth_perception.geometry.deskew import deskew


def in_camera(scan: Scan, calibration: Calibration, *, every: int = 1) -> np.ndarray:
    """(N, 3) float32 points of a scan in the camera frame, metres; `every` n-th point only.

    Where the scan knows the LiDAR's motion and its points' times, they are deskewed first, these points and no others.
    """
    assert calibration.T_camera_lidar is not None, "the caller checks that the extrinsics are known"
    points = scan.points[::every]
    if scan.twist is not None:
        seconds = scan.seconds_of(points) if scan.seconds_of is not None else None if scan.time_s is None else scan.time_s[::every]
        if seconds is not None:
            points = deskew(points, seconds, scan.twist)
    return pose.transform(calibration.T_camera_lidar, points)


def depth_image(scan: Scan, calibration: Calibration) -> np.ndarray:
    """(H, W) float32 sparse depth of a scan in its camera, metres, NaN where no point falls."""
    return camera.z_buffer(calibration.K, in_camera(scan, calibration), height=calibration.height, width=calibration.width)


def beam_index(scan: Scan) -> np.ndarray:
    """(N,) int beam (ring) of each point.

    Without a ring field, points are sorted into 64 elevation bins between the scan's 0.5 % and 99.5 % elevations:
    not the sensor's own numbering, but points of one bin are neighbours in elevation, which is what splitting needs.
    """
    if scan.ring is not None:
        return scan.ring
    x, y, z = scan.points.T
    elevation = np.arctan2(z, np.hypot(x, y))
    if len(elevation) == 0:
        return np.zeros(0, np.int64)
    low, high = np.quantile(elevation, [0.005, 0.995])
    return np.clip((elevation - low) / max(high - low, 1e-6) * 64, 0, 63).astype(np.int64)
