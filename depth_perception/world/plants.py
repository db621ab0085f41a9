"""Trees, bushes and hedges, around its own foot: x forward, y left, z up, metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_perception.world.mesh import Material, Mesh, blob, cylinder, merge, quads, triangles
from depth_perception.world.styles import move


def tree(kind: str, rng: np.random.Generator) -> Mesh:
    """A tree about 1 unit = 1 metre tall scale 8; style 0 marks leaves, style 1 wood. kind: round, tall, conifer, bush, bare."""
    parts: list[Mesh] = []
    if kind == "bush":
        crowns = [
            ((rng.normal(0, 0.5), rng.normal(0, 0.5), rng.uniform(0.3, 0.8)), rng.uniform(0.5, 1.0)) for _ in range(rng.integers(2, 5))
        ]
    elif kind == "tall":
        crowns = [((0.0, 0.0, z), r) for z, r in zip(np.linspace(1.6, 9.6, 7), [1.0, 1.35, 1.5, 1.5, 1.3, 1.05, 0.7], strict=True)]
    elif kind == "conifer":
        crowns = []
        for z in np.linspace(1.0, 7.5, 5):
            radius = 2.1 * (9 - z) / 8
            cone = cylinder(radius, 2.6, top=0.05, sides=11, material=Material.LEAF)
            corner = np.unique(np.round(cone.vertices, 4), axis=0, return_inverse=True)[1].ravel()
            jitter = rng.uniform(0.75, 1.15, (corner.max() + 1, 1))[corner] * [1, 1, 0] + [0, 0, 1]
            vertices = (cone.vertices * jitter).astype(np.float32)
            parts.append(replace(cone, vertices=vertices, coords=vertices).moved(move(0, 0, z)))
            around, down = rng.uniform(0, 6.28, 90), rng.uniform(0, 1, 90) ** 2
            at = np.c_[np.cos(around) * radius * (1.05 - down), np.sin(around) * radius * (1.05 - down), 2.6 * down - 0.1]
            parts.append(triangles(at[:, None] + rng.normal(0, 0.13, (90, 3, 3)), None, Material.LEAF).moved(move(0, 0, z)))
    else:
        crowns = [
            (tuple(np.array([0, 0, rng.uniform(4.6, 5.6)]) + rng.normal(0, 1.25, 3) * [1, 1, 0.75]), rng.uniform(1.0, 1.9))
            for _ in range(rng.integers(5, 10))
        ]
    for centre, radius in crowns:
        squash = (radius, radius, radius * rng.uniform(0.65, 0.95))
        if kind != "bare":
            core = blob(np.array(squash) * 0.84, roughness=0.16, rng=rng)
            parts.append(core.moved(move(*centre)))
        parts.append(_leaves(np.array(centre), np.array(squash), int(150 * radius**1.5 * (0.6 if kind == "bare" else 1.0)) + 40, rng))
    if kind != "bush":
        trunk = cylinder(0.20 * rng.uniform(0.7, 1.3), 5.0 if kind != "tall" else 8.0, top=0.09, sides=7, style=1)
        parts.append(trunk)
        for _ in range(5 if kind in ("round", "bare") else 0):
            branch = cylinder(0.07, rng.uniform(1.2, 2.5), top=0.03, sides=5, style=1)
            tilt, turn = rng.uniform(0.4, 1.0), rng.uniform(0, 2 * np.pi)
            T = move(0, 0, rng.uniform(2.2, 4.2), turn)
            c, s = np.cos(tilt), np.sin(tilt)
            T[:3, :3] = T[:3, :3] @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
            parts.append(branch.moved(T))
    return merge(parts)


def _leaves(centre: np.ndarray, radius: np.ndarray, n: int, rng: np.random.Generator) -> Mesh:
    """n loose triangles around an ellipsoid's surface: twigs with leaves, which make the outline ragged."""
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = direction * radius * rng.uniform(0.7, 1.2, (n, 1))
    corners = middle[:, None] + rng.normal(0, 0.105, (n, 3, 3)) * np.sqrt(radius.mean() / 1.3)
    return triangles(corners + centre, corners, Material.LEAF)


def hedge(length: float, height: float, thickness: float, rng: np.random.Generator, style: int) -> Mesh:
    """A clipped hedge along x with a bumpy skin and loose twigs."""
    nx = max(2, int(length / 0.5))
    x = np.linspace(-length / 2, length / 2, nx + 1)
    outline = np.array(
        [(-0.5, -0.1), (-0.55, 0.35), (-0.5, 0.75), (-0.35, 1.0), (0.0, 1.02), (0.35, 1.0), (0.5, 0.75), (0.55, 0.35), (0.5, -0.1)]
    )
    rows = np.zeros((nx + 1, len(outline), 3))
    rows[..., 0] = x[:, None]
    rows[..., 1] = outline[:, 0] * thickness
    rows[..., 2] = outline[:, 1] * height
    rows[1:-1] += rng.normal(0, 0.05, (nx - 1, len(outline), 3)) * [1, 1, 1]
    rows[0, :, 1:] *= 0.9
    skin = quads(np.stack([rows[:-1, :-1], rows[1:, :-1], rows[1:, 1:], rows[:-1, 1:]], 2).reshape(-1, 4, 3), None, Material.LEAF, style)
    ends = [
        quads(
            np.array([[rows[k, 0], rows[k, 2], rows[k, 6], rows[k, 8]], [rows[k, 2], rows[k, 3], rows[k, 5], rows[k, 6]]]),
            None,
            Material.LEAF,
            style,
        )
        for k in (0, -1)
    ]
    n = int(14 * length)
    at = np.c_[rng.uniform(-length / 2, length / 2, n), rng.choice([-0.52, 0.52, 0.0], n) * thickness, rng.uniform(0.1, 1.0, n) * height]
    top = at[:, 1] == 0
    at[top, 1], at[top, 2] = rng.uniform(-0.5, 0.5, top.sum()) * thickness, height
    twigs = triangles(at[:, None] + rng.normal(0, 0.07, (n, 3, 3)), None, Material.LEAF, style)
    return merge([skin, *ends, twigs])
