"""What spans the road: bridges with their pillars, parapets and lamps, and gantries with signs."""

from __future__ import annotations

import itertools

import numpy as np

from depth_perception.world.livery import Livery, livery
from depth_perception.world.mesh import Material, Mesh, box, cylinder, merge, quads
from depth_perception.world.site import Site
from depth_perception.world.styles import grey, move

REACH = 45.0  # metres that a bridge goes to either side of the road's middle


def bridge(site: Site, s: float, rng: np.random.Generator, *, clearance: float, wide: float, yaw: float) -> None:
    """A road across ours, `wide` metres wide, its underside `clearance` metres above our road's highest point beneath it or more.

    yaw: radians that it is turned from square. What would stand in it has to go.
    """
    road = site.road
    T = road.place(s, 0.0, np.pi / 2 + yaw)
    reach = wide / np.cos(yaw) + road.half * abs(np.tan(yaw))
    below = np.stack(np.meshgrid(np.linspace(s - reach, s + reach, 25), np.linspace(-road.half, road.half, 9)), -1).reshape(-1, 2)
    T[2, 3] = float(road.height(*road.xy(below[:, 0], below[:, 1])[:2]).max()) + clearance
    T[:3, 2] = 0.0, 0.0, 1.0
    forward = T[:3, 0] * [1, 1, 0]
    T[:3, 0] = forward / np.linalg.norm(forward)
    T[:3, 1] = np.cross(T[:3, 2], T[:3, 0])
    half, deep = 0.5 * wide, rng.uniform(0.6, 1.4)
    concrete = site.styles.add(grey(rng, 0.12, 0.45, 0.03), 2, rng.uniform(2.0, 4.0))
    smooth, rail = site.styles.add(grey(rng, 0.12, 0.45, 0.03), 0.2), site.metal[rng.integers(3)]
    rise = float(rng.choice([0.0, 0.0, 0.8, 1.6]))
    edges = np.linspace(-REACH, REACH, 19)
    # The deck is level over the road and falls beyond it: a shallow arch.
    lift = -rise * np.maximum(0, (np.abs(edges) - 1.2 * road.edge - 2) / REACH) ** 1.5 * 2
    parts = [_deck(edges, lift, half, deep, concrete)]
    solid = rng.random() < 0.5
    for side in (-1, 1):
        y = side * (half - 0.1)
        for (a, la), (b, lb) in itertools.pairwise(zip(edges, lift, strict=True)):
            z = deep + 0.5 * (la + lb)
            if solid:
                parts.append(box((a, y - 0.1, z - 0.2), (b, y + 0.1, z + 0.95), Material.MASONRY, concrete))
            else:
                parts += [box((a, y - 0.03, z + h), (b, y + 0.03, z + h + 0.06), style=rail) for h in (0.45, 1.0)]
                parts += [box((x - 0.04, y - 0.04, z - 0.2), (x + 0.04, y + 0.04, z + 1.06), style=rail) for x in np.arange(a, b, 1.7)]
    foot = clearance + 4.0
    beside = (road.edge + rng.uniform(0.8, 3.0)) / np.cos(yaw) + half * abs(np.tan(yaw))
    round_pillars, thick = rng.random() < 0.5, rng.uniform(0.4, 0.7)
    for side in (-1, 1):
        if rng.random() < 0.45:  # an abutment: a wall as wide as the bridge, and earth behind it
            near, far = sorted((side * beside, side * REACH))
            parts.append(box((near, -half, -foot), (far, half, 0.1 + min(0.0, float(lift.min()))), Material.MASONRY, concrete))
        else:
            for y in np.linspace(-half + 0.9, half - 0.9, max(2, round(wide / 5))):
                x = side * (beside + thick)
                if round_pillars:
                    parts.append(cylinder(thick, foot, sides=12, style=smooth).moved(move(x, y, -foot)))
                else:
                    parts.append(box((x - thick, y - thick, -foot), (x + thick, y + thick, 0), Material.MASONRY, concrete))
    mesh = merge(parts)
    _make_room(site, T, half + 0.5, clearance)
    site.parts.append(mesh.moved(T))


def _deck(edges: np.ndarray, lift: np.ndarray, half: float, deep: float, style: int) -> Mesh:
    ring = np.array([(-half, 0.35), (-half + 0.9, 0.0), (half - 0.9, 0.0), (half, 0.35), (half, 1.0), (-half, 1.0)]) * [1, deep]
    points = np.stack([np.stack([np.full(6, x), ring[:, 0], ring[:, 1] + z], 1) for x, z in zip(edges, lift, strict=True)])
    corners, coords = [], []
    for k in range(len(edges) - 1):
        for j in range(6):
            n = (j + 1) % 6
            corners.append([points[k, j], points[k + 1, j], points[k + 1, n], points[k, n]])
            v = np.cumsum([0.0, *np.linalg.norm(np.diff(ring[[0, 1, 2, 3, 4, 5, 0]], axis=0), axis=1)])[[j, j + 1]]
            coords.append([(edges[k], v[0], 0), (edges[k + 1], v[0], 0), (edges[k + 1], v[1], 0), (edges[k], v[1], 0)])
    return quads(np.array(corners), np.array(coords), Material.MASONRY, style)


def gantry(site: Site, s: float, rng: np.random.Generator, *, clearance: float) -> None:
    """Posts on both sides, a beam across the road, and boards on it, their lower edge `clearance` metres above the road's middle."""
    road, style = site.road, site.metal[rng.integers(3)]
    reach = road.half + 0.8
    beam = clearance + 0.9
    parts = [box((-0.12, -reach, beam - 0.15), (0.12, reach, beam + 0.25), style=style)]
    parts += [box((-0.15, side * reach - 0.15, -1.0), (0.15, side * reach + 0.15, beam + 0.3), style=style) for side in (-1, 1)]
    colour = np.array([(0.02, 0.08, 0.35), (0.02, 0.20, 0.08), (0.75, 0.75, 0.73)][rng.integers(3)])
    ink = (0.02, 0.02, 0.02) if colour.min() > 0.5 else (0.80, 0.80, 0.78)
    right, left = road.lanes
    lanes = [k for k in range(-right, left) if rng.random() < 0.7] or [-1]
    for k in lanes:
        wide, tall = rng.uniform(0.7, 0.95) * road.lane_width, rng.uniform(1.2, 2.2)
        middle = (k + 0.5) * road.lane_width
        board = livery(site.styles, colour, ink, Livery.SMOOTH, length=wide, word=int(rng.integers(10)))
        parts.append(box((-0.2, middle - wide / 2, clearance), (-0.13, middle + wide / 2, clearance + tall), Material.LIVERY, board))
    site.put(merge(parts), s, 0.0, lift=0.0)


def _make_room(site: Site, T: np.ndarray, half: float, clearance: float) -> None:
    """Takes away what reaches up into a bridge, or stands beside the road beneath it."""
    kept = []
    for part in site.parts:
        local = (part.vertices - T[:3, 3].astype(np.float32)) @ T[:3, :3].astype(np.float32)
        low, high = local.min(0), local.max(0)
        away = low[0] > REACH or high[0] < -REACH or low[1] > half or high[1] < -half
        if away or high[2] < -0.6 * clearance:
            kept.append(part)
    site.parts = kept
    gone = [np.abs((box.T[:3, 3] - T[:3, 3]) @ T[:3, :3])[:2] < (REACH + 3, half + 3) for box in site.boxes]
    site.boxes = [box for box, inside in zip(site.boxes, gone, strict=True) if not inside.all()]
