"""Street furniture, around its own foot: x forward, y left, z up, metres."""

from __future__ import annotations

import numpy as np

from depth_perception.world.mesh import Material, Mesh, blob, box, cylinder, merge, triangles
from depth_perception.world.styles import move


def lamp(height: float, arm: float, style: int, head: int) -> Mesh:
    """A street lamp; its arm reaches `arm` metres towards +y (0 = a post-top lantern)."""
    parts = [cylinder(0.09, height, top=0.05, sides=7, style=style)]
    if arm > 0:
        parts.append(box((-0.03, 0, height - 0.08), (0.03, arm, height), style=style))
        parts.append(box((-0.12, arm - 0.5, height - 0.05), (0.12, arm + 0.15, height + 0.08), style=head))
    else:
        parts.append(cylinder(0.16, 0.5, top=0.24, sides=8, style=head).moved(move(0, 0, height)))
    return merge(parts)


def sign(height: float, size: float, shape: str, face: int, post: int, kind: float) -> Mesh:
    """A traffic sign on a post, its face towards -x. shape: round, triangle, square, board. kind: symbol 0..5."""
    corners = {"round": 12, "triangle": 3, "square": 4, "board": 4}[shape]
    angle = np.linspace(0, 2 * np.pi, corners + 1) + (np.pi / 4 if corners == 4 else np.pi / 2)
    circle = np.c_[np.cos(angle), np.sin(angle)] * (2**0.5 if corners == 4 else 1.0)
    stretch = (2.2, 1.0) if shape == "board" else (1.0, 1.0)
    rim = np.c_[np.full(corners + 1, -0.07), circle[:, 0] * size * stretch[0], height + circle[:, 1] * size * stretch[1]]
    middle = np.broadcast_to([-0.07, 0.0, height], (corners, 3))
    uv = np.c_[circle, np.full(corners + 1, kind)]
    centre = np.broadcast_to([0.0, 0.0, kind], (corners, 3))
    plate = triangles(np.stack([rim[:-1], rim[1:], middle], 1), np.stack([uv[:-1], uv[1:], centre], 1), Material.SIGN, face)
    back = triangles(np.add(np.stack([rim[:-1], rim[1:], middle], 1), [0.02, 0, 0]), None, Material.PLAIN, post)
    return merge([cylinder(0.04, height, sides=6, style=post), plate, back])


def traffic_light(style: int, dark: int, colours: tuple[int, int, int], arm: float) -> Mesh:
    """Lights on a pole (and, if arm > 0, over the road towards +y), facing -x."""
    parts = [cylinder(0.08, 3.4 if arm == 0 else 5.8, sides=7, style=style)]
    heads = [(0.0, 2.7)] + ([(arm, 5.1)] if arm > 0 else [])
    if arm > 0:
        parts.append(box((-0.05, 0, 5.6), (0.05, arm, 5.72), style=style))
    for y, z in heads:
        parts.append(box((-0.25, y - 0.17, z - 0.1), (-0.05, y + 0.17, z + 0.85), style=dark))
        for k, colour in enumerate(colours):
            parts.append(
                blob(
                    (0.03, 0.1, 0.1), roughness=0.0, rng=np.random.default_rng(0), subdivisions=1, material=Material.PLAIN, style=colour
                ).moved(move(-0.25, y, z + 0.08 + 0.27 * (2 - k) + 0.05))
            )
    return merge(parts)
