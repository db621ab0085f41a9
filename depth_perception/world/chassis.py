"""What carries a lorry: wheels, frame, guards, and what is at its rear end. x forward, y left, z up from the ground, metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from depth_perception.world.livery import Livery, livery
from depth_perception.world.mesh import Material, Mesh, box, merge
from depth_perception.world.styles import Styles
from depth_perception.world.vehicles import tyre

HALF = 1.25  # half the width of a lorry
TYRE = 0.50  # radius


@dataclass(frozen=True)
class Metals:
    """Styles of what every lorry has."""

    dark: int
    bright: int
    rubber: int
    red: int
    amber: int
    white: int
    glass: int
    chevron: int


def metals(rng: np.random.Generator, styles: Styles, cab: np.ndarray) -> Metals:
    """New styles; cab: (3,) colour of the frames of its windows."""
    return Metals(
        styles.add(np.full(3, rng.uniform(0.015, 0.05)), 0.1),
        styles.add(np.full(3, rng.uniform(0.35, 0.6)), 0.1),
        styles.add((0.018, 0.018, 0.02), rng.uniform(0.1, 0.55)),
        styles.add((0.42, 0.02, 0.02)),
        styles.add((0.60, 0.22, 0.02)),
        styles.add((0.78, 0.78, 0.73)),
        styles.add((0.015, 0.017, 0.02), *cab),
        livery(styles, np.array([0.62, 0.48, 0.03]), (0.50, 0.02, 0.02), Livery.CHEVRONS),
    )


def painted(low: Sequence[float], high: Sequence[float], style: int) -> Mesh:
    """A varnished box, whose coords are its own metres."""
    mesh = box(low, high, Material.PAINT, style)
    return replace(mesh, coords=mesh.vertices)


def axle(x: float, style: int, *, twin: bool = False, radius: float = TYRE, half: float = HALF) -> Mesh:
    """Two wheels, or two pairs of them, at x."""
    width = 0.58 if twin else 0.32
    return merge([tyre(x, side * (half - 0.03 - 0.5 * width), radius, side, style, width) for side in (-1, 1)])


def mudguards(x: float, style: int, *, radius: float = TYRE) -> Mesh:
    """Flaps behind the wheels at x, and covers above them."""
    parts = []
    for side in (-1, 1):
        y = sorted((side * (HALF - 0.62), side * (HALF - 0.02)))
        parts.append(box((x - radius - 0.2, y[0], 0.22), (x - radius - 0.17, y[1], 1.06), style=style))
        parts.append(box((x - radius - 0.2, y[0], 2 * radius + 0.06), (x + radius + 0.1, y[1], 2 * radius + 0.1), style=style))
    return merge(parts)


def frame(x0: float, x1: float, style: int, *, low: float = 0.72, high: float = 1.0) -> Mesh:
    """Two beams between the wheels, and a few across."""
    beams = [box((x0, side * 0.42 - 0.05, low), (x1, side * 0.42 + 0.05, high), style=style) for side in (-1, 1)]
    return merge([*beams, *[box((x, -0.42, low), (x + 0.1, 0.42, high), style=style) for x in np.arange(x0, x1 - 0.1, 2.2)]])


def side_guards(x0: float, x1: float, style: int) -> Mesh:
    """Rails between the axles that keep cyclists out."""
    parts = []
    for side in (-1, 1):
        y = sorted((side * (HALF - 0.02), side * (HALF - 0.06)))
        parts += [box((x0, y[0], z), (x1, y[1], z + 0.12), style=style) for z in (0.46, 0.78)]
        parts += [box((x, y[0], 0.46), (x + 0.06, y[1], 1.15), style=style) for x in np.linspace(x0, x1 - 0.06, 3)]
    return merge(parts)


def rear_end(rng: np.random.Generator, parts: Metals, *, half: float = HALF) -> Mesh:
    """Bumper bar, lamps, plate and often chevron boards, at x = 0 looking back."""
    out = [box((0.05, -half + 0.08, 0.42), (0.17, half - 0.08, 0.56), style=parts.bright if rng.random() < 0.5 else parts.dark)]
    out.append(box((0.06, -half + 0.05, 0.66), (0.2, half - 0.05, 0.94), style=parts.dark))
    plate = rng.uniform(-0.5, 0.1)
    out.append(box((0.0, plate, 0.72), (0.07, plate + 0.52, 0.84), style=parts.white))
    for side in (-1, 1):
        for near, far, style in ((0.12, 0.34, parts.amber), (0.34, 0.62, parts.red), (0.62, 0.7, parts.white)):
            y = sorted((side * (half - near), side * (half - far)))
            out.append(box((0.02, y[0], 0.72), (0.07, y[1], 0.88), style=style))
    if rng.random() < 0.5:
        out.append(box((-0.03, -half + 0.02, 1.0), (0.01, half - 0.02, 1.16 + 0.12 * rng.random()), Material.LIVERY, parts.chevron))
    return merge(out)
