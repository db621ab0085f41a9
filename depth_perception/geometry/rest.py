"""Whether a picture shows any parallax: where one rotation explains most of it, the camera stands or nearly so.

Then nothing can be learnt of depth from the motion, and depth left free follows whatever moves: points that stay where they are agree with
any step that a turn undoes at a depth of their own choice, and the few that do move, a lorry driving by or a bird, decide which.
"""

from __future__ import annotations

import numpy as np

from depth_perception.geometry import pose

PATCH = 0.1  # side of the part of the picture that has one vote, focal lengths
NARROWING = (8.0, 4.0, 2.0, 1.0, 1.0)  # standard deviations of a pixel that still count, iteration by iteration
STILL = 3.0  # a point so many of them from where a rotation puts it has stayed


def rotation(rays: np.ndarray, seen: np.ndarray, *, pixel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotation that explains most of the picture, and which points it explains.

    Every patch of the picture has the same say, however many corners are on it: what drives by may be full of them.

    Args:
        rays: (N, 3) directions of the points before, z = 1. seen: (N, 2) x/z, y/z now. pixel: (N,) standard deviation of `seen`.
    Returns:
        (4, 4) T_now_before without translation, and (N,) bool.
    """
    u, v = seen.T
    # By a small rotation of the points now, where they are seen: what was turned right lies there, and what was not counts for nothing.
    A = np.concatenate([np.stack([-u * v, 1 + u * u, -v], 1), np.stack([-1 - v * v, u * v, u], 1)]) / np.tile(pixel, 2)[:, None]
    say = votes(rays)
    right, down = (_median(flow, say) for flow in (seen - rays[:, :2]).T)
    T = pose.from_rotation_vector(np.array([-down, right, 0.0]), np.zeros(3))
    off = _off(T[:3, :3], rays, seen, pixel)
    for narrow in NARROWING:
        weight = say / (1 + (off**2).sum(0) / narrow**2) ** 2
        weighted = A * np.tile(weight, 2)[:, None]
        # Known to a radian before any point is looked at, so that there is a solution without one.
        T[:3, :3] = pose.exp_so3(np.linalg.solve(weighted.T @ A + np.eye(3), weighted.T @ off.reshape(-1))) @ T[:3, :3]
        off = _off(T[:3, :3], rays, seen, pixel)
    return T, (off**2).sum(0) < STILL**2


def share(chosen: np.ndarray, rays: np.ndarray) -> float:
    """Share of the picture, patch by patch, where points are `chosen` (N,); 1 without points."""
    return float(np.average(chosen, weights=votes(rays))) if len(rays) else 1.0


def votes(rays: np.ndarray) -> np.ndarray:
    """(N,) weight of each of (N, 3) points, z = 1: one vote for a patch of the picture, shared by its points."""
    column, row = np.floor(rays[:, :2] / PATCH).astype(int).T
    _, patch, count = np.unique(column * 10_000 + row, return_inverse=True, return_counts=True)
    return 1 / count[patch]


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values)
    half = np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())
    return float(values[order[half]]) if len(values) else 0.0


def _off(R: np.ndarray, rays: np.ndarray, seen: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """(2, N) standard deviations of a pixel from where R puts a point to where it is seen."""
    x, y, z = R @ rays.T
    return (seen.T - np.stack([x / z, y / z])) / pixel
