"""A car drives down a street: `drive(Config)` yields moments with what the sensors say and what is true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from depth_perception.frame import BadInput, Frame
from depth_perception.geometry import pose
from depth_perception.geometry.deskew import deskew
from depth_perception.world.ageing import NEW, VISIBLE, Aged, aged
from depth_perception.world.appearance import Appearance, harsh, random_appearance
from depth_perception.world.flicker import Flicker
from depth_perception.world.hard import NONE, Hard
from depth_perception.world.jam import glaring, jam_setting
from depth_perception.world.kerb import random_kerb
from depth_perception.world.layout import random_street
from depth_perception.world.light import Film
from depth_perception.world.mesh import Mesh, merge
from depth_perception.world.plan import SETTINGS
from depth_perception.world.road import Road
from depth_perception.world.sensors import FULL, Camera, Detail, Lidar, photograph, sweep
from depth_perception.world.street import Actor, Box, Street
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Tracer
from depth_perception.world.traffic import CarAhead

START_NS = 1_700_000_000_000_000_000
LIDAR_LEAD_NS = 10_000_000
BOX_REACH = 75.0
SIDE_STREET = 40.0  # metres from the centreline at which crossing traffic comes and goes
IN_MOTION = 0.2  # m/s
TRAFFIC = ("ordinary", "mixed", "jam")


@dataclass(frozen=True)
class Config:
    """A drive. appearance: "default" (a sunny street), "varied" (street, camera and light drawn from the seed) or "harsh" (as varied, but
    in poor light and by a poor camera).

    lidar: None for a camera alone. setting: one of street.SETTINGS, None = drawn. detail: what shading may cost.
    hard: what to add that photometry fails on; with any of it, moments say of every pixel why it is hard.
    road: what has happened to it since it was painted; with any of it, moments say what is left of the paint.
    traffic: "ordinary", "mixed": with lorries, cyclists and people in numbers, or "jam": all lanes full of what stands or crawls,
        lorries beside us, bridges above.
    """

    seconds: float = 10.0
    seed: int = 0
    rate: float = 10.0
    camera: Camera = field(default_factory=Camera)
    lidar: Lidar | None = field(default_factory=Lidar)
    appearance: str = "default"
    setting: str | None = None
    detail: Detail = FULL
    hard: Hard = NONE
    road: Aged = NEW
    traffic: str = "ordinary"

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise BadInput(f"seconds: wanted 0..3600, got {self.seconds:g}")
        if not 0 < self.rate <= 100:
            raise BadInput(f"rate: wanted 0..100 Hz, got {self.rate:g}")
        if self.seed < 0:
            raise BadInput(f"seed: wanted 0 or more, got {self.seed}")
        if self.appearance not in ("default", "varied", "harsh"):
            raise BadInput(f"appearance: wanted default, varied or harsh, got {self.appearance!r}")
        if self.setting is not None and self.setting not in SETTINGS:
            raise BadInput(f"setting: wanted one of {', '.join(SETTINGS)}, got {self.setting!r}")
        if self.traffic not in TRAFFIC:
            raise BadInput(f"traffic: wanted one of {', '.join(TRAFFIC)}, got {self.traffic!r}")

    @property
    def frames(self) -> int:
        """Number of images."""
        return max(1, round(self.seconds * self.rate))


@dataclass(frozen=True, eq=False)
class Moment:
    """One image and the truth about it.

    Attributes:
        frame: image, calibration and the sweep taken 10 ms earlier (None without a LiDAR).
        depth: (H, W) float32 z in metres, NaN = sky.
        markings: (H, W) uint8 class ids, see paint.Marking; on an aged road only where enough paint is left to see, and no
            puddle mirrors something else.
        hard: (H, W) uint8 bits, see hard.Hard; None where nothing hard was asked for.
        boxes: cars, people and cyclists within 75 m, body frame (with a LiDAR: those that it touches three times or more).
        T_odom_base: (4, 4) body -> odom; odom is the body frame of the first image.
        twist: (6,) linear m/s and angular rad/s velocity in the body frame.
        painted: (H, W) uint8 class ids of what was painted; None on a road that has not aged.
        wear: (H, W) uint8, what is left of the paint there, of 255; None likewise.
    """

    frame: Frame
    depth: np.ndarray
    markings: np.ndarray
    boxes: tuple[Box, ...]
    T_odom_base: np.ndarray
    twist: np.ndarray
    hard: np.ndarray | None = None
    painted: np.ndarray | None = None
    wear: np.ndarray | None = None


class Trajectory:
    """Where the car is at any time: smooth speed with stops, a little weaving, a little pitch and roll."""

    def __init__(self, rng: np.random.Generator, seconds: float, fastest: float, slowest: float | None = None) -> None:
        slowest = max(3.0, 0.35 * fastest) if slowest is None else slowest
        self._t = np.arange(-1.0, seconds + 1.0, 0.01)
        wanted = np.zeros(len(self._t))
        k = 0
        while k < len(wanted):
            n = int(rng.uniform(3, 9) * 100)
            stop = rng.random() < 0.12 and k > 0
            wanted[k : k + n] = 0.0 if stop else rng.uniform(slowest, fastest)
            k += n
        speed = np.empty(len(wanted))
        now = wanted[0]
        for k, target in enumerate(wanted):
            now = max(0.0, now + np.clip(target - now, -0.028, 0.018))
            speed[k] = now
        smooth = np.hanning(81)
        speed = np.convolve(np.pad(speed, 40, mode="edge"), smooth / smooth.sum(), mode="valid")
        speed[speed < 0.02] = 0.0
        self._s = np.cumsum(speed) * 0.01
        self._s -= np.interp(0.0, self._t, self._s)
        acceleration = np.gradient(speed, 0.01)
        self._dive = -0.004 * np.convolve(np.pad(acceleration, 40, mode="edge"), smooth / smooth.sum(), mode="valid")
        self._weave = [(rng.uniform(0.0, 0.12), 2 * np.pi / rng.uniform(25, 80), rng.uniform(0, 6.28)) for _ in range(2)]
        self._shake = [(rng.uniform(0, 0.003), 2 * np.pi / rng.uniform(3.5, 15), rng.uniform(0, 6.28)) for _ in range(4)]

    @property
    def length(self) -> float:
        """Metres driven."""
        return float(self._s[-1])

    def s(self, t: float) -> float:
        """Metres along the road at t seconds."""
        return float(np.interp(t, self._t, self._s))

    def arrival(self, s: float) -> float:
        """Seconds at which the car is at s metres along the road; the drive's end for what it never reaches."""
        return float(np.interp(s, self._s, self._t))

    def T_world_base(self, road: Road, lane: float, t: float) -> np.ndarray:
        """(4, 4) pose at t seconds; lane: metres left of the centreline."""
        s = self.s(t)
        d = lane + sum(a * np.sin(k * s + p) for a, k, p in self._weave)
        slope = sum(a * k * np.cos(k * s + p) for a, k, p in self._weave)
        pitch = float(np.interp(t, self._t, self._dive)) + sum(a * np.sin(k * s + p) for a, k, p in self._shake[:2])
        roll = sum(a * np.sin(k * s + p) for a, k, p in self._shake[2:])
        return road.place(s, d, float(np.arctan(slope)), on_slope=True) @ pose.from_rotation_vector(
            np.array([roll, pitch, 0.0]), np.zeros(3)
        )

    def twist(self, road: Road, lane: float, t: float) -> np.ndarray:
        """(6,) body velocity at t: central difference over 20 ms."""
        step = pose.inverse(self.T_world_base(road, lane, t - 0.01)) @ self.T_world_base(road, lane, t + 0.01)
        return np.concatenate([step[:3, 3], pose.log_so3(step[:3, :3])]) / 0.02


