"""Cars, vans and trucks, around its own foot: x forward, y left, z up, metres."""

from __future__ import annotations

import numpy as np

from depth_perception.world.mesh import Material, Mesh, box, merge, quads, triangles
from depth_perception.world.styles import Styles

# Side profiles from the rear (0) to the front (1): share of the length, belt height, roof height, as shares of the car's height.
PROFILES = {
    "sedan": (
        [0, 0.02, 0.16, 0.30, 0.42, 0.56, 0.72, 0.97, 1],
        [0.48, 0.66, 0.68, 0.66, 0.65, 0.64, 0.62, 0.50, 0.36],
        [0.48, 0.66, 0.68, 0.95, 1.0, 0.99, 0.62, 0.50, 0.36],
    ),
    "hatchback": (
        [0, 0.02, 0.14, 0.38, 0.60, 0.78, 0.97, 1],
        [0.45, 0.64, 0.65, 0.64, 0.62, 0.60, 0.48, 0.34],
        [0.45, 0.64, 0.95, 1.0, 0.97, 0.60, 0.48, 0.34],
    ),
    "wagon": (
        [0, 0.02, 0.08, 0.35, 0.60, 0.74, 0.97, 1],
        [0.45, 0.62, 0.63, 0.63, 0.62, 0.60, 0.48, 0.34],
        [0.45, 0.62, 0.94, 1.0, 0.98, 0.60, 0.48, 0.34],
    ),
    "suv": (
        [0, 0.02, 0.07, 0.35, 0.58, 0.72, 0.96, 1],
        [0.45, 0.62, 0.62, 0.62, 0.61, 0.60, 0.54, 0.40],
        [0.45, 0.62, 0.95, 1.0, 0.98, 0.60, 0.54, 0.40],
    ),
    "van": (
        [0, 0.01, 0.02, 0.55, 0.72, 0.90, 0.99, 1],
        [0.3, 0.52, 0.52, 0.52, 0.5, 0.46, 0.38, 0.25],
        [0.3, 0.98, 1.0, 1.0, 0.97, 0.48, 0.38, 0.25],
    ),
    "truck": (
        [0, 0.005, 0.01, 0.70, 0.705, 0.72, 0.98, 1],
        [0.25, 0.27, 0.28, 0.28, 0.28, 0.45, 0.42, 0.3],
        [0.25, 1.0, 1.0, 1.0, 0.28, 0.82, 0.78, 0.3],
    ),
}
SIZES = {  # length, width, height (metres): low, high
    "sedan": ((4.3, 4.95), (1.70, 1.88), (1.38, 1.50)),
    "hatchback": ((3.5, 4.4), (1.60, 1.82), (1.40, 1.56)),
    "wagon": ((4.4, 4.9), (1.72, 1.86), (1.42, 1.55)),
    "suv": ((4.2, 4.9), (1.78, 1.98), (1.60, 1.88)),
    "van": ((4.6, 6.2), (1.85, 2.10), (1.85, 2.60)),
    "truck": ((6.5, 9.5), (2.3, 2.5), (2.9, 3.7)),
}
CAR_PAINTS = np.array(
    [
        (0.02, 0.02, 0.022),
        (0.05, 0.05, 0.055),
        (0.14, 0.14, 0.15),
        (0.35, 0.36, 0.37),
        (0.55, 0.56, 0.57),
        (0.80, 0.80, 0.78),
        (0.35, 0.02, 0.02),
        (0.03, 0.06, 0.25),
        (0.05, 0.16, 0.40),
        (0.02, 0.09, 0.05),
        (0.45, 0.35, 0.20),
        (0.60, 0.42, 0.02),
        (0.20, 0.08, 0.03),
        (0.62, 0.18, 0.02),
    ]
)


