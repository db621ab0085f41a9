"""The ground under a cloud in the body frame. The body's zero may be anywhere (KITTI's is the IMU, 0.93 m up): heights are above this."""

from __future__ import annotations

import numpy as np

SQUARE_M, REACH_M = 2.0, 300.0


def plane(points: np.ndarray, *, reach_m: float = REACH_M) -> np.ndarray:
    """(3,) a, b, c of the ground z = a x + b y + c from (N, 3) body-frame points within `reach_m` ahead, behind and aside.

    The lowest point of each 2 m square votes; squares that stand above the plane (a wall without visible ground) lose
    their vote over five rounds of least squares. Fewer than ten squares: the level of the lowest tenth. No points: zero.
    """
    points = points[(np.abs(points[:, 0]) < reach_m) & (np.abs(points[:, 1]) < reach_m)]
    if len(points) == 0:
        return np.zeros(3)
    lowest = _lowest(points).astype(np.float64)
    if len(lowest) < 10:
        return np.array([0.0, 0.0, np.quantile(points[:, 2], 0.1)])
    A = np.column_stack([lowest[:, 0], lowest[:, 1], np.ones(len(lowest))])
    z = lowest[:, 2]
    # Start level at the low quarter, with slopes held small by a prior: a road is flatter than a point cloud's noise.
    found = np.array([0.0, 0.0, np.quantile(z, 0.25)])
    prior = np.diag([500.0, 500.0, 1e-6])
    for _ in range(5):
        above = z - A @ found
        weight = 1 / (1 + (np.maximum(above, 0) / 0.2) ** 2 + (np.minimum(above, 0) / 0.5) ** 2)
        found = np.linalg.solve(A.T @ (weight[:, None] * A) + prior, A.T @ (weight * z))
    return found


def level(ground: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) plane, (..., >=2) points, metres -> (...) z of the ground under each, of the points' dtype."""
    a, b, c = ground.astype(points.dtype)
    return points[..., 0] * a + points[..., 1] * b + c


def _lowest(points: np.ndarray) -> np.ndarray:
    """(M, 3) the lowest point of each square that has any."""
    square = np.floor(points[:, :2] / SQUARE_M).astype(np.int64)
    square -= square.min(0)
    key = square[:, 0] * (square[:, 1].max() + 1) + square[:, 1]
    z = np.ascontiguousarray(points[:, 2])
    least = np.full(key.max() + 1, np.inf, z.dtype)
    np.minimum.at(least, key, z)
    at_the_bottom = np.flatnonzero(z == least[key])[::-1]
    which = np.full(len(least), -1, np.int64)
    which[key[at_the_bottom]] = at_the_bottom  # of several as low, the first, for the last to be written stays
    return points[which[which >= 0]]