def drive(config: Config) -> Iterator[Moment]:
    """Yields `config.frames` moments. The same config gives the same moments."""
    rng = np.random.default_rng([config.seed, 20231114])
    varied = config.appearance != "default"
    setting = config.setting or (None if varied else "city")
    if setting is None:
        setting = str(rng.choice(SETTINGS, p=[0.28, 0.30, 0.17, 0.17, 0.08]))
    look = random_appearance(rng) if varied else Appearance()
    if config.appearance == "harsh":
        look = harsh(look, np.random.default_rng([config.seed, 20261124]))
    camera = _random_camera(rng, config.camera) if varied else config.camera
    fastest = {"city": 12.0, "residential": 9.5, "suburb": 13.0, "country": 14.0, "highway": 14.0}[setting] if varied else 9.0
    slowest, jam, mixed = None, None, None
    if config.traffic == "jam":
        jam = np.random.default_rng([config.seed, 20261125])
        setting = config.setting or jam_setting(jam)
        look = glaring(look, jam) if varied else look
        slowest, fastest = 0.0, float(jam.uniform(1.5, 7.0))
    if config.traffic == "mixed":
        mixed = np.random.default_rng([config.seed, 20261127])
    trajectory = Trajectory(rng, config.seconds, fastest, slowest)
    lane = int(rng.integers(3))
    street = random_street(
        rng,
        length=trajectory.length,
        duration=config.seconds,
        setting=setting,
        lane=lane,
        hard=config.hard,
        car=CarAhead(trajectory.s, trajectory.arrival),
        jam=jam,
        mixed=mixed,
    )
    street = aged(street, config.road, np.random.default_rng([config.seed, 20261123]))
    if varied:
        street = replace(street, look=replace(street.look, kerb=random_kerb(np.random.default_rng([config.seed, 20261126]))))
    d = -(min(lane, street.road.lanes[0] - 1) + 0.5) * street.road.lane_width
    yield from film(config, street, trajectory, lane=d, camera=camera, look=look)


