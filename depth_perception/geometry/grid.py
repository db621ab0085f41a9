"""The world from above: voxel thinning, and cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_perception.frame import BadInput


@dataclass(frozen=True)
class Grid:
    """A rectangle of ground in the body frame, in square cells: rows along y (to the left), columns along x (ahead); S3 claims 6, 7.

    Attributes:
        x_m, y_m: the corner with the smallest x and y, metres.
        cell_m: edge of a cell, metres.
        rows, columns: how many cells along y and along x.
    """

    x_m: float = 0.0
    y_m: float = -25.6
    cell_m: float = 0.4
    rows: int = 128
    columns: int = 128

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x_m) and math.isfinite(self.y_m) and 0 < self.cell_m < math.inf):
            raise BadInput(f"grid: wanted a finite corner and cells larger than 0 m, got {self}")
        if not (self.rows == int(self.rows) > 0 and self.columns == int(self.columns) > 0):
            raise BadInput(f"grid: wanted whole rows and columns, one at least, got {self.rows}x{self.columns}")

    @property
    def outside(self) -> int:
        """rows * columns: the flat index of whatever lies outside."""
        return self.rows * self.columns

    def coarser(self, times: int) -> Grid:
        """The same ground in cells of `times` the edge; BadInput when they do not fit."""
        if self.rows % times or self.columns % times:
            raise BadInput(f"grid: wanted rows and columns that {times} divides, got {self.rows}x{self.columns}")
        return Grid(self.x_m, self.y_m, self.cell_m * times, self.rows // times, self.columns // times)

    def places(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, >=2) points, metres -> (N,) row and (N,) column in cells, fractions kept: cell i reaches from i to i + 1."""
        kind = points.dtype.type
        return (points[:, 1] - kind(self.y_m)) / kind(self.cell_m), (points[:, 0] - kind(self.x_m)) / kind(self.cell_m)

    def cells(self, points: np.ndarray) -> np.ndarray:
        """(N, >=2) points, metres, body frame -> (N,) int64 flat cell (row-major), `outside` beyond the edge."""
        row, column = self.places(points)
        inside = np.flatnonzero((row >= 0) & (row < self.rows) & (column >= 0) & (column < self.columns))
        flat = np.full(len(points), self.outside, np.int64)
        flat[inside] = row[inside].astype(np.int64) * self.columns + column[inside].astype(np.int64)
        return flat

    def centres(self) -> np.ndarray:
        """(rows, columns, 2) float32 x, y of the cells' centres, metres."""
        x = self.x_m + (np.arange(self.columns) + 0.5) * self.cell_m
        y = self.y_m + (np.arange(self.rows) + 0.5) * self.cell_m
        return np.stack(np.meshgrid(x, y), -1).astype(np.float32)


def thin(points: np.ndarray, *, voxel: float) -> np.ndarray:
    """Indices (M,) of one point per cube of `voxel` metres: the first of each, in order. points: (N, 3) metres."""
    if len(points) == 0:
        return np.zeros(0, np.int64)
    key, cubes = np.zeros(len(points), np.int64), 1
    for axis in range(3):
        cell = np.floor(points[:, axis] / voxel).astype(np.int64)
        cell -= cell.min()
        span = int(cell.max()) + 1
        key, cubes = key * span + cell, cubes * span
    # Plain numbers sort ten times faster than their order does: each carries its place along, so that the first of a cube comes first.
    bits = len(points).bit_length()
    if cubes >> (63 - bits):  # cubes so small, or points so far, that the number has no room for it
        return np.sort(np.unique(key, return_index=True)[1])
    numbers = np.sort((key << bits) | np.arange(len(points)))
    cube = numbers >> bits
    first = np.concatenate([[True], cube[1:] != cube[:-1]])
    return np.sort(numbers[first] & ((1 << bits) - 1))


def cells(points: np.ndarray, *, origin: tuple[float, float], cell: float, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(N, >=2) points -> (N,) flat cell index (row-major, row along y) and (N,) inside mask.

    origin: x, y of the grid's corner in metres; shape: (rows along y, columns along x).
    """
    column = np.floor((points[:, 0] - origin[0]) / cell).astype(np.int64)
    row = np.floor((points[:, 1] - origin[1]) / cell).astype(np.int64)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    return row * shape[1] + column, inside