def car(kind: str, rng: np.random.Generator, styles: Styles) -> tuple[Mesh, np.ndarray]:
    """A car-like vehicle and its (3,) size: length, width, height in metres."""
    length, width, height = (rng.uniform(*span) for span in SIZES[kind])
    shares, belts, roofs = (np.array(v) for v in PROFILES[kind])
    x, belt, roof = (shares - 0.5) * length, belts * height, roofs * height
    w = 0.5 * width * np.where((shares < 0.01) | (shares > 0.985), 0.86, 1.0)
    narrow = 0.5 * width * (rng.uniform(0.74, 0.82) if kind not in ("van", "truck") else 0.94)
    w_roof = np.where(roof > belt + 0.05, narrow, w)
    floor = np.where((shares > 0.05) & (shares < 0.95), 0.22, 0.30) * (1.6 if kind == "truck" else 1.0)
    # Most cars are black, white or something between.
    colour = CAR_PAINTS[rng.integers(6) if rng.random() < 0.62 else rng.integers(len(CAR_PAINTS))] * rng.uniform(0.85, 1.15)
    paint = styles.add(np.clip(colour, 0, 0.9), rng.uniform(0.5, 1))
    glass = styles.add((0.02, 0.022, 0.025), *np.clip(colour, 0, 0.9))
    dark, light, red = styles.add((0.03, 0.03, 0.03), 0.1), styles.add((0.75, 0.75, 0.70)), styles.add((0.40, 0.02, 0.02))
    wheel = styles.add((0.02, 0.02, 0.02), rng.uniform(0.15, 0.6))
    ring = np.stack(
        [
            np.c_[x, w, floor],
            np.c_[x, w, belt * 0.55 + floor * 0.45],
            np.c_[x, w * 0.96, belt],
            np.c_[x, w_roof, roof],
            np.c_[x, -w_roof, roof],
            np.c_[x, -w * 0.96, belt],
            np.c_[x, -w, belt * 0.55 + floor * 0.45],
            np.c_[x, -w, floor],
        ],
        1,
    )
    body, panes, lengths = [], [], []
    for k in range(len(x) - 1):
        cabin = min(roof[k] - belt[k], roof[k + 1] - belt[k + 1]) > 0.08
        screen = abs((roof[k] - belt[k]) - (roof[k + 1] - belt[k + 1])) > 0.1 and kind != "truck"
        for j in range(8):
            jn = (j + 1) % 8
            quad = [ring[k, j], ring[k + 1, j], ring[k + 1, jn], ring[k, jn]]
            side_pane = j in (2, 4) and (cabin or screen) and not (kind == "van" and shares[k] < 0.5) and kind != "truck"
            if side_pane and not cabin:
                side_pane = False
            if (side_pane and cabin) or (j == 3 and screen):
                panes.append(quad if j != 4 else [ring[k, 5], ring[k + 1, 5], ring[k + 1, 4], ring[k, 4]])
                lengths.append(float(np.linalg.norm(ring[k + 1, j] - ring[k, j])))
            else:
                body.append(quad)
    for k in (0, -1):
        body += [
            [ring[k, 0], ring[k, 1], ring[k, 6], ring[k, 7]],
            [ring[k, 1], ring[k, 2], ring[k, 5], ring[k, 6]],
            [ring[k, 2], ring[k, 3], ring[k, 4], ring[k, 5]],
        ]
    parts = [quads(np.array(body), None, Material.PAINT, paint)]
    if panes:
        uv = np.array([[(0, 0, n), (1, 0, n), (1, 1, n), (0, 1, n)] for n in lengths])
        parts.append(quads(np.array(panes), uv, Material.GLASS, glass))
    rear, front, low = -0.5 * length, 0.5 * length, belt[0]
    y = 0.40 * width
    for side in (-1, 1):
        parts.append(box((rear - 0.02, side * y - 0.12, low * 0.80), (rear + 0.2, side * y + 0.12, low * 1.02), style=red))
        parts.append(box((front - 0.25, side * y - 0.15, belt[-2] * 0.80), (front + 0.01, side * y + 0.15, belt[-2] * 0.99), style=light))
        parts.append(
            box(
                (0.18 * length, side * (0.5 * width + 0.08) - 0.08, belt[4]),
                (0.18 * length + 0.12, side * (0.5 * width + 0.08) + 0.08, belt[4] + 0.13),
                style=paint,
            )
        )
    plate = styles.add((0.8, 0.8, 0.75))
    for end in (rear - 0.015, front - 0.005):
        parts.append(box((end, -0.26, 0.45), (end + 0.02, 0.26, 0.56), style=plate))
        parts.append(box((end - 0.005, -0.45 * width, 0.24), (end + 0.02, 0.45 * width, 0.36), style=dark))
    radius = float(np.clip(0.21 * height, 0.29, 0.48))
    for end in (-0.30, 0.31):
        for side in (-1, 1):
            parts.append(tyre(end * length, side * (0.5 * width - 0.10), radius, side, wheel))
    size = np.array([length + 0.04, width + 0.04, height])
    return merge(parts), size


def tyre(x: float, y: float, radius: float, side: float, style: int, width: float = 0.22) -> Mesh:
    """A wheel around (x, y, radius), its rim on the outside: `side` +1 = left, -1 = right."""
    angle = np.linspace(0, 2 * np.pi, 13)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    rim = np.c_[x + radius * circle[:, 0], np.full(13, y + side * 0.5 * width), radius + radius * circle[:, 1]]
    inner = rim - [0, side * width, 0]
    hub = np.broadcast_to([x, y + side * 0.5 * width, radius], (12, 3))
    coords = np.c_[circle, np.zeros(13)]
    disc = triangles(
        np.stack([rim[:-1], rim[1:], hub], 1), np.stack([coords[:-1], coords[1:], np.zeros((12, 3))], 1), Material.WHEEL, style
    )
    tread = quads(
        np.stack([rim[:-1], rim[1:], inner[1:], inner[:-1]], 1),
        np.stack([coords[:-1], coords[1:], coords[1:], coords[:-1]], 1),
        Material.WHEEL,
        style,
    )
    return merge([disc, tread])
