"""The world from above: voxel thinning and an occupancy grid."""

from __future__ import annotations

import numpy as np


def thin(points: np.ndarray, *, voxel: float) -> np.ndarray:
    """Indices (M,) of one point per cube of `voxel` metres: the first of each, in order. points: (N, 3) metres."""
    if len(points) == 0:
        return np.zeros(0, np.int64)
    cell = np.floor(points / voxel).astype(np.int64)
    cell -= cell.min(0)
    span = cell.max(0) + 1
    key = (cell[:, 0] * span[1] + cell[:, 1]) * span[2] + cell[:, 2]
    _, first = np.unique(key, return_index=True)
    return np.sort(first)


def cells(points: np.ndarray, *, origin: tuple[float, float], cell: float, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(N, >=2) points -> (N,) flat cell index (row-major, row along y) and (N,) inside mask.

    origin: x, y of the grid's corner in metres; shape: (rows along y, columns along x).
    """
    column = np.floor((points[:, 0] - origin[0]) / cell).astype(np.int64)
    row = np.floor((points[:, 1] - origin[1]) / cell).astype(np.int64)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    return row * shape[1] + column, inside
