"""A cloud from above: what stands in each cell, told by statistics that need no learning (S3 claim 7, pillar pooling [recon])."""

from __future__ import annotations

import numpy as np

from depth_perception.geometry import ground as grounds
from depth_perception.geometry.grid import Grid

# Heights above the ground, metres: slices of half a metre, the first from a quarter below the ground. What is deeper is no return of
# this road, what is higher is a crown or a bridge.
LOWEST_M, SLICE_M, SLICES = -0.25, 0.5, 9
DEEPEST_M, HIGHEST_M = -1.5, LOWEST_M + SLICES * SLICE_M
# log(1 + count) / LOG_COUNT, mean, greatest and least height in metres, offset of the mean from the cell's centre along x and y in
# cells, then for each slice of height whether a return lies in it. An empty cell is all zeros.
CHANNELS = 6 + SLICES
LOG_COUNT = 4.0
GROUND_REACH_M, GROUND_POINTS = 40.0, 25_000


def ground_of(points: np.ndarray) -> np.ndarray:
    """(3,) plane of the ground that `pillars` subtracts when it is told none: of what lies within 40 m, of about 25 000 points."""
    # An odd step meets every ring of a scan whose points come ring by ring.
    return grounds.plane(points[:: len(points) // GROUND_POINTS | 1], reach_m=GROUND_REACH_M)


def pillars(points: np.ndarray, grid: Grid, *, ground: np.ndarray | None = None) -> np.ndarray:
    """(N, 3) points in metres, body frame -> (CHANNELS, rows, columns) float32; no intensity, which differs between sensors.

    Args:
        ground: (3,) plane of the ground (geometry.ground), which heights are above; `ground_of(points)` when None.
    """
    points = np.asarray(points, np.float32, order="F")  # x, y and z are gone over by themselves
    ground = ground_of(points) if ground is None else ground
    height = points[:, 2] - grounds.level(ground, points)
    row, column = grid.places(points)
    kept = (row >= 0) & (row < grid.rows) & (column >= 0) & (column < grid.columns) & (height >= DEEPEST_M) & (height < HIGHEST_M)
    keep = np.flatnonzero(kept)
    height, row, column = height[keep], row[keep], column[keep]
    whole_row, whole_column = row.astype(np.int64), column.astype(np.int64)
    cell = whole_row * grid.columns + whole_column

    cells = grid.outside
    out = np.zeros((CHANNELS, cells), np.float32)
    count = np.bincount(cell, minlength=cells)
    some = np.maximum(count, 1)
    out[0] = np.log1p(count) / LOG_COUNT
    out[1] = np.bincount(cell, height, minlength=cells) / some
    filled = count > 0
    for channel, choose, worst in ((2, np.maximum, -np.inf), (3, np.minimum, np.inf)):
        extreme = np.full(cells, worst, np.float32)
        choose.at(extreme, cell, height)
        np.copyto(out[channel], extreme, where=filled)
    for channel, place, whole in ((4, column, whole_column), (5, row, whole_row)):
        out[channel] = np.bincount(cell, place - whole - np.float32(0.5), minlength=cells) / some
    piece = np.maximum((height - np.float32(LOWEST_M)) / np.float32(SLICE_M), 0).astype(np.int64)
    out[6:].reshape(-1)[np.minimum(piece, SLICES - 1) * cells + cell] = 1.0
    return out.reshape(CHANNELS, grid.rows, grid.columns)
