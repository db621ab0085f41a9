"""Several drives down one street whose markings are damaged: other lanes and traffic every time, the same road and parked cars."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from depth_perception.frame import Calibration
from depth_perception.geometry import camera, pose
from depth_perception.world import traffic
from depth_perception.world.appearance import Appearance
from depth_perception.world.drive import START_NS, Config, Moment, Trajectory, _moving, film
from depth_perception.world.layout import random_street
from depth_perception.world.mesh import Material
from depth_perception.world.paint import coverage, random_paint
from depth_perception.world.plan import random_plan
from depth_perception.world.reference import Fate, Piece, damaged, fates, true_map
from depth_perception.world.sensors import Camera
from depth_perception.world.site import Site
from depth_perception.world.street import Street
from depth_perception.world.tracer import Tracer


@dataclass(frozen=True)
class Patrol:
    """A street and how it is driven. setting: of plan.SETTINGS; share: of the markings that are worn, broken and gone, each."""

    seed: int = 0
    seconds: float = 8.0
    rate: float = 10.0
    setting: str = "city"
    share: float = 0.12
    camera: Camera = field(default_factory=Camera)


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What is true of one image, without the image: (H, W) uint8 markings, (H, W) float32 depth, (4, 4) poses, metres."""

    stamp_ns: int
    calibration: Calibration
    markings: np.ndarray
    depth: np.ndarray
    T_world_base: np.ndarray


class Passes:
    """The drives of a patrol.

    Attributes:
        pieces: the true map, in the world's frame. fates: id -> what became of each.
        new, street: the street as it was painted, and as it is.
    """

    def __init__(self, patrol: Patrol) -> None:
        self.patrol = patrol
        rng = np.random.default_rng([patrol.seed, 20261123])
        street = random_street(rng, length=14.0 * patrol.seconds, duration=patrol.seconds, setting=patrol.setting)
        paint = random_paint(rng, street.road, amount=1.0)
        self.new = replace(street, paint=replace(paint, wear=0.0))
        self.pieces: list[Piece] = true_map(street.road, paint)
        self.fates: dict[str, Fate] = fates(rng, self.pieces, share=patrol.share)
        self.street = replace(self.new, paint=damaged(self.new.paint, self.pieces, self.fates))

    def _pass(self, number: int, street: Street) -> tuple[Street, Trajectory, float]:
        """The street with this pass' traffic, how the car drives, and metres left of the centreline."""
        patrol, road = self.patrol, street.road
        rng = np.random.default_rng([patrol.seed, number, 20261124])
        lane = int(rng.integers(road.lanes[0]))
        trajectory = Trajectory(rng, patrol.seconds, 11.0)
        site = Site(rng, random_plan(rng, patrol.setting), road)
        traffic.traffic(site, patrol.seconds, lane=lane)
        first = len(street.styles)
        actors = tuple(replace(one, mesh=replace(one.mesh, style=one.mesh.style + first)) for one in site.actors)
        busy = replace(street, actors=actors, styles=np.concatenate([street.styles, site.styles.table()]))
        return busy, trajectory, -(lane + 0.5) * road.lane_width

    def glimpses(self, number: int, *, new: bool = False) -> Iterator[Glimpse]:
        """Pass `number` without light: a tenth of the work of `moments`. new: before anything was damaged."""
        street, trajectory, lane = self._pass(number, self.new if new else self.street)
        calibration = self.patrol.camera.calibration(None)
        assert calibration.T_base_camera is not None
        tracer = Tracer(street.mesh)
        for k in range(round(self.patrol.seconds * self.patrol.rate)):
            t = k / self.patrol.rate
            tracer.move(*_moving(street, t, trajectory))
            T_world_base = trajectory.T_world_base(street.road, lane, t)
            markings, depth = glimpse(tracer, street, calibration, T_world_base @ calibration.T_base_camera)
            yield Glimpse(START_NS + round(t * 1e9), calibration, markings, depth, T_world_base)

    def moments(self, number: int, *, look: Appearance | None = None, new: bool = False) -> Iterator[tuple[Moment, np.ndarray]]:
        """Pass `number` with pictures, and (4, 4) T_world_base of each."""
        street, trajectory, lane = self._pass(number, self.new if new else self.street)
        config = Config(self.patrol.seconds, self.patrol.seed, self.patrol.rate, self.patrol.camera, None)
        T_world_odom = trajectory.T_world_base(street.road, lane, 0.0)
        for moment in film(config, street, trajectory, lane=lane, camera=self.patrol.camera, look=look or Appearance()):
            yield moment, T_world_odom @ moment.T_odom_base


def glimpse(
    tracer: Tracer, street: Street, calibration: Calibration, T_world_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) uint8 marking classes and (H, W) float32 depth, exactly as `sensors.photograph` has them, without a picture."""
    height, width = calibration.height, calibration.width
    direction = camera.rays(calibration.K, height=height, width=width).reshape(-1, 3) @ T_world_camera[:3, :3].T.astype(np.float32)
    hits = tracer.cast(T_world_camera[:3, 3], direction)
    seen = hits.seen(direction, 1.0 / float(calibration.K[0, 0]))
    s, d = seen.coords[:, 0], seen.coords[:, 1]
    road = np.flatnonzero((seen.material == Material.GROUND) & (np.abs(d) < street.road.half))
    long = seen.blur[road] / np.maximum(seen.graze[road], 0.01)
    markings = np.zeros(height * width, np.uint8)
    markings[hits.index[road]], _ = coverage(street.paint, street.road, s[road], d[road], blur_s=long, blur_d=seen.blur[road])
    depth = np.where(np.isfinite(hits.t), hits.t, np.float32(np.nan))
    return markings.reshape(height, width), depth.reshape(height, width).astype(np.float32)


def drifted(poses: list[np.ndarray], rng: np.random.Generator, *, share: float = 0.02) -> list[np.ndarray]:
    """Poses T_world_base as an odometry that is wrong by `share` of the way would have them.

    It starts right, then its metres are too long or too short, and it turns away; after 50 m both together are `share` of the way.
    """
    angle = rng.uniform(0, 2 * np.pi)
    scale, bend = 1 + share * np.cos(angle), 2 * share * np.sin(angle) / 50.0
    out = [poses[0]]
    for before, now in itertools.pairwise(poses):
        step = pose.inverse(before) @ now
        wrong = pose.from_rotation_vector(np.array([0, 0, bend * np.linalg.norm(step[:3, 3])]), np.zeros(3))
        step[:3, 3] *= scale
        out.append(out[-1] @ step @ wrong)
    return out
