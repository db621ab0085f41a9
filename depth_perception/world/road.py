"""The road: a smooth centreline over gentle hills, its cross-section, its crossings, and the ground as a mesh.

Road coordinates: s metres along the centreline, d metres to its left. Traffic keeps right: the car drives at d < 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.world.mesh import Material, Mesh, _uniform, merge

REACH = 70.0  # metres of ground to each side of the centreline
STEP = 0.5  # metres between centreline samples


@dataclass(frozen=True, eq=False)
class Road:
    """Geometry of the road.

    Attributes:
        s, x, y, heading: (N,) float64 samples of the centreline, metres and radians.
        lanes: (right, left): lanes on the right of the centre and on the left.
        lane_width, parking, sidewalk: metres; 0 = none.
        kerb: height of the kerb, metres.
        crossings: (C, 2) float64: s of the side street's middle and its half width, metres.
        hills: (H, 4) float64: wave vector x, y (1/m), phase, amplitude (m).
    """

    s: np.ndarray
    x: np.ndarray
    y: np.ndarray
    heading: np.ndarray
    lanes: tuple[int, int]
    lane_width: float
    parking: float
    sidewalk: float
    kerb: float
    crossings: np.ndarray
    hills: np.ndarray

    @property
    def half(self) -> float:
        """Metres from the centreline to either kerb."""
        return max(self.lanes) * self.lane_width + self.parking

    @property
    def edge(self) -> float:
        """Metres from the centreline to where the sidewalk ends."""
        return self.half + self.sidewalk

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Ground height without kerbs, metres."""
        return sum((a * np.sin(kx * x + ky * y + p) for kx, ky, p, a in self.hills), np.zeros(np.shape(x)))

    def up(self, x: float, y: float) -> np.ndarray:
        """(3,) unit normal of the ground."""
        gx = sum(a * kx * np.cos(kx * x + ky * y + p) for kx, ky, p, a in self.hills)
        gy = sum(a * ky * np.cos(kx * x + ky * y + p) for kx, ky, p, a in self.hills)
        n = np.array([-gx, -gy, 1.0])
        return n / np.linalg.norm(n)

    def xy(self, s: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Road coordinates -> world x, y and the road's heading there."""
        heading = np.interp(s, self.s, self.heading)
        return (np.interp(s, self.s, self.x) - d * np.sin(heading), np.interp(s, self.s, self.y) + d * np.cos(heading), heading)

    def kerb_height(self, s: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Height above the road of the ground at (s, d), metres."""
        return np.where((np.abs(d) >= self.half) & ~self.in_crossing(s), self.kerb, 0.0)

    def in_crossing(self, s: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Whether s lies inside a side street widened by `margin` metres."""
        inside = np.zeros(np.shape(s), bool)
        for middle, half in self.crossings:
            inside |= np.abs(s - middle) < half + margin
        return inside

    def place(self, s: float, d: float, yaw: float = 0.0, *, on_slope: bool = False, lift: float = 0.0) -> np.ndarray:
        """(4, 4) T_world_object of a thing standing at (s, d), its x axis turned by `yaw` from the road's direction."""
        x, y, heading = (float(v) for v in self.xy(np.float64(s), np.float64(d)))
        z = float(self.height(np.float64(x), np.float64(y)) + self.kerb_height(np.float64(s), np.float64(d))) + lift
        up = self.up(x, y) if on_slope else np.array([0.0, 0.0, 1.0])
        forward = np.array([np.cos(heading + yaw), np.sin(heading + yaw), 0.0])
        forward -= up * (forward @ up)
        forward /= np.linalg.norm(forward)
        T = np.eye(4)
        T[:3, 0], T[:3, 1], T[:3, 2], T[:3, 3] = forward, np.cross(up, forward), up, (x, y, z)
        return T

    def clear(self, s: float, d: float, radius: float) -> bool:
        """Whether a thing of `radius` meant to stand `d` beside the road at s is not in the way elsewhere: bends bring far parts near."""
        x, y, _ = self.xy(np.float64(s), np.float64(d))
        return bool(np.hypot(self.x - x, self.y - y).min() > min(abs(d) - 0.5, self.half + radius))


def random_road(
    rng: np.random.Generator,
    *,
    length: float,
    lanes: tuple[int, int],
    lane_width: float,
    parking: float,
    sidewalk: float,
    kerb: float,
    bend: float,
    turns: float,
    crossing_every: float,
    hilly: float,
) -> Road:
    """A road from s = -120 to `length` + 260.

    bend: typical curvature of long bends, 1/m; turns: tight turns per 100 m; crossing_every: mean metres between side streets
    (0 = none); hilly: typical slope.
    """
    s = np.arange(-120.0, length + 260.0, STEP)
    curvature = np.zeros(len(s))
    heading_now, k = 0.0, 0
    while k < len(s):
        n = int(rng.uniform(30, 110) / STEP)
        if rng.random() < turns:
            radius = rng.uniform(22, 45)
            angle = rng.uniform(0.5, 1.2) * (-np.sign(heading_now) if abs(heading_now) > 0.3 else rng.choice([-1, 1]))
            n = int(abs(angle) * radius * 1.5 / STEP)
            value = angle / (n * STEP)
        else:
            value = np.clip(rng.normal(0, bend) - 0.004 * heading_now, -0.02, 0.02)
        curvature[k : k + n] = value
        heading_now += value * n * STEP
        k += n
    smooth = np.hanning(int(18 / STEP))
    curvature = np.convolve(np.pad(curvature, len(smooth), mode="edge"), smooth / smooth.sum(), mode="same")[len(smooth) : -len(smooth)]
    heading = np.cumsum(curvature) * STEP
    heading -= np.interp(0.0, s, heading)
    x, y = np.cumsum(np.cos(heading)) * STEP, np.cumsum(np.sin(heading)) * STEP
    x, y = x - np.interp(0.0, s, x), y - np.interp(0.0, s, y)
    crossings = []
    if crossing_every > 0:
        at = rng.uniform(15, 15 + crossing_every)
        while at < s[-1] - 30:
            crossings.append((at, rng.uniform(3.0, 5.5)))
            at += rng.uniform(0.5, 1.5) * crossing_every + 25
    waves = []
    for _ in range(3):
        wavelength, direction = rng.uniform(180, 420), rng.uniform(0, 2 * np.pi)
        w = 2 * np.pi / wavelength
        waves.append((w * np.cos(direction), w * np.sin(direction), rng.uniform(0, 2 * np.pi), hilly * abs(rng.normal(0, 0.6)) / w))
    return Road(s, x, y, heading, lanes, lane_width, parking, sidewalk, kerb, np.array(crossings).reshape(-1, 2), np.array(waves))


def ground(road: Road) -> Mesh:
    """The ground along the road with its kerbs, and a plain beneath and beyond it."""
    rows = [road.s[::2]]
    for middle, half in road.crossings:
        rows.append(np.array([middle - half - 0.01, middle - half, middle + half, middle + half + 0.01]))
    s = np.unique(np.concatenate(rows))
    right = [REACH, 45.0, 28.0, 18.0, road.edge + 0.01, road.half + 0.001, road.half - 0.001, 0.5 * road.half]
    d = np.array([-v for v in sorted(right, reverse=True)] + [0.0, *sorted(right)])
    curvature = np.gradient(np.interp(s, road.s, road.heading), s)
    inner = 0.9 / np.maximum(np.abs(curvature), 1e-6)
    D = np.broadcast_to(d, (len(s), len(d)))
    D = np.where(np.sign(D) == np.sign(curvature)[:, None], np.sign(D) * np.minimum(np.abs(D), inner[:, None]), D)
    S = np.broadcast_to(s[:, None], D.shape)
    X, Y, _ = road.xy(S.ravel(), D.ravel())
    Z = road.height(X, Y) + road.kerb_height(S.ravel(), D.ravel())
    strip = _grid(np.c_[X, Y, Z], np.c_[S.ravel(), D.ravel(), np.zeros(D.size)], D.shape, Material.GROUND)
    px, py = (np.arange(v.min() - 500, v.max() + 520, 20.0) for v in (road.x, road.y))
    PX, PY = np.meshgrid(px, py)
    plain = np.c_[PX.ravel(), PY.ravel(), road.height(PX, PY).ravel() - 0.35]
    field = _grid(plain, np.zeros_like(plain), PX.shape, Material.FIELD, flip=True)
    return merge([strip, field])


def _grid(points: np.ndarray, coords: np.ndarray, shape: tuple[int, int], material: Material, flip: bool = False) -> Mesh:
    index = np.arange(points.shape[0], dtype=np.int32).reshape(shape)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    tris = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return _uniform(points.astype(np.float32), tris[:, ::-1] if flip else tris, coords.astype(np.float32), material, 0)
