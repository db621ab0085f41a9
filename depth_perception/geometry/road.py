"""The road: the plane that most of the lower half of a depth image lies on, and the strip of it that the car is about to drive."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.geometry import camera

# What is looked at of a scan: the road near the car, without what stands beside it; so many returns on it make a plane.
SCAN_HALF_WIDTH_M, SCAN_REACH_M, SCAN_RETURNS = 4.0, 25.0, 40
# The strip ahead: nearer is the bonnet, farther the road flows too little and is too seldom flat.
HALF_WIDTH_M, NEAR_M, FAR_M = 1.5, 3.0, 18.0
STANDING = 0.75  # what is nearer than this share of the road's distance stands on it
SCAN_BELOW = 0.2  # at most so many returns beneath it, for one on it


def fit(depth: np.ndarray, K: np.ndarray, *, near_log: float = 0.05, iterations: int = 6) -> np.ndarray:
    """(3,) n with n . X = 1 for points X of the road, camera frame, 1/metres; robust, for cars stand on it. Zero when there is none.

    Args:
        depth: (h, w) metres, K: (3, 3) of that size.
        near_log: a relative distance from the plane at which a point has lost most of its say.
    """
    height, width = depth.shape
    top = int(np.clip(max(K[1, 2] + 0.08 * height, 0.5 * height), 0, height))
    rays = camera.rays(K, height=height, width=width)[top::2, ::4].reshape(-1, 3).astype(np.float64)
    z = depth[top::2, ::4].reshape(-1).astype(np.float64)
    usable = np.isfinite(z) & (z > 0)
    points = rays[usable] * z[usable, None]
    return np.zeros(3) if len(points) < 50 else _plane(points, near_log, iterations)


def in_scan(depth: np.ndarray, K: np.ndarray, *, near_log: float = 0.03) -> np.ndarray | None:
    """(3,) n as of `fit`, from LiDAR returns in the image; None when too few of them lie on one plane under the camera.

    Args:
        depth: (h, w) metres where a return falls, NaN elsewhere. K: (3, 3) of that size.
    """
    v, u = np.nonzero((depth > 0) & (depth < SCAN_REACH_M))
    points = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(len(u))], 1) * depth[v, u, None].astype(np.float64)
    points = points[(np.abs(points[:, 0]) < SCAN_HALF_WIDTH_M) & (points[:, 1] > 0.05 * depth.shape[0] / K[1, 1] * points[:, 2])]
    if len(points) < SCAN_RETURNS:
        return None
    n = _plane(points, near_log, 8)
    off = points @ n - 1
    returns = int((np.abs(off) < near_log).sum())
    # Nothing lies under the road: a plane with much below it is the side of a bus.
    beneath = int((off > 2 * near_log).sum())
    return n if returns >= SCAN_RETURNS and beneath < SCAN_BELOW * returns and n[1] > 0.5 * np.linalg.norm(n) else None


def _plane(points: np.ndarray, near_log: float, iterations: int) -> np.ndarray:
    """(3,) n of the plane that most of (N, 3) points lie on."""
    # Start level, as deep as most points lie; then a plane, with the tolerance narrowed step by step.
    n = np.array([0, 1 / max(float(np.quantile(points[:, 1], 0.7)), 0.1), 0])
    for step in range(iterations):
        off = points @ n - 1
        weight = 1 / (1 + (off / max(near_log, 0.3 / (step + 1))) ** 2) ** 2
        weighted = points * weight[:, None]
        n = np.linalg.solve(weighted.T @ points + 0.01 * np.eye(3), weighted.sum(0) + 0.01 * n)
    return n


def on_road(n: np.ndarray, rays: np.ndarray, depth: np.ndarray, *, within_log: float = 0.15, reach_m: float = 25.0) -> np.ndarray:
    """(N,) bool: whether points at `depth` (N,) along `rays` (N, 3) lie on the plane n, not farther than `reach_m`."""
    share = rays @ n  # one over the distance at which the ray meets the road
    with np.errstate(divide="ignore", invalid="ignore"):
        return (share > 1 / reach_m) & (np.abs(np.log(depth * share)) < within_log)


def homography(n: np.ndarray, K: np.ndarray, T: np.ndarray) -> np.ndarray:
    """(3, 3) H: where a pixel of the plane n lies after the motion T_now_before, homogeneous pixels."""
    return K @ (T[:3, :3] + np.outer(T[:3, 3], n)) @ np.linalg.inv(K)


def _middle(T: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Metres to the right, at distances z, of where the car will be that goes on as it does in T_now_before."""
    way = -T[:3, :3].T @ T[:3, 3]
    length = float(np.linalg.norm(way))
    if length < 0.1:  # standing still tells no way
        return np.zeros_like(z)
    bend = float(np.clip(T[2, 0] / length, -0.05, 0.05))
    slant = float(np.clip(way[0] / max(way[2], 0.1) - bend * length / 2, -0.1, 0.1))
    return slant * z + 0.5 * bend * z**2


def ahead(
    n: np.ndarray, K: np.ndarray, T: np.ndarray, *, half_width_m: float = HALF_WIDTH_M, near_m: float = NEAR_M, far_m: float = FAR_M
) -> np.ndarray:
    """(14, 2) pixels around the strip of road that the car is about to drive, going on as it does in T_now_before.

    A kerb or a parked car is beside it, in a bend too: the strip bends with the way.
    """
    z = np.linspace(near_m, far_m, 7)
    middle = _middle(T, z)
    x = np.concatenate([middle - half_width_m, (middle + half_width_m)[::-1]])
    z = np.concatenate([z, z[::-1]])
    y = (1 - n[0] * x - n[2] * z) / n[1]
    return np.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], 1)


def within(n: np.ndarray, rays: np.ndarray, T: np.ndarray, *, half_width_m: float, far_m: float = FAR_M) -> np.ndarray:
    """(N,) bool: whether (N, 3) rays meet the plane n in such a strip."""
    share = np.maximum(rays @ n, 1e-3)
    z = 1 / share
    return (z < far_m) & (np.abs(rays[:, 0] * z - _middle(T, z)) < half_width_m)


def free_m(n: np.ndarray, K: np.ndarray, depth: np.ndarray, outline: np.ndarray) -> float:
    """Distance of the nearest thing that stands within `outline` ((k, 2) pixels of depth), metres; inf when the road is free.

    What stands there hides the road behind it: depth (h, w) is much less than the plane's.
    """
    strip = np.zeros(depth.shape, np.uint8)
    cv2.fillPoly(strip, [np.rint(outline).clip(-(2**15), 2**15).astype(np.int32)], 1)
    v, u = np.nonzero(strip)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(len(u))], 1)
    z = depth[v, u]
    standing = z[z * (rays @ n) < STANDING]
    # A few pixels are noise.
    return float(np.quantile(standing, 0.1)) if len(standing) > 10 else np.inf
