"""What stands and moves in a street, each as a mesh around its own foot: x forward, y left, z up, metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_perception.world.mesh import Material, Mesh, blob, box, cylinder, merge, quads, triangles


class Styles:
    """The table of looks: row = r, g, b (linear albedo), six parameters of the material, a random number."""

    COLUMNS = 10

    def __init__(self, rng: np.random.Generator) -> None:
        self._rows: list[list[float]] = []
        self._rng = rng

    def add(self, colour: np.ndarray | tuple[float, ...], *parameters: float) -> int:
        """Index of a new row."""
        padded = [*parameters] + [0.0] * (6 - len(parameters))
        self._rows.append([*(float(c) for c in colour), *(float(p) for p in padded), float(self._rng.random())])
        return len(self._rows) - 1

    def table(self) -> np.ndarray:
        """(S, 10) float32."""
        return np.array(self._rows, np.float32).reshape(-1, self.COLUMNS)


def grey(rng: np.random.Generator, low: float, high: float, tint: float = 0.03) -> np.ndarray:
    """A random grey with a slight tint, linear albedo."""
    return np.clip(rng.uniform(low, high) + rng.normal(0, tint, 3) * high, 0.01, 0.95)


def vivid(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A random colour, seldom a screaming one, linear albedo."""
    value = rng.uniform(low, high, 3)
    return value + (value.mean() - value) * rng.uniform(0.1, 0.9)


def move(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    """(4, 4) translation after a turn about z."""
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:3, 3] = x, y, z
    return T


