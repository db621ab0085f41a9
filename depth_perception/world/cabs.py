"""Cabs of lorries: x forward, y left, z up from the ground, metres; the windscreen at x = `front`."""

from __future__ import annotations

import numpy as np

from depth_perception.world.chassis import HALF, Metals, axle, painted
from depth_perception.world.mesh import Material, Mesh, box, merge, quads

AXLE = 1.4  # metres from the front to the first axle


def cab(front: float, height: float, length: float, paint: int, parts: Metals, *, deflector: bool, half: float = HALF) -> Mesh:
    """A flat cab above its axle, `height` tall and `length` long; deflector: the roof rises towards the load."""
    back, floor, sill, brow = front - length, 0.95, 0.48 * height + 0.12, min(0.48 * height + 1.05, height - 0.35)
    nose = front - 0.06
    slant = 0.1
    # Side profile, from the foot of the rear wall over the roof to the foot of the nose.
    roof = height - (0.45 if deflector else 0.12)
    outline = np.array([(back, floor), (back, height), (back + 0.35 * length, height), (front - 0.25, roof), (front - slant, brow),
                        (nose, sill), (nose, floor)])  # fmt: skip
    y = np.where(outline[:, 1] > sill, half - 0.06, half - 0.02)
    left, right = np.c_[outline[:, 0], y, outline[:, 1]], np.c_[outline[:, 0], -y, outline[:, 1]]
    shell = [[left[k], left[k + 1], right[k + 1], right[k]] for k in range(len(left) - 1)]
    walls = [[side[k] for k in fan] for side in (left, right) for fan in ((0, 1, 2, 3), (0, 3, 4, 5), (0, 5, 6, 6))]
    out = [quads(np.array([*shell, *walls]), None, Material.PAINT, paint)]
    a, b = 0.08, half - 0.12
    low, high = (nose + 0.02, sill + a), (front - slant + 0.02, brow - a)
    screen = [(low[0], -b, low[1]), (low[0], b, low[1]), (high[0], b, high[1]), (high[0], -b, high[1])]
    panes, lengths = [screen], [2 * b]
    for side in (-1, 1):
        at = side * (half - 0.03)
        x = (front - 1.35, front - 0.25, front - 0.3, front - 1.35)
        panes.append([(x[0], at, sill), (x[1], at, sill - 0.15), (x[2], at, brow - 0.05), (x[3], at, brow - 0.05)])
        lengths.append(1.1)
    uv = np.array([[(0, 0, n), (1, 0, n), (1, 1, n), (0, 1, n)] for n in lengths])
    out.append(quads(np.array(panes), uv, Material.GLASS, parts.glass))
    out.append(box((nose - 0.02, -b, brow + 0.02), (front + 0.06, b, brow + 0.16), style=parts.dark))  # sun visor
    out.append(painted((front - 0.85, -half + 0.02, 0.32), (front - 0.01, half - 0.02, floor), paint))
    out.append(painted((back, -half + 0.02, 1.06), (front - 0.85, half - 0.02, 1.14), paint))
    out.append(box((front - 0.02, -0.75, 0.62), (front + 0.01, 0.75, sill - 0.15), style=parts.dark))  # grille
    for side in (-1, 1):
        lamp, mirror = sorted((side * 0.8, side * 1.15)), sorted((side * (half - 0.03), side * (half + 0.1)))
        out.append(box((front - 0.05, lamp[0], 0.5), (front + 0.02, lamp[1], 0.68), style=parts.white))
        out.append(box((front - 0.12, mirror[0], sill + 0.15), (front + 0.02, mirror[1], sill + 0.85), style=parts.dark))
    out.append(axle(front - AXLE, parts.rubber, half=half))
    out.append(box((back + 0.02, -0.5, 0.6), (front - 0.9, 0.5, 1.0), style=parts.dark))
    return merge(out)