def film(config: Config, street: Street, trajectory: Trajectory, *, lane: float, camera: Camera, look: Appearance) -> Iterator[Moment]:
    """Drives down a given street `lane` metres left of its centreline."""
    road, lidar = street.road, config.lidar
    calibration = camera.calibration(lidar)
    assert calibration.T_base_camera is not None, "the rig knows its camera"
    tracer, noise, developer = Tracer(street.mesh), Noise(config.seed), Film(look, config.seed)
    T_base0_world = pose.inverse(trajectory.T_world_base(road, lane, 0.0))
    mirrors = Hard.REFLECTING in config.hard or Aged.WET in config.road
    detail = replace(config.detail, mirrors=True) if mirrors else config.detail
    flicker = None
    if Hard.FLICKER in config.hard:
        rng = np.random.default_rng([config.seed, 20261122])
        flicker = Flicker(rng, look, noise, lambda t: trajectory.T_world_base(road, lane, t), seconds=config.seconds)
    for k in range(config.frames):
        stamp = START_NS + round(k * 1e9 / config.rate)
        t = (stamp - START_NS) * 1e-9
        scan = None
        if lidar is not None:
            before = t - LIDAR_LEAD_NS * 1e-9
            tracer.move(*_moving(street, before, trajectory))
            T_base_lidar = lidar.T_base_lidar(camera)
            T_world_lidar = trajectory.T_world_base(road, lane, before) @ T_base_lidar
            moving = _at(T_base_lidar, trajectory.twist(road, lane, before))
            scan = sweep(tracer, street, lidar, T_world_lidar, stamp - LIDAR_LEAD_NS, np.random.default_rng([config.seed, k]), moving)
        tracer.move(*_moving(street, t, trajectory))
        T_world_base = trajectory.T_world_base(road, lane, t)
        now = flicker.instant(t, step=1 / config.rate) if flicker else None
        picture = photograph(tracer, street, calibration, T_world_base @ calibration.T_base_camera, look, noise, detail, now)
        boxes = _boxes(street, t, trajectory.s(t), pose.inverse(T_world_base))
        if scan is not None and lidar is not None:
            points = pose.transform(T_base_lidar, deskew(scan.points, scan.time_s, moving))
            boxes = tuple(box for box in boxes if _inside(box, points) >= 3)
        exposed = picture.light * np.float32(2 ** flicker.stops(t)) if flicker else picture.light
        frame = Frame(developer.develop(exposed), stamp, calibration, scan)
        twist = trajectory.twist(road, lane, t)
        hard = picture.hard if config.hard else None
        visible, painted = picture.markings, None
        if picture.wear is not None:
            hidden = (picture.wear < 255 * VISIBLE) | (picture.hard & Hard.REFLECTING > 0)
            visible, painted = np.where(hidden, np.uint8(0), picture.markings), picture.markings
        yield Moment(frame, picture.depth, visible, boxes, T_base0_world @ T_world_base, twist, hard, painted, picture.wear)