# Side profiles from the rear (0) to the front (1): share of the length, belt height, roof height, as shares of the car's height.
PROFILES = {
    "sedan": ([0, 0.02, 0.16, 0.30, 0.42, 0.56, 0.72, 0.97, 1], [0.48, 0.66, 0.68, 0.66, 0.65, 0.64, 0.62, 0.50, 0.36],
              [0.48, 0.66, 0.68, 0.95, 1.0, 0.99, 0.62, 0.50, 0.36]),
    "hatchback": ([0, 0.02, 0.14, 0.38, 0.60, 0.78, 0.97, 1], [0.45, 0.64, 0.65, 0.64, 0.62, 0.60, 0.48, 0.34],
                  [0.45, 0.64, 0.95, 1.0, 0.97, 0.60, 0.48, 0.34]),
    "wagon": ([0, 0.02, 0.08, 0.35, 0.60, 0.74, 0.97, 1], [0.45, 0.62, 0.63, 0.63, 0.62, 0.60, 0.48, 0.34],
              [0.45, 0.62, 0.94, 1.0, 0.98, 0.60, 0.48, 0.34]),
    "suv": ([0, 0.02, 0.07, 0.35, 0.58, 0.72, 0.96, 1], [0.45, 0.62, 0.62, 0.62, 0.61, 0.60, 0.54, 0.40],
            [0.45, 0.62, 0.95, 1.0, 0.98, 0.60, 0.54, 0.40]),
    "van": ([0, 0.01, 0.02, 0.55, 0.72, 0.90, 0.99, 1], [0.3, 0.52, 0.52, 0.52, 0.5, 0.46, 0.38, 0.25],
            [0.3, 0.98, 1.0, 1.0, 0.97, 0.48, 0.38, 0.25]),
    "truck": ([0, 0.005, 0.01, 0.70, 0.705, 0.72, 0.98, 1], [0.25, 0.27, 0.28, 0.28, 0.28, 0.45, 0.42, 0.3],
              [0.25, 1.0, 1.0, 1.0, 0.28, 0.82, 0.78, 0.3]),
}
SIZES = {  # length, width, height (metres): low, high
    "sedan": ((4.3, 4.95), (1.70, 1.88), (1.38, 1.50)), "hatchback": ((3.5, 4.4), (1.60, 1.82), (1.40, 1.56)),
    "wagon": ((4.4, 4.9), (1.72, 1.86), (1.42, 1.55)), "suv": ((4.2, 4.9), (1.78, 1.98), (1.60, 1.88)),
    "van": ((4.6, 6.2), (1.85, 2.10), (1.85, 2.60)), "truck": ((6.5, 9.5), (2.3, 2.5), (2.9, 3.7)),
}
CAR_PAINTS = np.array([(0.02, 0.02, 0.022), (0.05, 0.05, 0.055), (0.14, 0.14, 0.15), (0.35, 0.36, 0.37), (0.55, 0.56, 0.57), (0.80, 0.80, 0.78),
                       (0.35, 0.02, 0.02), (0.03, 0.06, 0.25), (0.05, 0.16, 0.40), (0.02, 0.09, 0.05), (0.45, 0.35, 0.20), (0.60, 0.42, 0.02),
                       (0.20, 0.08, 0.03), (0.62, 0.18, 0.02)])


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
    ring = np.stack([np.c_[x, w, floor], np.c_[x, w, belt * 0.55 + floor * 0.45], np.c_[x, w * 0.96, belt], np.c_[x, w_roof, roof],
                     np.c_[x, -w_roof, roof], np.c_[x, -w * 0.96, belt], np.c_[x, -w, belt * 0.55 + floor * 0.45], np.c_[x, -w, floor]], 1)
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
        body += [[ring[k, 0], ring[k, 1], ring[k, 6], ring[k, 7]], [ring[k, 1], ring[k, 2], ring[k, 5], ring[k, 6]],
                 [ring[k, 2], ring[k, 3], ring[k, 4], ring[k, 5]]]
    parts = [quads(np.array(body), None, Material.PAINT, paint)]
    if panes:
        uv = np.array([[(0, 0, n), (1, 0, n), (1, 1, n), (0, 1, n)] for n in lengths])
        parts.append(quads(np.array(panes), uv, Material.GLASS, glass))
    rear, front, low = -0.5 * length, 0.5 * length, belt[0]
    y = 0.40 * width
    for side in (-1, 1):
        parts.append(box((rear - 0.02, side * y - 0.12, low * 0.80), (rear + 0.2, side * y + 0.12, low * 1.02), style=red))
        parts.append(box((front - 0.25, side * y - 0.15, belt[-2] * 0.80), (front + 0.01, side * y + 0.15, belt[-2] * 0.99), style=light))
        parts.append(box((0.18 * length, side * (0.5 * width + 0.08) - 0.08, belt[4]),
                         (0.18 * length + 0.12, side * (0.5 * width + 0.08) + 0.08, belt[4] + 0.13), style=paint))
    plate = styles.add((0.8, 0.8, 0.75))
    for end in (rear - 0.015, front - 0.005):
        parts.append(box((end, -0.26, 0.45), (end + 0.02, 0.26, 0.56), style=plate))
        parts.append(box((end - 0.005, -0.45 * width, 0.24), (end + 0.02, 0.45 * width, 0.36), style=dark))
    radius = float(np.clip(0.21 * height, 0.29, 0.48))
    for end in (-0.30, 0.31):
        for side in (-1, 1):
            parts.append(_wheel(end * length, side * (0.5 * width - 0.10), radius, side, wheel))
    size = np.array([length + 0.04, width + 0.04, height])
    return merge(parts), size


def _wheel(x: float, y: float, radius: float, side: float, style: int) -> Mesh:
    angle = np.linspace(0, 2 * np.pi, 13)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    rim = np.c_[x + radius * circle[:, 0], np.full(13, y + side * 0.11), radius + radius * circle[:, 1]]
    inner = rim - [0, side * 0.22, 0]
    hub = np.broadcast_to([x, y + side * 0.11, radius], (12, 3))
    coords = np.c_[circle, np.zeros(13)]
    disc = triangles(np.stack([rim[:-1], rim[1:], hub], 1), np.stack([coords[:-1], coords[1:], np.zeros((12, 3))], 1), Material.WHEEL, style)
    tread = quads(np.stack([rim[:-1], rim[1:], inner[1:], inner[:-1]], 1), np.stack([coords[:-1], coords[1:], coords[1:], coords[:-1]], 1),
                  Material.WHEEL, style)
    return merge([disc, tread])


