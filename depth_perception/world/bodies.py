"""What lorries carry their load in, on x from `x0` to `x1`: x forward, y left, z up from the ground, metres.

Each body returns its mesh and its height.
"""

from __future__ import annotations

import itertools

import numpy as np

from depth_perception.world.chassis import HALF, Metals
from depth_perception.world.livery import Livery, random_livery
from depth_perception.world.mesh import Material, Mesh, box, cylinder, merge, quads
from depth_perception.world.styles import Styles, move

TALLEST = 4.0


def hull(
    x: np.ndarray,
    middle: np.ndarray,
    half_width: np.ndarray,
    half_height: np.ndarray,
    style: int,
    *,
    sides: int = 24,
    material: Material = Material.DRUM,
) -> Mesh:
    """A lying drum through (N,) ellipses; coords along its flanks as on a side that is lettered."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    c, s = np.cos(angle)[None], np.sin(angle)[None]
    across, up = half_width[:, None] * c, middle[:, None] + half_height[:, None] * s
    points = np.stack([np.broadcast_to(x[:, None], across.shape), across, up], -1)
    low, tall = float((middle - half_height).min()), float(2 * half_height.max())
    coords = np.stack([points[..., 0], points[..., 2] - low, np.full(points.shape[:2], tall)], -1)

    def patch(v: np.ndarray) -> np.ndarray:
        return np.stack([v[:-1, :-1], v[1:, :-1], v[1:, 1:], v[:-1, 1:]], 2).reshape(-1, 4, 3)

    corners, written = patch(points), patch(coords)
    flank = (points[:-1, :-1, 1] + points[:-1, 1:, 1]).ravel() > 0  # a face on the middle line belongs to one flank
    u = corners[..., 0]
    written[..., 0] = np.where(flank[:, None], x[-1] - u, u - x[0])
    return quads(corners, written, material, style)


def tank(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, x1: float) -> tuple[Mesh, float]:
    """A drum for milk or fuel, oval and polished, with a walkway on top."""
    style = random_livery(rng, styles, Livery.SMOOTH, length=x1 - x0)
    wide, tall = HALF - 0.02, rng.uniform(0.85, 1.1)
    middle = 1.16 + tall
    share = np.array([0.01, 0.75, 0.93, 1.0, 1.0, 0.93, 0.75, 0.01])
    x = np.concatenate([x0 + 0.25 + np.array([0, 0.06, 0.2, 0.4]), x1 - np.array([0.4, 0.2, 0.06, 0])])
    out = [hull(x, np.full(8, middle), wide * share, tall * share, style)]
    top = middle + tall
    out.append(box((x0 + 1.0, -0.35, top - 0.02), (x1 - 1.0, 0.35, top + 0.1), style=parts.bright))
    out += [cylinder(0.28, 0.2, style=parts.bright).moved(move(x, 0, top)) for x in np.linspace(x0 + 2, x1 - 2, 4)]
    out += _rings(x0 + 1.5, x1 - 1.5, middle, wide, tall, parts)
    out.append(_ladder(x0 + 0.2, 0.5, top, parts))
    out.append(box((x0 + 0.15, -HALF + 0.1, 0.95), (x0 + 0.6, HALF - 0.1, 1.5), style=parts.bright))
    return merge(out), top + 0.2


def silo(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, x1: float) -> tuple[Mesh, float]:
    """A drum for powder, thick in the middle, with funnels below and hoses along it."""
    style = random_livery(rng, styles, Livery.SMOOTH, length=x1 - x0)
    radius = rng.uniform(1.15, HALF - 0.02)
    share = np.array([0.01, 0.55, 0.86, 1.0, 1.0, 0.86, 0.55, 0.01])
    x = np.concatenate([x0 + 0.5 + np.array([0, 0.05, 0.7, 1.6]), x1 - np.array([1.6, 0.7, 0.05, 0])])
    middle = 2.45 + 0.12 * np.linspace(-1, 1, 8) * rng.random() + 0.12 * (1 - share)
    top = float((middle + radius * share).max())
    out = [hull(x, middle, radius * share, radius * share, style)]
    for at in np.linspace(x0 + 2.6, x1 - 2.6, 3):
        out.append(cylinder(0.16, 1.1, top=0.95, sides=14, material=Material.LIVERY, style=style).moved(move(float(at), 0, 0.75)))
    hose = styles.add((0.02, 0.02, 0.022), 0.1)
    for side in (-1, 1):
        for k, z in enumerate((1.12, 1.4)):
            ends = np.array([x0 + 1.0, x1 - 3.0 + k])
            pipe = hull(ends, np.full(2, z), np.full(2, 0.11), np.full(2, 0.11), hose, sides=8, material=Material.PLAIN)
            out.append(pipe.moved(move(0, side * (HALF - 0.14), 0)))
    out.append(box((x0 + 1.6, -0.3, top), (x1 - 1.6, 0.3, top + 0.08), style=parts.bright))
    out += [box((x, 0.28, top), (x + 0.05, 0.33, top + 0.3), style=parts.bright) for x in np.arange(x0 + 1.6, x1 - 1.6, 1.5)]
    out += _rings(x0 + 2.0, x1 - 2.0, 2.5, radius, radius, parts)
    out.append(_ladder(x0 + 0.2, -0.2, top, parts))
    out.append(box((x0 + 0.1, -HALF + 0.1, 0.95), (x0 + 1.2, HALF - 0.1, 1.3), style=parts.dark))
    return merge(out), top


def curtain(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, x1: float) -> tuple[Mesh, float]:
    """Canvas between a floor, posts and a roof."""
    top = rng.uniform(3.6, TALLEST)
    length = x1 - x0 - 0.2
    kind = Livery.CANVAS if rng.random() < 0.75 else Livery.BANDS
    out = [box((x0 + 0.1, -HALF, 1.22), (x1 - 0.05, HALF, top - 0.06), Material.LIVERY, random_livery(rng, styles, kind, length=length))]
    out.append(box((x0 + 0.05, -HALF - 0.01, 1.1), (x1, HALF + 0.01, 1.22), style=parts.bright))
    out.append(box((x0 + 0.05, -HALF - 0.01, top - 0.1), (x1, HALF + 0.01, top), style=parts.bright))
    return merge([*out, *_doors(rng, styles, parts, x0, top)]), top


def closed(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, x1: float) -> tuple[Mesh, float]:
    """A box with stiff walls, cooled or not."""
    top = rng.uniform(3.1, TALLEST)
    style = random_livery(rng, styles, Livery.PANELS, length=x1 - x0)
    out = [box((x0 + 0.05, -HALF, 1.12), (x1, HALF, top), Material.LIVERY, style)]
    if rng.random() < 0.4:
        out.append(box((x1, -0.9, top - 1.5), (x1 + 0.4, 0.9, top - 0.3), style=parts.white))
    return merge([*out, *_doors(rng, styles, parts, x0, top)]), top


def canvas_bed(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, x1: float) -> tuple[Mesh, float]:
    """Low boards, and canvas over hoops above them; the back often open."""
    board, top = rng.uniform(1.45, 1.8), rng.uniform(2.5, 3.4)
    boards = random_livery(rng, styles, Livery.PANELS, length=x1 - x0)
    back = random_livery(rng, styles, Livery.PANELS, length=2 * HALF)
    out = [_tub(x0, x1, 1.02, board, boards, back), box((x0 + 0.02, -HALF + 0.02, 0.98), (x1 - 0.02, HALF - 0.02, 1.08), style=parts.dark)]
    cloth = random_livery(rng, styles, Livery.CANVAS, length=x1 - x0)
    inside = styles.add((0.03, 0.03, 0.03), 0.1)
    w, shoulder, eaves = HALF - 0.03, 0.35, top - rng.uniform(0.15, 0.4)
    profile = [(w, board - 0.05), (w, eaves), (w - shoulder, top), (-w + shoulder, top), (-w, eaves), (-w, board - 0.05)]
    tall = top - board
    # Between two hoops the cloth hangs a little.
    hoops = 1 + 2 * max(2, round((x1 - x0) / 0.9))
    x, slack = np.linspace(x0 + 0.04, x1, hoops), 0.05 * (np.arange(hoops) % 2)
    corners, coords = [], []
    for (ya, za), (yb, zb) in itertools.pairwise(profile):
        for k in range(hoops - 1):
            ends = [(k, ya, za), (k + 1, ya, za), (k + 1, yb, zb), (k, yb, zb)]
            corners.append([(x[n], y * (1 - 0.6 * slack[n]), z - slack[n] * (z > board)) for n, y, z in ends])
            coords.append([(x1 - x[n] if ya + yb > 0 else x[n] - x0, z - board, tall) for n, y, z in ends])
    out.append(quads(np.array(corners), np.array(coords), Material.LIVERY, cloth))
    out.append(box((x1 - 0.05, -w, board), (x1, w, eaves), Material.LIVERY, cloth))
    if rng.random() < 0.5:
        out.append(box((x0 + 0.05, -w + 0.02, board), (x0 + 0.1, w - 0.02, eaves), Material.LIVERY, cloth))
    else:
        out.append(box((x1 - 1.2, -w + 0.05, board), (x1 - 1.1, w - 0.05, eaves), style=inside))
    if rng.random() < 0.6:
        out.append(box((x0 - 0.03, -HALF + 0.05, 1.1), (x0, HALF - 0.05, board - 0.05), Material.LIVERY, parts.chevron))
    return merge(out), top


def open_bed(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, x1: float) -> tuple[Mesh, float]:
    """Low boards and what lies between them: crates, gravel, pipes."""
    board = rng.uniform(1.45, 2.3)
    style = random_livery(rng, styles, Livery.PANELS, length=x1 - x0)
    back = random_livery(rng, styles, Livery.PANELS, length=2 * HALF) if rng.random() < 0.4 else style
    out = [_tub(x0, x1, 1.02, board, style, back), box((x0 + 0.02, -HALF + 0.02, 0.98), (x1 - 0.02, HALF - 0.02, 1.08), style=parts.dark)]
    rib = styles.add(np.full(3, rng.uniform(0.05, 0.4)), 0.1)
    for x in np.arange(x0 + 0.3, x1 - 0.2, rng.uniform(0.6, 1.2)):
        out += [box((x, side * (HALF + 0.02) - 0.03, 1.02), (x + 0.1, side * (HALF + 0.02) + 0.03, board), style=rib) for side in (-1, 1)]
    out.append(box((x1 - 0.06, -HALF, 1.0), (x1, HALF, 2.4), style=rib))
    load = styles.add(np.clip(rng.uniform(0.05, 0.4) * np.array([1.1, 1.0, 0.85]), 0, 0.8), 0.2)
    x, top = x0 + 0.2, max(board, 2.4)
    if rng.random() < 0.5:
        while x < x1 - 1.2:
            long, tall = rng.uniform(0.6, 2.0), rng.uniform(0.2, 1.3)
            out.append(box((x, -rng.uniform(0.5, 1.1), 1.08), (min(x + long, x1 - 0.1), rng.uniform(0.5, 1.1), 1.08 + tall), style=load))
            top = max(top, 1.08 + tall)
            x += long + rng.uniform(0.05, 1.0)
    else:
        out.append(box((x0 + 0.1, -HALF + 0.06, 1.08), (x1 - 0.1, HALF - 0.06, board - rng.uniform(0.1, 0.3)), style=load))
    return merge(out), top


def _tub(x0: float, x1: float, low: float, high: float, style: int, back: int) -> Mesh:
    """Four boards around a bed; back: the style of the one at the rear."""
    t = 0.05
    walls = [((x0 + t, -HALF), (x1, -HALF + t)), ((x0 + t, HALF - t), (x1, HALF)), ((x1 - t, -HALF), (x1, HALF))]
    boards = [box((*a, low), (*b, high), Material.LIVERY, style) for a, b in walls]
    return merge([*boards, box((x0, -HALF, low), (x0 + t, HALF, high), Material.LIVERY, back)])


def _doors(rng: np.random.Generator, styles: Styles, parts: Metals, x0: float, top: float) -> list[Mesh]:
    """Two doors at the rear with their bars."""
    style = random_livery(rng, styles, Livery.PANELS if rng.random() < 0.6 else Livery.SMOOTH, length=2.5)
    out = [box((x0 + 0.02, -HALF + 0.03, 1.16), (x0 + 0.06, HALF - 0.03, top - 0.08), Material.LIVERY, style)]
    out += [box((x0, y - 0.02, 1.16), (x0 + 0.03, y + 0.02, top - 0.1), style=parts.bright) for y in (-0.75, -0.25, 0.25, 0.75)]
    return out


def _ladder(x: float, y: float, top: float, parts: Metals) -> Mesh:
    rails = [box((x, y + k - 0.02, 0.9), (x + 0.04, y + k + 0.02, top + 0.1), style=parts.bright) for k in (-0.2, 0.2)]
    return merge([*rails, *[box((x, y - 0.2, z), (x + 0.03, y + 0.2, z + 0.03), style=parts.bright) for z in np.arange(1.1, top, 0.3)]])


def _rings(x0: float, x1: float, middle: float, wide: float, tall: float, parts: Metals) -> list[Mesh]:
    """Hoops around a drum."""
    z, y, up = (np.full(2, v) for v in (middle, 1.008 * wide, 1.008 * tall))
    return [hull(np.array([x, x + 0.07]), z, y, up, parts.bright, material=Material.PLAIN) for x in np.linspace(x0, x1, 4)]
