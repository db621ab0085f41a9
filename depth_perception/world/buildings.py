"""Houses and walls, around its own foot: x forward, y left, z up, metres."""

from __future__ import annotations

import numpy as np

from depth_perception.world.mesh import Material, Mesh, box, merge, quads, triangles


def building(length: float, depth: float, height: float, *, roof: str, wall_style: int, roof_style: int, foot: float = -1.5) -> Mesh:
    """A house with its front wall along x at y = 0, standing towards +y. roof: flat, gable (ridge along x), front_gable."""
    x0, x1, rise = -0.5 * length, 0.5 * length, 0.0
    ring = [(x0, 0.0), (x1, 0.0), (x1, depth), (x0, depth)]
    corners, coords, u = [], [], 0.0
    for k in range(4):
        a, b = ring[k], ring[(k + 1) % 4]
        n = float(np.hypot(b[0] - a[0], b[1] - a[1]))
        corners.append([(*a, foot), (*b, foot), (*b, height), (*a, height)])
        coords.append([(u, foot, height), (u + n, foot, height), (u + n, height, height), (u, height, height)])
        u += np.ceil(n / 10) * 10
    parts = [quads(np.array(corners), np.array(coords), Material.WALL, wall_style)]
    over = 0.35
    if roof == "flat":
        parts.append(box((x0 - 0.1, -0.1, height), (x1 + 0.1, depth + 0.1, height + 0.35), Material.PLAIN, roof_style))
        return merge(parts)
    along = roof == "gable"
    span = depth if along else length
    rise = 0.5 * span * np.clip(6.5 / span, 0.35, 0.9)
    if along:
        r0, r1 = (x0 - over, depth / 2, height + rise), (x1 + over, depth / 2, height + rise)
        planes = [
            [(x0 - over, -over, height - 0.1), (x1 + over, -over, height - 0.1), r1, r0],
            [(x1 + over, depth + over, height - 0.1), (x0 - over, depth + over, height - 0.1), r0, r1],
        ]
        gables = [
            [(x0, 0, height), (x0, depth, height), (x0, depth / 2, height + rise)],
            [(x1, 0, height), (x1, depth, height), (x1, depth / 2, height + rise)],
        ]
        width = length
    else:
        r0, r1 = (0, -over, height + rise), (0, depth + over, height + rise)
        planes = [
            [(x0 - over, depth + over, height - 0.1), (x0 - over, -over, height - 0.1), r0, r1],
            [(x1 + over, -over, height - 0.1), (x1 + over, depth + over, height - 0.1), r1, r0],
        ]
        gables = [
            [(x0, 0, height), (x1, 0, height), (0, 0, height + rise)],
            [(x0, depth, height), (x1, depth, height), (0, depth, height + rise)],
        ]
        width = depth
    slope = float(np.hypot(span / 2, rise))
    uv = np.array([[(0, 0, 0), (width, 0, 0), (width, slope, 0), (0, slope, 0)]] * 2)
    parts.append(quads(np.array(planes), uv, Material.ROOF, roof_style))
    flat = np.array([[(p[0] + p[1], p[2], height + rise + 9) for p in g] for g in gables])
    parts.append(triangles(np.array(gables), flat, Material.WALL, wall_style))
    return merge(parts)


def block(length: float, depth: float, height: float, material: Material, style: int) -> Mesh:
    """A plain block with its front along x at y = 0, standing towards +y: bare walls, or a facade of glass."""
    return box((-length / 2, 0.0, -1.5), (length / 2, depth, height), material, style)


def wall(length: float, height: float, thickness: float, style: int, material: Material = Material.MASONRY) -> Mesh:
    """A garden wall, fence or barrier along x, centred."""
    return box((-length / 2, -thickness / 2, -0.3), (length / 2, thickness / 2, height), material, style)
