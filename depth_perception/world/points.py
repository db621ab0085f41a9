"""Points of surfaces, as rays find them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Points:
    """What N rays hit: points (N, 3) world metres, coords (N, 3), normal (N, 3), material (N,), style (N,),
    blur (N,) metres per pixel across the ray, graze (N,) cosine between the ray and the normal."""

    points: np.ndarray
    coords: np.ndarray
    normal: np.ndarray
    material: np.ndarray
    style: np.ndarray
    blur: np.ndarray
    graze: np.ndarray

    def at(self, index: np.ndarray) -> Points:
        """The points of an index."""
        return Points(
            self.points[index],
            self.coords[index],
            self.normal[index],
            self.material[index],
            self.style[index],
            self.blur[index],
            self.graze[index],
        )
