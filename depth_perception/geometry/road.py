"""The road in a depth image: the plane that most of the lower half lies on."""

from __future__ import annotations

import numpy as np

from depth_perception.geometry import camera


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
    if len(points) < 50:
        return np.zeros(3)
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
