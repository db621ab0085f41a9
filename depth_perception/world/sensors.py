"""The car's sensors: a pinhole camera and a spinning LiDAR, both exact rays against the street."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.geometry import camera, pose
from depth_perception.geometry.deskew import deskew
from depth_perception.world import ageing, hard, light
from depth_perception.world.appearance import Appearance
from depth_perception.world.flicker import FlickerAt
from depth_perception.world.ground_colour import paint_left
from depth_perception.world.mesh import Material
from depth_perception.world.mirrors import mirrored, reflectance
from depth_perception.world.paint import coverage
from depth_perception.world.points import Points
from depth_perception.world.street import Street
from depth_perception.world.surface import albedo
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Hits, Tracer

OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)  # camera axes in body axes (REP 103)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the car. fov: horizontal, degrees; height, forward: metres above the ground and ahead of the rear axle;
    pitch (nose down positive), roll: degrees; centre: offset of the principal point from the middle, shares of width and height."""

    width: int = 1242
    height: int = 375
    fov: float = 81.4
    mount: float = 1.65
    forward: float = 1.6
    pitch: float = 0.0
    roll: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 8192 and 16 <= self.height <= 8192):
            raise BadInput(f"camera size: wanted 16..8192 pixels, got {self.width}x{self.height}")
        if not 10 <= self.fov <= 150:
            raise BadInput(f"fov: wanted 10..150 degrees, got {self.fov:g}")

    def calibration(self, lidar: Lidar | None) -> Calibration:
        """The camera as the rest of the package knows it."""
        f = 0.5 * self.width / np.tan(np.deg2rad(self.fov) / 2)
        K = np.array(
            [
                [f, 0, (self.width - 1) / 2 + self.centre[0] * self.width],
                [0, f, (self.height - 1) / 2 + self.centre[1] * self.height],
                [0, 0, 1],
            ]
        )
        tilt = np.eye(4)
        tilt[:3, :3] = pose.exp_so3(np.array([0, np.deg2rad(self.pitch), 0])) @ pose.exp_so3(np.array([np.deg2rad(self.roll), 0, 0]))
        T_base_camera = pose.from_rotation_vector(np.zeros(3), np.array([self.forward, 0, self.mount])) @ tilt @ OPTICAL
        T_camera_lidar = None if lidar is None else pose.inverse(T_base_camera) @ lidar.T_base_lidar(self)
        return Calibration(K, self.width, self.height, "camera", T_base_camera, T_camera_lidar, "base_link")


@dataclass(frozen=True)
class Lidar:
    """A spinning LiDAR, `above` and `behind` the camera (metres).

    sweep_s: seconds a turn takes, clockwise from behind, the scan's stamp in its middle: each column is measured from where the car is by
    then, and its points say when. 0: all points of a sweep are of one instant. What moves beside the car stands still for a turn.
    """

    rings: int = 64
    columns: int = 1024
    lowest: float = -24.8
    highest: float = 2.0
    reach: float = 100.0
    noise: float = 0.015
    above: float = 0.08
    behind: float = 0.27
    sweep_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sweep_s <= 1:
            raise BadInput(f"lidar: wanted a sweep of 0 to 1 seconds, got {self.sweep_s:g}")
        if self.rings < 1 or self.columns < 8:
            raise BadInput(f"lidar: wanted at least 1 ring of 8 columns, got {self.rings} of {self.columns}")

    def T_base_lidar(self, camera: Camera) -> np.ndarray:
        """(4, 4) LiDAR frame (x forward, z up) -> body frame."""
        return pose.from_rotation_vector(np.zeros(3), np.array([camera.forward - self.behind, 0, camera.mount + self.above]))

    def directions(self) -> tuple[np.ndarray, np.ndarray]:
        """(rings * columns, 3) unit directions in the LiDAR frame and their (N,) int32 ring, 0 = highest."""
        elevation = np.deg2rad(np.linspace(self.highest, self.lowest, self.rings))[:, None]
        azimuth = np.linspace(np.pi, -np.pi, self.columns, endpoint=False)[None]
        d = np.stack(np.broadcast_arrays(np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)), -1)
        return d.reshape(-1, 3).astype(np.float32), np.repeat(np.arange(self.rings, dtype=np.int32), self.columns)

    def seconds(self) -> np.ndarray:
        """(rings * columns,) float32, when each direction is measured, relative to the stamp."""
        share = np.arange(self.columns) / self.columns
        return np.tile((share - 0.5) * self.sweep_s + 0.0, self.rings).astype(np.float32)  # + 0.0: no negative zeros


