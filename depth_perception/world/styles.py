"""Looks and places: the table of styles, random colours, and a thing's own place."""

from __future__ import annotations

import numpy as np


class Styles:
    """The table of looks: row = r, g, b (linear albedo), six parameters of the material, a random number."""

    COLUMNS = 10

    def __init__(self, rng: np.random.Generator) -> None:
        self._rows: list[list[float]] = []
        self._rng = rng

    def add(self, colour: np.ndarray | tuple[float, ...], *parameters: float) -> int:
        """Index of a new row."""
        padded = [*parameters] + [0.0] * (6 - len(parameters))
        self._rows.append([*(float(c) for c in colour), *(float(p) for p in padded), float(self._rng.random())])
        return len(self._rows) - 1

    def table(self) -> np.ndarray:
        """(S, 10) float32."""
        return np.array(self._rows, np.float32).reshape(-1, self.COLUMNS)


def grey(rng: np.random.Generator, low: float, high: float, tint: float = 0.03) -> np.ndarray:
    """A random grey with a slight tint, linear albedo."""
    return np.clip(rng.uniform(low, high) + rng.normal(0, tint, 3) * high, 0.01, 0.95)


def vivid(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A random colour, seldom a screaming one, linear albedo."""
    value = rng.uniform(low, high, 3)
    return value + (value.mean() - value) * rng.uniform(0.1, 0.9)


def move(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    """(4, 4) translation after a turn about z."""
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:3, 3] = x, y, z
    return T
