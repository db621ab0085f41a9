"""Triangle soup: flat-shaded meshes that carry what shading needs at every corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np


class Material(IntEnum):
    """How a triangle is shaded; what its coords mean."""

    GROUND = 0  # coords: s along the road, d to the left of its centre, 0
    WALL = 1  # coords: u along the wall, v above its foot, wall height
    ROOF = 2  # coords: u along the eaves, v up the slope, 0
    PLAIN = 3  # coords: local metres
    PAINT = 4  # coords: local metres
    GLASS = 5  # coords: u, v in 0..1 on the pane; pane length in metres
    WHEEL = 6  # coords: x, z from the hub in units of the radius; 0
    LEAF = 7  # coords: local metres from the crown's centre
    SIGN = 8  # coords: u, v in -1..1; kind of symbol
    FIELD = 9  # coords: unused
    MASONRY = 10  # coords: u along the wall, v above its foot, 0
    BARE = 11  # coords: unused; one colour and nothing else
    CURTAIN = 12  # coords: u along the wall, v above its foot, wall height; a facade of mirroring glass
    LIVERY = 13  # coords: u along the side, v above its foot, its height (0: top or bottom); the sides of lorries, and boards
    DRUM = 14  # as LIVERY, around a lying drum, and shaded round


@dataclass(frozen=True, eq=False)
class Mesh:
    """(V, 3) float32 vertices in metres; (T, 3) int32 triangles; (V, 3) float32 coords; (T,) uint8 material; (T,) int32 style."""

    vertices: np.ndarray
    triangles: np.ndarray
    coords: np.ndarray
    material: np.ndarray
    style: np.ndarray

    def moved(self, T: np.ndarray, scale: Sequence[float] | float = 1.0) -> Mesh:
        """The mesh scaled in its own axes, then moved by the (4, 4) T; coords stay."""
        R = (T[:3, :3] * np.asarray(scale, np.float64)).astype(np.float32)
        return replace(self, vertices=self.vertices @ R.T + T[:3, 3].astype(np.float32))

    def styled(self, style: int) -> Mesh:
        """The mesh with one style for all of it."""
        return replace(self, style=np.full_like(self.style, style))


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + np.int32(k) for m, k in zip(meshes, starts, strict=True)]),
        np.concatenate([m.coords for m in meshes]),
        np.concatenate([m.material for m in meshes]),
        np.concatenate([m.style for m in meshes]),
    )


def quads(corners: np.ndarray, coords: np.ndarray | None, material: Material, style: int = 0) -> Mesh:
    """(Q, 4, 3) corners in order around each quad, metres; (Q, 4, 3) coords, None = the corners themselves."""
    corners = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    coords = corners if coords is None else np.asarray(coords, np.float32).reshape(-1, 4, 3)
    first = 4 * np.arange(len(corners), dtype=np.int32)[:, None]
    triangles = np.concatenate([first + np.int32([0, 1, 2]), first + np.int32([0, 2, 3])], 1).reshape(-1, 3)
    return _uniform(corners.reshape(-1, 3), triangles, coords.reshape(-1, 3), material, style)


def triangles(corners: np.ndarray, coords: np.ndarray | None, material: Material, style: int = 0) -> Mesh:
    """(T, 3, 3) corners, metres; (T, 3, 3) coords, None = the corners themselves."""
    corners = np.asarray(corners, np.float32).reshape(-1, 3)
    coords = corners if coords is None else np.asarray(coords, np.float32).reshape(-1, 3)
    return _uniform(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3), coords, material, style)


def _uniform(vertices: np.ndarray, tris: np.ndarray, coords: np.ndarray, material: Material, style: int) -> Mesh:
    n = len(tris)
    return Mesh(vertices, tris, coords, np.full(n, material, np.uint8), np.full(n, style, np.int32))


def box(low: Sequence[float], high: Sequence[float], material: Material = Material.PLAIN, style: int = 0) -> Mesh:
    """An axis-aligned box. Coords of the four sides: along the side, above the foot, height; of top and bottom: x, y, 0."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    corners, coords = [], []
    for k in range(4):
        (ax, ay), (bx, by) = ring[k], ring[(k + 1) % 4]
        length = float(np.hypot(bx - ax, by - ay))
        corners.append([(ax, ay, z0), (bx, by, z0), (bx, by, z1), (ax, ay, z1)])
        coords.append([(0, 0, z1 - z0), (length, 0, z1 - z0), (length, z1 - z0, z1 - z0), (0, z1 - z0, z1 - z0)])
    corners.append([(*p, z1) for p in ring])
    corners.append([(*p, z0) for p in ring[::-1]])
    coords.append([(*p, 0) for p in ring])
    coords.append([(*p, 0) for p in ring[::-1]])
    return quads(np.array(corners), np.array(coords), material, style)