def person(rng: np.random.Generator, styles: Styles) -> tuple[Mesh, np.ndarray]:
    """A walking figure and its (3,) size."""
    height = rng.uniform(1.45, 1.92)
    shirt, trousers = styles.add(vivid(rng, 0.02, 0.7)), styles.add(rng.uniform(0.02, 0.3) * np.ones(3) + rng.uniform(0, 0.08, 3))
    skin, hair = styles.add(np.array([0.5, 0.33, 0.25]) * rng.uniform(0.4, 1.2)), styles.add(grey(rng, 0.02, 0.2))
    h, stride = height, rng.uniform(0.05, 0.22)
    parts = []
    for side in (-1, 1):
        parts.append(_limb((side * stride, side * 0.09, 0.0), (0.0, side * 0.09, 0.48 * h), 0.075, trousers))
        parts.append(_limb((-side * stride * 0.9, side * 0.24, 0.46 * h), (0.0, side * 0.2, 0.80 * h), 0.05, shirt))
    parts.append(_limb((0, 0, 0.46 * h), (0.02, 0, 0.83 * h), 0.17, shirt, flat=0.65))
    parts.append(blob((0.10, 0.085, 0.125), roughness=0.02, rng=rng, subdivisions=1, material=Material.PLAIN, style=skin).moved(move(0.02, 0, 0.925 * h)))
    parts.append(blob((0.11, 0.10, 0.09), roughness=0.02, rng=rng, subdivisions=1, material=Material.PLAIN, style=hair).moved(move(-0.005, 0, 0.955 * h)))
    return merge(parts), np.array([0.6, 0.64, height])


def _limb(a: tuple[float, ...], b: tuple[float, ...], radius: float, style: int, flat: float = 1.0) -> Mesh:
    """A six-sided prism from a to b; flat squeezes it along x."""
    angle = np.linspace(0, 2 * np.pi, 7)
    circle = np.c_[flat * radius * np.cos(angle), radius * np.sin(angle), np.zeros(7)]
    low, high = circle + a, circle * 0.95 + b
    side = quads(np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1), None, Material.PLAIN, style)
    centre = np.broadcast_to(np.asarray(b, np.float64), (6, 3))
    return merge([side, triangles(np.stack([high[:-1], high[1:], centre], 1), None, Material.PLAIN, style)])


def cyclist(rng: np.random.Generator, styles: Styles) -> tuple[Mesh, np.ndarray]:
    """A person on a bicycle and its (3,) size."""
    rider, size = person(rng, styles)
    frame, tyre = styles.add(rng.uniform(0.02, 0.6, 3)), styles.add((0.03, 0.03, 0.03))
    parts = [rider.moved(move(-0.1, 0, 0.32), (1.0, 0.8, 0.95))]
    for x in (-0.52, 0.52):
        angle = np.linspace(0, 2 * np.pi, 15)
        outer = np.c_[x + 0.34 * np.cos(angle), np.zeros(15), 0.34 + 0.34 * np.sin(angle)]
        inner = np.c_[x + 0.29 * np.cos(angle), np.zeros(15), 0.34 + 0.29 * np.sin(angle)]
        for y in (-0.02, 0.02):
            parts.append(quads(np.stack([outer[:-1], outer[1:], inner[1:], inner[:-1]], 1) + [0, y, 0], None, Material.PLAIN, tyre))
    for a, b in (((-0.52, 0, 0.34), (0.35, 0, 0.8)), ((-0.15, 0, 0.3), (-0.2, 0, 0.9)), ((0.52, 0, 0.34), (0.38, 0, 1.0)), ((-0.52, 0, 0.34), (-0.15, 0, 0.3))):
        parts.append(_limb(a, b, 0.025, frame))
    return merge(parts), np.array([1.74, 0.6, 0.32 + 0.95 * size[2]])


