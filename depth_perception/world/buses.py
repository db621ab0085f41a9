"""Buses: x forward, y left, z up from the ground, metres, the rear at x = 0."""

from __future__ import annotations

import itertools

import numpy as np

from depth_perception.world.chassis import HALF, Metals, axle, painted
from depth_perception.world.livery import Livery, livery, random_livery
from depth_perception.world.mesh import Material, Mesh, box, merge, quads
from depth_perception.world.styles import Styles


def bus(rng: np.random.Generator, styles: Styles, parts: Metals, paint: int) -> tuple[Mesh, float]:
    """A city bus or a coach: rows of windows, doors on the right, lamps and a motor's flap behind. Returns it and its length."""
    length, top = rng.uniform(10.5, 14.0), rng.uniform(2.95, 3.7)
    floor, sill, brow = 0.34, rng.uniform(1.05, 1.5), top - rng.uniform(0.45, 0.75)
    lower = random_livery(rng, styles, Livery.BANDS, length=length) if rng.random() < 0.5 else paint
    out = [painted((0, -HALF, sill), (length, HALF, top), paint)]
    skirt = [(0.0, 2.3), (3.5, length - 3.4), (length - 2.2, length)]
    for a, b in skirt:
        out.append(painted((a, -HALF, floor), (b, HALF, sill), paint) if lower == paint else
                   box((a, -HALF, floor), (b, HALF, sill), Material.LIVERY, lower))  # fmt: skip
    for a, b in ((2.3, 3.5), (length - 3.4, length - 2.2)):
        out.append(painted((a, -HALF, 1.02), (b, HALF, sill), paint))
    panes: list[list] = []
    lengths: list[float] = []
    n = int(length / rng.uniform(1.3, 1.7))
    edges = np.linspace(0.5, length - 0.25, n + 1)
    for a, b in itertools.pairwise(edges):
        for side in (-1, 1):
            wall = side * (HALF + 0.01)
            door = side < 0 and (b > length - 1.6 or abs(0.5 * (a + b) - 0.5 * length) < 0.6)
            low = floor + 0.08 if door else sill + 0.05
            panes.append([(a + 0.02, wall, low), (b - 0.02, wall, low), (b - 0.02, wall, brow), (a + 0.02, wall, brow)])
            lengths.append(b - a)
    for x, foot in ((-0.01, sill + 0.2), (length + 0.01, sill - 0.15)):
        panes.append([(x, -HALF + 0.12, foot), (x, HALF - 0.12, foot), (x, HALF - 0.12, brow), (x, -HALF + 0.12, brow)])
        lengths.append(2 * HALF)
    uv = np.array([[(0, 0, n), (1, 0, n), (1, 1, n), (0, 1, n)] for n in lengths])
    out.append(quads(np.array(panes), uv, Material.GLASS, parts.glass))
    out.append(box((-0.02, -0.8, 0.75), (0.0, 0.8, sill), style=parts.dark))  # the motor's flap
    for side in (-1, 1):
        y = sorted((side * (HALF - 0.08), side * (HALF - 0.34)))
        out.append(box((-0.03, y[0], 0.7), (0.0, y[1], 1.25), style=parts.red))
        out.append(box((length - 0.02, y[0], 0.6), (length + 0.02, y[1], 0.8), style=parts.white))
        mirror = sorted((side * (HALF - 0.05), side * (HALF + 0.12)))
        out.append(box((length - 0.1, mirror[0], 1.9), (length + 0.02, mirror[1], 2.3), style=parts.dark))
    out.append(box((-0.03, -0.26, 0.55), (0.0, 0.26, 0.66), style=parts.white))
    sign = livery(styles, np.array([0.02, 0.02, 0.02]), (0.7, 0.45, 0.02), Livery.SMOOTH, length=2.0, word=int(rng.integers(10)))
    out.append(box((length - 0.02, -1.0, brow + 0.08), (length + 0.02, 1.0, top - 0.08), Material.LIVERY, sign))
    out += [axle(2.9, parts.rubber, twin=True, radius=0.48), axle(length - 2.8, parts.rubber, radius=0.48)]
    if rng.random() < 0.6:
        out.append(painted((2.0, -0.8, top), (4.5, 0.8, top + 0.25), paint))
    return merge(out), length