def cylinder(
    radius: float, height: float, *, top: float | None = None, sides: int = 8, material: Material = Material.PLAIN, style: int = 0
) -> Mesh:
    """An upright cylinder or cone stump on the origin, closed at the top. `top`: its radius there, metres."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    low = np.c_[circle * radius, np.zeros(sides + 1)]
    high = np.c_[circle * (radius if top is None else top), np.full(sides + 1, height)]
    wall = quads(np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1), None, material, style)
    centre = np.broadcast_to([0.0, 0.0, height], (sides, 3))
    return merge([wall, triangles(np.stack([high[:-1], high[1:], centre], 1), None, material, style)])


def ball(subdivisions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A unit icosphere: (V, 3) float64 vertices, (T, 3) int32 triangles."""
    p = (1 + 5**0.5) / 2
    v = np.array(
        [
            (-1, p, 0),
            (1, p, 0),
            (-1, -p, 0),
            (1, -p, 0),
            (0, -1, p),
            (0, 1, p),
            (0, -1, -p),
            (0, 1, -p),
            (p, 0, -1),
            (p, 0, 1),
            (-p, 0, -1),
            (-p, 0, 1),
        ],
        np.float64,
    )
    t = np.array(
        [
            (0, 11, 5),
            (0, 5, 1),
            (0, 1, 7),
            (0, 7, 10),
            (0, 10, 11),
            (1, 5, 9),
            (5, 11, 4),
            (11, 10, 2),
            (10, 7, 6),
            (7, 1, 8),
            (3, 9, 4),
            (3, 4, 2),
            (3, 2, 6),
            (3, 6, 8),
            (3, 8, 9),
            (4, 9, 5),
            (2, 4, 11),
            (6, 2, 10),
            (8, 6, 7),
            (9, 8, 1),
        ],
        np.int32,
    )
    for _ in range(subdivisions):
        a, b, c = v[t[:, 0]], v[t[:, 1]], v[t[:, 2]]
        faces = np.stack(
            [a, (a + b) / 2, (a + c) / 2, b, (b + c) / 2, (a + b) / 2, c, (a + c) / 2, (b + c) / 2, (a + b) / 2, (b + c) / 2, (a + c) / 2],
            1,
        ).reshape(-1, 3)
        v, index = np.unique(np.round(faces, 9), axis=0, return_inverse=True)
        t = index.reshape(-1, 3).astype(np.int32)
    return v / np.linalg.norm(v, axis=1, keepdims=True), t


def blob(
    radius: Sequence[float],
    *,
    roughness: float,
    rng: np.random.Generator,
    subdivisions: int = 2,
    material: Material = Material.LEAF,
    style: int = 0,
) -> Mesh:
    """A bumpy ellipsoid around the origin; `roughness` is the spread of the radius as a share of it."""
    v, t = ball(subdivisions)
    v = v * (1 + roughness * rng.uniform(-1, 1, (len(v), 1))) * np.asarray(radius)
    v = v.astype(np.float32)
    return _uniform(v, t, v, material, style)
