"""How the car moved from one LiDAR sweep to the next: the plan of what stands around it, matched in the plane.

A coarse and quick odometry for an inspection, by normal distributions (Biber and Strasser 2003); not the one that drives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_REACH_M = 48.0
_NEAREST_M = 2.5  # the car itself
_BAND_M = (0.5, 4.0)  # above the ground
_THIN_M = 0.2
_LEAST = 60
_CELLS_M = (3.0, 3.0, 3.0, 1.5, 1.5, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # iteration by iteration
_LEAST_IN_CELL = 4
_MOST = 2500
_GOOD = 0.4
_DONE = (1e-3, 1e-5)  # metres and radians: a smaller step is none


def plan(points: np.ndarray) -> np.ndarray:
    """(N, 3) points, z up, metres -> (M, 2) x, y of what stands up, thinned."""
    x, y, z = points.T
    distance = np.hypot(x, y)
    near = (distance > _NEAREST_M) & (distance < 20)
    ground = float(np.quantile(z[near][::7], 0.05)) if near.sum() > 70 else 0.0
    stands = (z > ground + _BAND_M[0]) & (z < ground + _BAND_M[1]) & (distance > _NEAREST_M) & (distance < _REACH_M)
    xy = points[stands, :2].astype(np.float64)
    if not len(xy):
        return xy
    side = int(2 * _REACH_M / _THIN_M)
    cell = np.floor((xy + _REACH_M) / _THIN_M).astype(int) @ [side, 1]
    count = np.bincount(cell, minlength=side * side)
    kept = np.flatnonzero(count)
    return np.stack([np.bincount(cell, xy[:, k], side * side)[kept] for k in (0, 1)], 1) / count[kept, None]


def motion(before: np.ndarray, now: np.ndarray, *, guess: np.ndarray) -> np.ndarray | None:
    """Two plans -> (3,) x, y, yaw of the car now, in the frame before (metres, radians); None when they do not match.

    guess: (3,) where it probably is, the motion before this one for example.
    """
    if min(len(before), len(now)) < _LEAST:
        return None
    cells = {size: _Cells.of(before, size) for size in set(_CELLS_M)}
    now = now[:: -(-len(now) // _MOST)]
    at, fit = _climb(cells, now, guess)
    if fit < _GOOD:  # the first pair, or the car braked hard
        at, fit = max((_climb(cells, now, np.array([ahead, 0.0, 0.0])) for ahead in (0.0, 1.0, 2.0)), key=lambda found: found[1])
    return at if fit > _GOOD / 2 and abs(at[2]) < 0.5 and np.hypot(*at[:2]) < 6 else None


def _climb(cells: dict[float, _Cells], points: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    """The pose beside `start` where the points fit best, and how well they do (0 to 1)."""
    at, fit = start.astype(np.float64), 0.0
    for iteration, size in enumerate(_CELLS_M):
        c, s = np.cos(at[2]), np.sin(at[2])
        turned = points @ np.array([[c, s], [-s, c]])
        (ex, ey), (xx, xy, yy) = cells[size].beside(turned + at[:2])
        px, py = xx * ex + xy * ey, xy * ex + yy * ey
        weight = np.exp(-0.25 * (ex * px + ey * py)) * (xx > 0)
        x, y = turned.T  # by yaw, a point moves by (-y, x)
        ax, ay = xy * x - xx * y, yy * x - xy * y
        corner = [(weight * v).sum() for v in (xx, xy, yy, ax, ay, ax * -y + ay * x)]
        H = np.array([[corner[0], corner[1], corner[3]], [corner[1], corner[2], corner[4]], [corner[3], corner[4], corner[5]]])
        slope = np.array([(weight * v).sum() for v in (px, py, px * -y + py * x)])
        # A straight street tells little about the way along it: there the last answer stays.
        delta = -np.linalg.solve(H + np.eye(3), slope)
        at = at + delta
        known = int((xx > 0).sum())
        fit = float(weight.sum()) / known if known >= _LEAST // 2 else 0.0
        if iteration and _CELLS_M[iteration - 1] == _CELLS_M[-1] and np.hypot(*delta[:2]) < _DONE[0] and abs(delta[2]) < _DONE[1]:
            break
    return at, fit


@dataclass(frozen=True, eq=False)
class _Cells:
    """Mean and information (inverse covariance) of the points in each cell of a square grid."""

    size: float
    side: int
    mean: np.ndarray  # (2, cells)
    information: np.ndarray  # (3, cells): xx, xy, yy

    @classmethod
    def of(cls, points: np.ndarray, size: float) -> _Cells:
        side = int(np.ceil(2 * (_REACH_M + 8) / size))
        at = cls._place(points, size, side)
        count = np.bincount(at, minlength=side * side)
        known = np.maximum(count, 1)
        mean = np.stack([np.bincount(at, points[:, k], side * side) for k in (0, 1)], 1) / known[:, None]
        off = (points - mean[at]).T
        xx, xy, yy = (np.bincount(at, off[i] * off[j], side * side) / known for i, j in ((0, 0), (0, 1), (1, 1)))
        xx, yy = xx + (0.05 * size) ** 2, yy + (0.05 * size) ** 2
        information = np.stack([yy, -xy, xx]) / (xx * yy - xy * xy) * (count >= _LEAST_IN_CELL)
        return cls(size, side, mean.T, information)

    def beside(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(2, N) from the mean of each point's cell to it, and (3, N) its information xx, xy, yy; both 0 where the cell is empty."""
        at = self._place(points, self.size, self.side)
        error = points.T - self.mean[:, at]
        return np.where(self.information[0, at] > 0, error, 0.0), self.information[:, at]

    @staticmethod
    def _place(points: np.ndarray, size: float, side: int) -> np.ndarray:
        inside = np.clip(np.floor((points + _REACH_M + 8) / size).astype(int), 0, side - 1)
        return inside @ [side, 1]