@dataclass(frozen=True, eq=False)
class Picture:
    """light: (H, W, 3) float32 linear; depth: (H, W) float32 z in metres, NaN = sky; markings: (H, W) uint8; hard: (H, W) uint8, bits.

    wear: (H, W) uint8, what is left of the paint where there is or was some, of 255; None on a road that has not aged.
    """

    light: np.ndarray
    depth: np.ndarray
    markings: np.ndarray
    hard: np.ndarray
    wear: np.ndarray | None = None


@dataclass(frozen=True)
class Detail:
    """What shading may cost. shadows: rays to the sun; openness: rays to the sky nearby (soft corners); mirrors: rays into what shines."""

    shadows: bool = True
    openness: bool = True
    mirrors: bool = False


FULL = Detail()


def photograph(
    tracer: Tracer,
    street: Street,
    calibration: Calibration,
    T_world_camera: np.ndarray,
    look: Appearance,
    noise: Noise,
    detail: Detail = FULL,
    flicker: FlickerAt | None = None,
) -> Picture:
    """What the camera sees: light before the film, exact depth, marking classes and why pixels are hard."""
    height, width = calibration.height, calibration.width
    rays = camera.rays(calibration.K, height=height, width=width).reshape(-1, 3)
    direction = rays @ T_world_camera[:3, :3].T.astype(np.float32)
    hits = tracer.cast(T_world_camera[:3, 3], direction)
    length = np.sqrt(np.einsum("ij,ij->i", direction, direction))
    unit = direction / length[:, None]
    depth = np.where(np.isfinite(hits.t), hits.t, np.float32(np.nan)).reshape(height, width)
    pixel = 1.0 / float(calibration.K[0, 0])
    seen = hits.seen(direction, pixel)
    colour, gloss, kind = albedo(seen, street, noise)
    sunlit, open_sky = _light_reaching(tracer, hits, (height, width), look, detail)
    if street.ageing is not None and street.ageing.shadowed:
        sunlit = sunlit * ageing.shade(street.ageing, hits.points, light.sun_direction(look), noise)
    out = np.zeros((height * width, 3), np.float32)
    above = np.flatnonzero(~np.isfinite(hits.t))
    out[above] = light.sky(unit[above], look, noise)
    d = unit[hits.index]
    bare = hits.material == Material.BARE
    open_sky[bare] = 1  # its estimate is grainy, and a bare wall has no grain
    share = reflectance(seen, gloss, street, noise) if detail.mirrors else np.zeros(len(gloss), np.float32)
    shines = np.flatnonzero(share)
    gloss[shines] = 0  # the mirror ray takes its place
    shaded = light.lit(colour, gloss, hits.normal, d, hits.material == Material.LEAF, sunlit, open_sky, look, noise)
    flickers = np.zeros(len(share), bool)
    if flicker is not None:
        shaded *= flicker.factor(hits.points)[:, None]
        flickers = flicker.noticeable(hits.points)
    reflects = np.zeros(len(share), bool)
    if len(shines):
        own = shaded[shines] * (1 - share[shines, None])
        other = share[shines, None] * mirrored(tracer, street, seen.at(shines), d[shines], look, noise, pixel=pixel, flicker=flicker)
        shaded[shines] = own + other
        reflects[shines] = other.sum(1) > 0.5 * own.sum(1)
    far = (hits.t * length)[hits.index]
    out[hits.index] = light.hazed(shaded, far, look)

    def spread(values: np.ndarray) -> np.ndarray:
        whole = np.zeros(height * width, values.dtype)
        whole[hits.index] = values
        return whole.reshape(height, width)

    picture = out.reshape(height, width, 3)
    bits = hard.mask(
        moving=spread(hits.moving),
        flicker=spread(flickers & ~reflects),
        reflecting=spread(reflects),
        textureless=hard.even(picture, spread(bare)),
    )
    wear = None
    if street.ageing is not None:
        wear = np.zeros(len(kind), np.uint8)
        i = np.flatnonzero(kind)
        long = seen.blur[i] / np.maximum(seen.graze[i], 0.01)
        wear[i] = np.rint(255 * paint_left(street, seen.coords[i, 0], seen.coords[i, 1], noise, long))
        wear = spread(wear)
    return Picture(picture, depth, spread(kind), bits, wear)


