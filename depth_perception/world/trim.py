"""What cars show from close by: wheel arches, bumpers, brake lamps, handles, roof rails and lettered plates."""

from __future__ import annotations

import numpy as np

from depth_perception.world.chassis import painted
from depth_perception.world.livery import Livery, livery
from depth_perception.world.mesh import Material, Mesh, box, merge, triangles
from depth_perception.world.styles import Styles
from depth_perception.world.vehicles import PROFILES


def trimmed(car: Mesh, kind: str, size: np.ndarray, rng: np.random.Generator, styles: Styles) -> Mesh:
    """A car of `vehicles.car` with its trim; nothing of it leaves the box of (3,) `size` by more than a hand's width."""
    length, width, height = size - [0.04, 0.04, 0.0]
    rear, half = -0.5 * length, 0.5 * width
    paint = int(car.style[car.material == Material.PAINT][0])
    dark, chrome = styles.add((0.02, 0.02, 0.022), 0.05), styles.add(np.full(3, rng.uniform(0.25, 0.6)), 0.05)
    lamp, lens = styles.add((0.42, 0.02, 0.02)), styles.add((0.55, 0.30, 0.25))
    radius = float(np.clip(0.21 * height, 0.29, 0.48))
    parts = [car]
    for x in (-0.30 * length, 0.31 * length):
        parts += [_arch(x, side * (half + 0.005), radius, dark) for side in (-1, 1)]
    bumper = paint if rng.random() < 0.7 else dark
    shares, belts, roofs = (np.array(v) for v in PROFILES[kind])
    belt, top = float(belts[0] * height), float(roofs.max() * height)
    parts.append(painted((rear - 0.05, -0.44 * width, 0.37), (rear + 0.1, 0.44 * width, 0.54), bumper))
    parts.append(box((rear - 0.055, -0.42 * width, 0.36), (rear, 0.42 * width, 0.39), style=dark))
    plate = livery(styles, np.array([0.78, 0.78, 0.74]), (0.02, 0.02, 0.03), Livery.SMOOTH, length=0.6, word=int(rng.integers(10)))
    z = float(rng.uniform(0.42, max(0.43, 0.72 * belt)))
    parts.append(box((rear - 0.065, -0.28, z - 0.015), (rear - 0.05, 0.28, z + 0.13), style=dark))
    parts.append(box((rear - 0.075, -0.26, z), (rear - 0.06, 0.26, z + 0.115), Material.LIVERY, plate))
    for side in (-1, 1):
        inner, outer = sorted((side * (0.40 * width - 0.13), side * (0.40 * width + 0.06)))
        parts.append(box((rear - 0.045, inner, 0.86 * belt), (rear - 0.02, outer, 0.93 * belt), style=lens))
        for at in (0.02, -0.2):
            low, high = sorted((side * (half - 0.01), side * (half + 0.03)))
            parts.append(box((at * length - 0.09, low, 0.92 * belt), (at * length + 0.09, high, 0.92 * belt + 0.03), style=chrome))
        if kind in ("wagon", "suv") and rng.random() < 0.7:
            y = side * 0.36 * width
            parts.append(box((rear + 0.2 * length, y - 0.02, top - 0.02), (rear + 0.62 * length, y + 0.02, top + 0.03), style=chrome))
    if kind in ("hatchback", "wagon", "suv"):
        back = rear + float(shares[2]) * length
        parts.append(box((back - 0.06, -0.16, roofs[2] * height - 0.05), (back + 0.05, 0.16, roofs[2] * height - 0.01), style=lamp))
    return merge(parts)


def _arch(x: float, y: float, radius: float, style: int) -> Mesh:
    """The dark gap above a wheel."""
    angle = np.linspace(0, np.pi, 9)
    rim = np.c_[x + 1.16 * radius * np.cos(angle), np.full(9, y), radius + 1.16 * radius * np.sin(angle)]
    hub = np.broadcast_to([x, y, radius], (8, 3))
    return triangles(np.stack([rim[:-1], rim[1:], hub], 1), None, Material.PLAIN, style)
