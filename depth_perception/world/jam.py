"""A jam: queues in all lanes, lorries among them and beside us, bridges above, glaring light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from depth_perception.world import bridges, lorries, trim, vehicles
from depth_perception.world.appearance import Appearance
from depth_perception.world.mesh import Mesh
from depth_perception.world.plan import Plan
from depth_perception.world.site import Site
from depth_perception.world.street import Actor
from depth_perception.world.traffic import CarAhead, walkers

OWN = (-1.0, 3.7)  # metres along the road that our own car fills, from where it is
BEHIND, AHEAD = 22.0, 110.0  # metres of queue


def jam_setting(rng: np.random.Generator) -> str:
    """Where there are jams."""
    return str(rng.choice(["city", "residential", "suburb", "highway"], p=[0.45, 0.08, 0.27, 0.20]))


def jammed(plan: Plan, rng: np.random.Generator) -> Plan:
    """The plan with two to six lanes, hardly a bend, and nobody parked where the queues are."""
    n = int(rng.choice([1, 2, 3], p=[0.2, 0.5, 0.3]))
    return replace(
        plan,
        lanes=(n, n),
        lane_width=float(rng.uniform(3.1, 3.6)),
        parking=0.0,
        bend=min(plan.bend, 0.0012),
        turns=0.0,
        parked=(0.0, 0.0),
        street_trees=(0.0, 0.0),
        hilly=min(plan.hilly, 0.02),
    )


def glaring(look: Appearance, rng: np.random.Generator) -> Appearance:
    """The look, in most cases with a sky that is too bright for the camera and deep shadows."""
    if rng.random() < 0.35:
        return look
    return replace(
        look,
        sky=float(rng.uniform(2.5, 6.0)),
        skylight=float(look.skylight * rng.uniform(0.45, 0.9)),
        contrast=float(rng.uniform(1.0, 1.35)),
        target=float(rng.uniform(0.28, 0.44)),
    )


@dataclass(frozen=True)
class Lane:
    """One lane of a jam. d: metres left of the centreline; facing: +1 with us; pace, speed: see Actor; heavy: share of lorries."""

    d: float
    facing: int
    pace: float
    speed: float
    heavy: float
    gaps: tuple[float, float]


def spans(site: Site, rng: np.random.Generator) -> None:
    """Bridges and gantries over the road."""
    s = float(rng.uniform(8, 70))
    while s < site.road.s[-1] - 60:
        kind = rng.random()
        if kind < 0.55:
            clearance = float(rng.uniform(4.7, 6.0))
            bridges.bridge(site, s, rng, clearance=clearance, wide=float(rng.uniform(5, 16)), yaw=float(rng.uniform(-0.5, 0.5)))
        elif kind < 0.85:
            bridges.gantry(site, s, rng, clearance=float(rng.uniform(4.8, 6.0)))
        s += float(rng.uniform(40, 110))


def queues(site: Site, rng: np.random.Generator, car: CarAhead, duration: float, *, lane: int) -> None:
    """Fills all lanes with what stands or crawls, and lets people walk beside them. Nothing drives through anything else."""
    road = site.road
    w, (right, left) = road.lane_width, road.lanes
    one_way = site.plan.setting != "highway" and (right == 1 or rng.random() < 0.5)
    way = car.s(duration)
    own = -(lane + 0.5) * w
    middles = [-(k + 0.5) * w for k in range(right)] + [(k + 0.5) * w for k in range(left)]
    beside = [d for d in middles if 0.5 * w < abs(d - own) < 1.5 * w and (one_way or d < 0)]
    # A lorry beside us: on the right if there is a lane, as that is where they keep.
    with_lorry = (min(beside) if rng.random() < 0.7 else max(beside)) if beside and rng.random() < 0.9 else None
    for d in middles:
        ahead = one_way or d < 0
        heavy = float(np.clip(rng.beta(1.2, 2.5) + (0.15 if d == min(middles) else 0.0), 0, 0.8))
        gap = float(rng.uniform(0.8, 4.0))
        if d == own:
            _own_lane(site, rng, Lane(d, 1, 1.0, 0.0, 0.7 * heavy, (1.0, 1.0 + 2 * gap)), way)
            continue
        still = rng.random() < 0.3
        pace = 0.0 if still else float(rng.uniform(0.3, 1.5)) * (1 if ahead else -1)
        speed = 0.0 if still or rng.random() < 0.5 else float(rng.uniform(0.2, 2.5))
        gaps = (gap, 3 * gap)
        if not ahead and rng.random() < 0.5:  # the other side flows
            pace, speed, gaps = 0.0, float(rng.uniform(4, 13)), (8.0, 50.0)
        if d != with_lorry and rng.random() < 0.15:
            gaps = (6.0, 40.0)
        _lane(site, rng, Lane(d, 1 if ahead else -1, pace, speed, heavy, gaps), way, duration, lorry=d == with_lorry)
    walkers(site)


def _own_lane(site: Site, rng: np.random.Generator, lane: Lane, way: float) -> None:
    """Those ahead of us, who come no nearer than a metre, and one behind at our pace."""
    room = float(rng.uniform(1.2, 4.0) if rng.random() < 0.6 else rng.uniform(3.0, 14.0))
    ahead = replace(lane, pace=float(rng.uniform(max(0.6, 1.0 - (room - 1.0) / max(way, 0.1)), 1.3)))
    s = OWN[1] + room
    while s < AHEAD:
        s = _add(site, rng, ahead, s, _vehicle(site, rng, lane.heavy)) + float(rng.uniform(*lane.gaps))
    mesh, size, label = _vehicle(site, rng, lane.heavy)
    _add(site, rng, lane, OWN[0] - float(rng.uniform(1.5, 5.0)) - float(size[0]), (mesh, size, label))


def _lane(site: Site, rng: np.random.Generator, lane: Lane, way: float, duration: float, *, lorry: bool) -> None:
    """A queue as long as whatever of it passes us during the drive; lorry: one of them starts beside us."""
    drift = (lane.pace - 1.0) * way + lane.facing * lane.speed * duration
    first, last = -BEHIND - max(drift, 0.0), AHEAD - min(drift, 0.0)
    vehicle = _vehicle(site, rng, 1.0 if lorry else lane.heavy)
    # Most of what begins beside us is still there in the middle of the drive.
    s = float(rng.uniform(-8.0, 4.0) if lorry else rng.uniform(-5.0, 12.0)) - 0.5 * drift
    back = s
    while s < last:
        s = _add(site, rng, lane, s, vehicle) + float(rng.uniform(*lane.gaps))
        vehicle = _vehicle(site, rng, lane.heavy)
    while back > first:
        vehicle = _vehicle(site, rng, lane.heavy)
        back -= float(rng.uniform(*lane.gaps)) + float(vehicle[1][0])
        _add(site, rng, lane, back, vehicle)


def _vehicle(site: Site, rng: np.random.Generator, heavy: float) -> tuple[Mesh, np.ndarray, str]:
    """Mesh, (3,) size and label of a car, or with the chance `heavy` of a lorry or bus."""
    if rng.random() < heavy:
        mesh, size = lorries.lorry(str(rng.choice(list(lorries.KINDS))), rng, site.styles)
        return mesh, size, lorries.LABEL
    kind = str(rng.choice(list(vehicles.SIZES), p=[0.24, 0.28, 0.17, 0.17, 0.12, 0.02]))
    mesh, size = vehicles.car(kind, rng, site.styles)
    mesh = trim.trimmed(mesh, kind, size, rng, site.styles)
    return mesh, size, "Truck" if kind == "truck" else "Van" if kind == "van" else "Car"


def _add(site: Site, rng: np.random.Generator, lane: Lane, rear: float, vehicle: tuple[Mesh, np.ndarray, str]) -> float:
    """Lets a vehicle's lower end along the road be at `rear` when the drive begins; returns its other end."""
    mesh, size, label = vehicle
    d = lane.d + float(rng.uniform(-0.12, 0.12))
    middle = rear + 0.5 * float(size[0])
    site.actors.append(Actor(label, mesh, size, site.next_track(), middle, lane.speed, d, lane.facing, pace=lane.pace))
    return rear + float(size[0])