def _light_reaching(tracer: Tracer, hits: Hits, shape: tuple[int, int], look: Appearance, detail: Detail) -> tuple[np.ndarray, np.ndarray]:
    """(M,) shares 0..1 of sun and sky that reach the hits, traced at half the resolution and smoothed."""
    height, width = shape
    position = np.full(height * width, -1, np.int64)
    position[hits.index] = np.arange(len(hits.index))
    half = position.reshape(shape)[::2, ::2]
    rows = half[half >= 0]
    start = hits.points[rows] + 0.03 * hits.normal[rows]
    leaf = hits.material[rows] == Material.LEAF
    start[leaf] += 0.25 * hits.normal[rows][leaf]
    out = []
    for wanted in ("sun", "sky"):
        free: np.ndarray = np.ones(half.shape, np.float32)
        if wanted == "sun" and detail.shadows and look.sunlight > 0.05:
            free[half >= 0] = ~tracer.blocked(start, light.sun_direction(look), 150.0)
        elif wanted == "sky" and detail.openness:
            rng = np.random.default_rng(7)
            spread = rng.normal(size=(61 * 67, 3)).astype(np.float32)
            spread /= np.linalg.norm(spread, axis=1, keepdims=True)
            cell = (np.arange(half.shape[0])[:, None] * 61 + np.arange(half.shape[1])[None] * 37) % len(spread)
            toward = hits.normal[rows] + 0.9 * spread[cell[half >= 0]] + np.float32([0, 0, 0.3])
            toward /= np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-3)
            free[half >= 0] = ~tracer.blocked(start, toward, 3.0)
            free = np.asarray(cv2.blur(free, (5, 5)), np.float32)
        full = cv2.GaussianBlur(cv2.resize(free, (width, height), interpolation=cv2.INTER_LINEAR), (0, 0), 0.8)
        out.append(full.ravel()[hits.index])
    return out[0], out[1]


def sweep(
    tracer: Tracer,
    street: Street,
    lidar: Lidar,
    T_world_lidar: np.ndarray,
    stamp_ns: int,
    rng: np.random.Generator,
    twist: np.ndarray | None = None,
) -> Scan:
    """One turn of the LiDAR: range noise, lost returns where little light comes back, intensity 0..1.

    twist: (6,) the LiDAR's own velocity in its own frame, m/s and rad/s; None: at rest.
    """
    rays, ring = lidar.directions()
    seconds = lidar.seconds()
    origin, toward = T_world_lidar[:3, 3], rays
    if twist is not None and lidar.sweep_s > 0:
        start = deskew(np.zeros_like(rays), seconds, twist)
        origin, toward = pose.transform(T_world_lidar, start.astype(np.float64)), deskew(rays, seconds, twist) - start
    direction = toward @ T_world_lidar[:3, :3].T.astype(np.float32)
    hits = tracer.cast(origin, direction)
    distance = hits.t[hits.index]
    seen = hits.seen(direction, 0.002)
    back = _reflectance(seen, street) * (0.25 + 0.75 * seen.graze) + 0.4 * (hits.material == Material.SIGN)
    weak = back * (30.0 / np.maximum(distance, 1.0)) ** 2 < rng.uniform(0, 0.02, len(distance))
    lost = (
        weak
        | (rng.random(len(distance)) < np.where((hits.material == Material.GLASS) | (hits.material == Material.CURTAIN), 0.6, 0.01))
        | (distance > lidar.reach)
        | (distance < 1.5)
    )
    keep = np.flatnonzero(~lost)
    noisy = distance[keep] + rng.normal(0, lidar.noise, len(keep)).astype(np.float32)
    index = hits.index[keep]
    return Scan(
        rays[index] * noisy[:, None],
        stamp_ns,
        np.clip(back[keep], 0, 1).astype(np.float32),
        ring[index],
        seconds[index],
        "lidar",
    )


def _reflectance(seen: Points, street: Street) -> np.ndarray:
    """(M,) mean albedo of the surface; markings shine."""
    grey = street.styles[seen.style, :3].mean(1)
    ground = np.flatnonzero(seen.material == Material.GROUND)
    s, d = seen.coords[ground, 0], seen.coords[ground, 1]
    value = np.where(np.abs(d) < street.road.half, street.look.asphalt.mean(), street.look.grass.mean())
    blur = np.full(len(ground), 0.02, np.float32)
    _, share = coverage(street.paint, street.road, s, d, blur_s=blur, blur_d=blur)
    grey[ground] = value * (1 - share) + 0.7 * share
    grey[seen.material == Material.LEAF] = 0.35
    return grey