def _at(T_base_sensor: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """(6,) velocity of the body -> that of a sensor fixed to it, in the sensor's frame."""
    R = T_base_sensor[:3, :3].T
    return np.concatenate([R @ (twist[:3] + np.cross(twist[3:], T_base_sensor[:3, 3])), R @ twist[3:]])


def _random_camera(rng: np.random.Generator, camera: Camera) -> Camera:
    """Another car's camera, of the same picture size."""
    focal = rng.uniform(0.50, 0.68)
    return replace(
        camera,
        fov=float(np.rad2deg(2 * np.arctan(0.5 / focal))),
        mount=float(rng.uniform(1.3, 2.0)),
        pitch=float(np.clip(rng.normal(0, 1.3), -3, 3)),
        roll=float(np.clip(rng.normal(0, 0.5), -1.5, 1.5)),
        centre=(float(rng.normal(0, 0.01)), float(rng.uniform(-0.06, 0.04))),
    )


def _moving(street: Street, t: float, trajectory: Trajectory) -> tuple[Mesh | None, np.ndarray | None]:
    """What can move, and which of its triangles do so at t."""
    s_car = trajectory.s(t)
    actors = [actor for actor in street.actors if _on_road(street, actor, t, s_car)]
    if not actors:
        return None, None
    ends = [(when, trajectory.s(when)) for when in (t - 0.05, t + 0.05)]
    fast = [np.linalg.norm(np.ptp([actor.pose(street.road, *end)[:3, 3] for end in ends], 0)) > 0.1 * IN_MOTION for actor in actors]
    parts = [actor.mesh.moved(actor.pose(street.road, t, s_car)) for actor in actors]
    return merge(parts), np.repeat(fast, [len(part.triangles) for part in parts])


def _on_road(street: Street, actor: Actor, t: float, s_car: float) -> bool:
    s, d = actor.at(t, s_car)
    return bool(abs(s - s_car) < 150 and street.road.s[0] + 4 < s < street.road.s[-1] - 4 and (abs(d) < SIDE_STREET or not actor.across))


def _boxes(street: Street, t: float, s_car: float, T_base_world: np.ndarray) -> tuple[Box, ...]:
    boxes = list(street.boxes)
    for actor in street.actors:
        if _on_road(street, actor, t, s_car):
            middle = np.eye(4)
            middle[2, 3] = actor.size[2] / 2
            boxes.append(Box(actor.label, actor.pose(street.road, t, s_car) @ middle, actor.size, actor.track))
    placed = (replace(box, T=T_base_world @ box.T) for box in boxes)
    return tuple(box for box in placed if np.linalg.norm(box.T[:2, 3]) < BOX_REACH)


def _inside(box: Box, points: np.ndarray, margin: float = 0.15) -> int:
    """How many of (N, 3) points lie in the box widened by `margin` metres."""
    reach = 0.5 * float(np.linalg.norm(box.size)) + margin
    x, y = (np.float32(v) for v in box.T[:2, 3])
    near = points[(np.abs(points[:, 0] - x) < reach) & (np.abs(points[:, 1] - y) < reach)]
    local = pose.transform(pose.inverse(box.T), near)
    return int((np.abs(local) < 0.5 * box.size + margin).all(1).sum())