def tree(kind: str, rng: np.random.Generator) -> Mesh:
    """A tree about 1 unit = 1 metre tall scale 8; style 0 marks leaves, style 1 wood. kind: round, tall, conifer, bush, bare."""
    parts: list[Mesh] = []
    if kind == "bush":
        crowns = [((rng.normal(0, 0.5), rng.normal(0, 0.5), rng.uniform(0.3, 0.8)), rng.uniform(0.5, 1.0)) for _ in range(rng.integers(2, 5))]
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
            turn, down = rng.uniform(0, 6.28, 90), rng.uniform(0, 1, 90) ** 2
            at = np.c_[np.cos(turn) * radius * (1.05 - down), np.sin(turn) * radius * (1.05 - down), 2.6 * down - 0.1]
            parts.append(triangles(at[:, None] + rng.normal(0, 0.13, (90, 3, 3)), None, Material.LEAF).moved(move(0, 0, z)))
    else:
        crowns = [(tuple(np.array([0, 0, rng.uniform(4.6, 5.6)]) + rng.normal(0, 1.25, 3) * [1, 1, 0.75]), rng.uniform(1.0, 1.9))
                  for _ in range(rng.integers(5, 10))]
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
        planes = [[(x0 - over, -over, height - 0.1), (x1 + over, -over, height - 0.1), r1, r0],
                  [(x1 + over, depth + over, height - 0.1), (x0 - over, depth + over, height - 0.1), r0, r1]]
        gables = [[(x0, 0, height), (x0, depth, height), (x0, depth / 2, height + rise)], [(x1, 0, height), (x1, depth, height), (x1, depth / 2, height + rise)]]
        width = length
    else:
        r0, r1 = (0, -over, height + rise), (0, depth + over, height + rise)
        planes = [[(x0 - over, depth + over, height - 0.1), (x0 - over, -over, height - 0.1), r0, r1],
                  [(x1 + over, -over, height - 0.1), (x1 + over, depth + over, height - 0.1), r1, r0]]
        gables = [[(x0, 0, height), (x1, 0, height), (0, 0, height + rise)], [(x0, depth, height), (x1, depth, height), (0, depth, height + rise)]]
        width = depth
    slope = float(np.hypot(span / 2, rise))
    uv = np.array([[(0, 0, 0), (width, 0, 0), (width, slope, 0), (0, slope, 0)]] * 2)
    parts.append(quads(np.array(planes), uv, Material.ROOF, roof_style))
    flat = np.array([[(p[0] + p[1], p[2], height + rise + 9) for p in g] for g in gables])
    parts.append(triangles(np.array(gables), flat, Material.WALL, wall_style))
    return merge(parts)


def wall(length: float, height: float, thickness: float, style: int, material: Material = Material.MASONRY) -> Mesh:
    """A garden wall, fence or barrier along x, centred."""
    return box((-length / 2, -thickness / 2, -0.3), (length / 2, thickness / 2, height), material, style)


def hedge(length: float, height: float, thickness: float, rng: np.random.Generator, style: int) -> Mesh:
    """A clipped hedge along x with a bumpy skin and loose twigs."""
    nx = max(2, int(length / 0.5))
    x = np.linspace(-length / 2, length / 2, nx + 1)
    outline = np.array([(-0.5, -0.1), (-0.55, 0.35), (-0.5, 0.75), (-0.35, 1.0), (0.0, 1.02), (0.35, 1.0), (0.5, 0.75), (0.55, 0.35), (0.5, -0.1)])
    rows = np.zeros((nx + 1, len(outline), 3))
    rows[..., 0] = x[:, None]
    rows[..., 1] = outline[:, 0] * thickness
    rows[..., 2] = outline[:, 1] * height
    rows[1:-1] += rng.normal(0, 0.05, (nx - 1, len(outline), 3)) * [1, 1, 1]
    rows[0, :, 1:] *= 0.9
    skin = quads(np.stack([rows[:-1, :-1], rows[1:, :-1], rows[1:, 1:], rows[:-1, 1:]], 2).reshape(-1, 4, 3), None, Material.LEAF, style)
    ends = [quads(np.array([[rows[k, 0], rows[k, 2], rows[k, 6], rows[k, 8]], [rows[k, 2], rows[k, 3], rows[k, 5], rows[k, 6]]]), None, Material.LEAF, style)
            for k in (0, -1)]
    n = int(14 * length)
    at = np.c_[rng.uniform(-length / 2, length / 2, n), rng.choice([-0.52, 0.52, 0.0], n) * thickness, rng.uniform(0.1, 1.0, n) * height]
    top = at[:, 1] == 0
    at[top, 1], at[top, 2] = rng.uniform(-0.5, 0.5, top.sum()) * thickness, height
    twigs = triangles(at[:, None] + rng.normal(0, 0.07, (n, 3, 3)), None, Material.LEAF, style)
    return merge([skin, *ends, twigs])


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
    back = triangles(np.stack([rim[:-1], rim[1:], middle], 1) + [0.02, 0, 0], None, Material.PLAIN, post)
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
            parts.append(blob((0.03, 0.1, 0.1), roughness=0.0, rng=np.random.default_rng(0), subdivisions=1, material=Material.PLAIN, style=colour)
                         .moved(move(-0.25, y, z + 0.08 + 0.27 * (2 - k) + 0.05)))
    return merge(parts)
