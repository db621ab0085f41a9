"""What one image sees of the road's surface: where its paint lies, where a place of the road is in it, and what hides the road.

The map is made by this (marking_map), and compared by it (missing_markings).
"""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.frame import Calibration
from depth_perception.geometry import pose
from depth_perception.systems import marking_instances
from depth_perception.systems.markings import MarkingsOutput

GRAIN = 4  # every so-manieth pixel of the depth tells what hides the road


def painted_points(seen: MarkingsOutput, *, reach_m: float, most: int = 600) -> np.ndarray:
    """(N, 2) body-frame x, y of painted pixels on the road, at most `most`, spread evenly over it: near pixels are many and small."""
    v, u = np.nonzero(seen.mask[::2, ::3])
    pixels = np.column_stack([3 * u, 2 * v])
    if not len(pixels):
        return np.zeros((0, 2))
    points = marking_instances.on_ground(pixels, seen.calibration, seen.plane)
    z = points[:, 2]
    with np.errstate(invalid="ignore"):
        points = points[(z > 0.5) & (z < reach_m)]
    if not len(points):
        return np.zeros((0, 2))
    # One of the pixels of each 10 cm of ground.
    ground = pose.transform(marking_instances.body_of(seen.calibration), points)[:, :2]
    cell = np.floor(ground / 0.1).astype(np.int64)
    _, first = np.unique(cell[:, 0] * 100_003 + cell[:, 1], return_index=True)
    chosen = np.sort(first)
    return ground[chosen[:: max(-(-len(chosen) // most), 1)]]


def project(body: np.ndarray, calibration: Calibration, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) body-frame x, y of points on the road -> (N, 2) int64 pixels x, y and (N,) z, metres; z <= 0: behind the camera."""
    T = marking_instances.body_of(calibration)
    m = T[:3, :3] @ plane
    height = (1 + m @ T[:3, 3] - body @ m[:2]) / m[2]
    points = pose.transform(pose.inverse(T), np.column_stack([body, height]))
    z = points[:, 2]
    ahead = np.maximum(z, 0.1)
    K = calibration.K
    x, y = points[:, 0] / ahead * K[0, 0] + K[0, 2], points[:, 1] / ahead * K[1, 1] + K[1, 2]
    return np.rint(np.clip(np.column_stack([x, y]), -1e6, 1e6)).astype(np.int64), z


def road_free(depth: np.ndarray, plane: np.ndarray, calibration: Calibration, *, hides_m: float) -> np.ndarray:
    """(ceil(H / GRAIN), ceil(W / GRAIN)) bool: where nothing stands on the road. No depth hides, too."""
    coarse = depth[::GRAIN, ::GRAIN]
    K = calibration.K
    u = (np.arange(coarse.shape[1]) * GRAIN - K[0, 2]) / K[0, 0]
    v = (np.arange(coarse.shape[0]) * GRAIN - K[1, 2]) / K[1, 1]
    share = (plane[0] * u + plane[2])[None] + (plane[1] * v)[:, None]
    over = (1 - share.astype(np.float32) * coarse) / np.float32(np.linalg.norm(plane))
    with np.errstate(invalid="ignore"):
        free = (over < hides_m).astype(np.uint8)
    return cv2.erode(free, np.ones((3, 3), np.uint8), borderValue=1) > 0
