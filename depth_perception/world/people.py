"""People on foot and on bicycles, around its own foot: x forward, y left, z up, metres."""

from __future__ import annotations

import numpy as np

from depth_perception.world.mesh import Material, Mesh, blob, merge, quads, triangles
from depth_perception.world.styles import Styles, grey, move, vivid


def person(rng: np.random.Generator, styles: Styles) -> tuple[Mesh, np.ndarray]:
    """A walking figure and its (3,) size."""
    height = rng.uniform(1.45, 1.92)
    shirt, trousers = styles.add(vivid(rng, 0.02, 0.7)), styles.add(rng.uniform(0.02, 0.3) * np.ones(3) + rng.uniform(0, 0.08, 3))
    skin, hair = styles.add(np.array([0.5, 0.33, 0.25]) * rng.uniform(0.4, 1.2)), styles.add(grey(rng, 0.02, 0.2))
    h, stride = height, rng.uniform(0.05, 0.22)
    parts = []
    for side in (-1, 1):
        parts.append(_limb((side * stride, side * 0.09, 0.0), (0.0, side * 0.09, 0.48 * h), 0.075, trousers))
        parts.append(_limb((-side * stride * 0.9, side * 0.24, 0.46 * h), (0.0, side * 0.2, 0.80 * h), 0.05, shirt))
    parts.append(_limb((0, 0, 0.46 * h), (0.02, 0, 0.83 * h), 0.17, shirt, flat=0.65))
    parts.append(
        blob((0.10, 0.085, 0.125), roughness=0.02, rng=rng, subdivisions=1, material=Material.PLAIN, style=skin).moved(
            move(0.02, 0, 0.925 * h)
        )
    )
    parts.append(
        blob((0.11, 0.10, 0.09), roughness=0.02, rng=rng, subdivisions=1, material=Material.PLAIN, style=hair).moved(
            move(-0.005, 0, 0.955 * h)
        )
    )
    return merge(parts), np.array([0.6, 0.64, height])


def cyclist(rng: np.random.Generator, styles: Styles) -> tuple[Mesh, np.ndarray]:
    """A person on a bicycle and its (3,) size."""
    rider, size = person(rng, styles)
    frame, tyre = styles.add(rng.uniform(0.02, 0.6, 3)), styles.add((0.03, 0.03, 0.03))
    parts = [rider.moved(move(-0.1, 0, 0.32), (1.0, 0.8, 0.95))]
    for x in (-0.52, 0.52):
        angle = np.linspace(0, 2 * np.pi, 15)
        outer = np.c_[x + 0.34 * np.cos(angle), np.zeros(15), 0.34 + 0.34 * np.sin(angle)]
        inner = np.c_[x + 0.29 * np.cos(angle), np.zeros(15), 0.34 + 0.29 * np.sin(angle)]
        for y in (-0.02, 0.02):
            parts.append(quads(np.add(np.stack([outer[:-1], outer[1:], inner[1:], inner[:-1]], 1), [0, y, 0]), None, Material.PLAIN, tyre))
    for a, b in (
        ((-0.52, 0, 0.34), (0.35, 0, 0.8)),
        ((-0.15, 0, 0.3), (-0.2, 0, 0.9)),
        ((0.52, 0, 0.34), (0.38, 0, 1.0)),
        ((-0.52, 0, 0.34), (-0.15, 0, 0.3)),
    ):
        parts.append(_limb(a, b, 0.025, frame))
    return merge(parts), np.array([1.74, 0.6, 0.32 + 0.95 * size[2]])


def _limb(a: tuple[float, ...], b: tuple[float, ...], radius: float, style: int, flat: float = 1.0) -> Mesh:
    """A six-sided prism from a to b; flat squeezes it along x."""
    angle = np.linspace(0, 2 * np.pi, 7)
    circle = np.c_[flat * radius * np.cos(angle), radius * np.sin(angle), np.zeros(7)]
    low, high = circle + a, circle * 0.95 + b
    side = quads(np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1), None, Material.PLAIN, style)
    centre = np.broadcast_to(np.asarray(b, np.float64), (6, 3))
    return merge([side, triangles(np.stack([high[:-1], high[1:], centre], 1), None, Material.PLAIN, style)])
