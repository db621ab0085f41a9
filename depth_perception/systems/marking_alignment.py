"""Where the car is on the reference map: odometry's pose, held to the markings that it sees (S4-i, step 402).

Odometry is right from image to image and wrong by percents over a street. The pose is carried on by its steps, with a growing doubt, and
every image's painted points are then laid onto the reference's by a small rigid motion (Gauss-Newton on a distance field).
Seen paint is laid onto the map, never the map onto what is seen: what is missing pulls nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from depth_perception.frame import check_ranges, ranged
from depth_perception.geometry import polygons
from depth_perception.systems.reference_map import Reference

FIELD_M, CELL_M = 32.0, 0.032  # edge of the distance field, and its cells
AHEAD_M, MOVE_M = 9.0, 6.0  # its middle lies so far ahead of the car; it is drawn anew when the car has moved so far from where it was
LINE_M = 0.06  # half a line: points are drawn to the middle of lines, not just onto them
LOST = 8  # images in a row that fit nowhere


@dataclass(frozen=True)
class Config:
    """Attributes:
    start_m, start_deg: doubt (one sigma) about the first pose of a pass.
    drift: share of the way by which odometry may be wrong.
    drift_deg_m: how it may turn away, degrees per metre of way.
    point_m: how exactly a painted point is seen, metres.
    outlier_m: farther from all paint of the map, metres, a point has hardly a say.
    least_points: fewer painted points say nothing.
    fits: share of the points that must lie within 0.2 m of the map's paint, or the map is another street's.
    """

    start_m: float = ranged(0.4, 0, 10)
    start_deg: float = ranged(0.7, 0, 20)
    drift: float = ranged(0.03, 0, 0.5)
    drift_deg_m: float = ranged(0.1, 0, 5)
    point_m: float = ranged(0.08, 0.001, 1)
    outlier_m: float = ranged(0.25, 0.01, 5)
    least_points: int = ranged(12, 3, 10_000)
    fits: float = ranged(0.6, 0, 1)

    def __post_init__(self) -> None:
        check_ranges(self)


class Alignment:
    """`step(T_map_base, painted)`: the car's (3,) x, y, yaw on the map.

    Attributes:
        pose: (3,) metres, metres, radians, or None before the first step of a pass.
        covariance: (3, 3) of its error, in the car's own axes.
        fit: share of the last painted points that lie on the map's paint; NaN when there were too few.
    """

    def __init__(self, references: Sequence[Reference], config: Config = Config()) -> None:
        self.config = config
        self._references = references
        self._centres = np.array([one.box[0] for one in references]).reshape(-1, 2)
        self._reach = np.array([0.5 * np.hypot(*one.box[1]) for one in references])
        self._field: tuple[np.ndarray, np.ndarray] | None = None
        self.reset()

    def reset(self) -> None:
        """A new pass: only odometry knows where it begins."""
        self.pose: np.ndarray | None = None
        self.covariance = np.zeros((3, 3))
        self.fit = float("nan")
        self._given: np.ndarray | None = None
        self._astray = 0

    def step(self, T_map_base: np.ndarray, painted: np.ndarray) -> np.ndarray:
        """Takes the pose of odometry and the painted points (N, 2) of one image, metres, body frame; gives the pose on the map."""
        given = planar(T_map_base)
        if self.pose is None or self._given is None:
            self.pose, self.covariance = given, self._start()
        else:
            step = compose(inverse(self._given), given)
            self.pose = compose(self.pose, step)
            self._grow(step)
        self._given = given
        self.fit = float("nan")
        if len(painted) < self.config.least_points:
            return self.pose
        if self.covariance[0, 0] > 0.2**2 or self.covariance[1, 1] > 0.2**2:
            self.pose = self._searched(painted)
        pose, information, fit = self._fitted(self.pose, painted)
        self.fit = fit
        if fit >= self.config.fits:
            self.pose, self._astray = pose, 0
            self.covariance = np.linalg.inv(np.linalg.inv(self.covariance) + information)
        else:
            self._astray += 1
            if self._astray == LOST:
                self.covariance, self._astray = self.covariance + self._start(), 0
        return self.pose

    def _start(self) -> np.ndarray:
        return np.diag([self.config.start_m, self.config.start_m, np.deg2rad(self.config.start_deg)]) ** 2 + 1e-12 * np.eye(3)

    def _grow(self, step: np.ndarray) -> None:
        way = float(np.hypot(step[0], step[1]))
        turn = np.eye(3)
        c, s = np.cos(step[2]), np.sin(step[2])
        turn[:2] = [[c, s, c * -step[1] + s * step[0]], [-s, c, s * step[1] + c * step[0]]]
        # Percents of the way add up as one error, not as many: the doubt grows with the way, so its variance with way and doubt.
        doubt = np.array([self.config.drift, self.config.drift, np.deg2rad(self.config.drift_deg_m)]) * way
        self.covariance = turn @ self.covariance @ turn.T
        sigma = np.sqrt(np.diag(self.covariance))
        self.covariance += np.diag(2 * sigma * doubt + doubt**2)

    def _distance(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The field around a pose: its corner (2,) and (rows along y, columns along x) metres to the middle of the map's nearest paint."""
        middle = pose[:2] + AHEAD_M * np.array([np.cos(pose[2]), np.sin(pose[2])])
        if self._field is None or np.abs(self._field[0] + FIELD_M / 2 - middle).max() > MOVE_M:
            corner = middle - FIELD_M / 2
            cells = round(FIELD_M / CELL_M)
            paint = np.zeros((cells, cells), np.uint8)
            near = np.flatnonzero((np.abs(self._centres - middle) < FIELD_M / 2 + self._reach[:, None]).all(1))
            for k in near.tolist():
                polygons.fill(paint, self._references[k].rings, 1, corner=(corner[0], corner[1]), cell=CELL_M)
            within = cv2.distanceTransform(paint, cv2.DIST_L2, 3) if len(near) else np.zeros((cells, cells), np.float32)
            beyond = cv2.distanceTransform(1 - paint, cv2.DIST_L2, 3) if len(near) else np.full((cells, cells), 1e3, np.float32)
            away = np.maximum((beyond - within) * np.float32(CELL_M) + np.float32(LINE_M), 0)
            self._field = corner, cv2.blur(np.minimum(away, np.float32(1.5)), (3, 3))
        return self._field

    def _away(self, pose: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) metres of body-frame points from the map's paint, and (N, 2) its slope, map axes."""
        corner, field = self._distance(pose)
        at = ((turned(pose[2], points) + pose[:2] - corner) / CELL_M - 0.5).astype(np.float32)

        def read(dx: float, dy: float) -> np.ndarray:
            u, v = at[:, 0] + np.float32(dx), at[:, 1] + np.float32(dy)
            return cv2.remap(field, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel()

        slope = np.column_stack([read(1, 0) - read(-1, 0), read(0, 1) - read(0, -1)]) / (2 * CELL_M)
        return read(0, 0).astype(np.float64), slope.astype(np.float64)

    def _fitted(self, start: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The pose near `start` at which the points lie best on the map, (3, 3) what they say about it, and the share that lies on it."""
        config, pose = self.config, start
        prior = np.linalg.inv(self.covariance)
        # Neighbouring points err together: all of them count as some thirty.
        say = min(1.0, 30 / len(points)) / config.point_m**2
        information = np.zeros((3, 3))
        for _ in range(6):
            away, slope = self._away(pose, points)
            weight = say / (1 + (away / config.outlier_m) ** 2) ** 2
            slope = turned(-pose[2], slope)
            J = np.column_stack([slope, points[:, 0] * slope[:, 1] - points[:, 1] * slope[:, 0]])
            information = (J * weight[:, None]).T @ J
            off = compose(inverse(start), pose)
            delta = -np.linalg.solve(information + prior, (J * weight[:, None]).T @ away + prior @ off)
            pose = compose(pose, delta)
            if np.abs(delta).max() < 1e-3:
                break
        away, _ = self._away(pose, points)
        return pose, information, float((away < 0.2).mean())

    def _searched(self, points: np.ndarray) -> np.ndarray:
        """The best of many poses within two sigma, for a doubt that is wider than a line."""
        sigma = np.minimum(2 * np.sqrt(np.diag(self.covariance)), [3.0, 1.5, 0.06])
        every = points[:: max(len(points) // 150, 1)]
        best, lowest = self.pose, np.inf
        assert self.pose is not None and best is not None
        counts = np.ceil(sigma / [0.12, 0.1, 0.012]).astype(int)
        steps = [np.arange(-n, n + 1) / max(n, 1) * size for n, size in zip(counts, sigma, strict=True)]
        prior = np.linalg.inv(self.covariance)
        for yaw in steps[2]:
            grid = np.stack(np.meshgrid(steps[0], steps[1], indexing="ij"), -1).reshape(-1, 2)
            corner, field = self._distance(self.pose)
            turned_points = turned(self.pose[2] + yaw, every)
            shifts = turned(self.pose[2], grid) + self.pose[:2]
            at = (turned_points[None] + shifts[:, None] - corner) / CELL_M
            index = np.clip(at.astype(np.int64), 0, len(field) - 1)
            away = field[index[..., 1], index[..., 0]]
            say = 30 / 2 / self.config.point_m**2
            cost = say * (self.config.outlier_m**2 * (1 - 1 / (1 + (away / self.config.outlier_m) ** 2))).mean(1)
            off = np.column_stack([grid, np.full(len(grid), yaw)])
            cost = cost + 0.5 * np.einsum("ni,ij,nj->n", off, prior, off)
            k = int(cost.argmin())
            if cost[k] < lowest:
                lowest, best = float(cost[k]), np.array([*shifts[k], self.pose[2] + yaw])
        return best


def planar(T: np.ndarray) -> np.ndarray:
    """(4, 4) -> (3,) x, y, yaw of its x axis seen from above."""
    return np.array([T[0, 3], T[1, 3], np.arctan2(T[1, 0], T[0, 0])])


def turned(yaw: float, points: np.ndarray) -> np.ndarray:
    """(N, 2) turned to the left by `yaw`."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.column_stack([c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1]])


def compose(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Planar motions: first b, seen in a."""
    c, s = np.cos(a[2]), np.sin(a[2])
    return np.array([a[0] + c * b[0] - s * b[1], a[1] + s * b[0] + c * b[1], a[2] + b[2]])


def inverse(a: np.ndarray) -> np.ndarray:
    """The planar motion back."""
    c, s = np.cos(a[2]), np.sin(a[2])
    return np.array([-c * a[0] - s * a[1], s * a[0] - c * a[1], -a[2]])
