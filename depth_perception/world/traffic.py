"""What moves: cars ahead, oncoming and in other lanes, cyclists, and people on foot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depth_perception.world import people, vehicles
from depth_perception.world.site import Site
from depth_perception.world.street import Actor


@dataclass(frozen=True, eq=False)
class CarAhead:
    """How the car will drive: metres along the road at a time, and the time at which it gets there."""

    s: Callable[[float], float]
    arrival: Callable[[float], float]


def traffic(site: Site, duration: float, *, lane: int) -> None:
    """Cars ahead, oncoming and in other lanes, cyclists, and people on foot."""
    rng, road, plan = site.rng, site.road, site.plan
    w, (right, left) = road.lane_width, road.lanes
    if rng.random() < min(0.75, 0.25 * plan.traffic):
        drive(site, -(lane + 0.5) * w, 1, rng.uniform(9, 45), 0.0, follows=True)
    if rng.random() < 0.3 * plan.traffic:
        drive(site, -(lane + 0.5) * w, 1, rng.uniform(-35, -14), 0.0, follows=True)
    for k in range(right):
        if k != lane:
            s, speed = rng.uniform(-60, 0), rng.uniform(5, 14)
            while s < 220:
                drive(site, -(k + 0.5) * w, 1, s, speed)
                s += rng.uniform(12, 240 / max(plan.traffic, 0.3))
    for k in range(left):
        s, speed = rng.uniform(5, 60), rng.uniform(5, 14)
        while s < road.s[-1] + speed * duration and plan.traffic > 0.2:
            drive(site, (k + 0.5) * w, -1, s, speed)
            s += rng.uniform(12, 300 / plan.traffic)
    walkers(site)
    end = float(road.s[-1]) - 60
    for _ in range(rng.poisson(0.004 * end * (plan.people > 0.5))):
        mesh, size = people.cyclist(rng, site.styles)
        side = int(rng.choice([-1, 1]))
        d = side * (max(right, left) * w - 0.4)
        site.actors.append(
            Actor("Cyclist", mesh, size, site.next_track(), float(rng.uniform(-20, end)), float(rng.uniform(2.5, 6)), d, -side)
        )


def walkers(site: Site) -> None:
    """People on the sidewalks."""
    rng, road, plan = site.rng, site.road, site.plan
    end = float(road.s[-1]) - 60
    if plan.sidewalk > 0.5:
        for _ in range(int(plan.people * (end + 60) / 60)):
            side, facing = rng.choice([-1, 1]), int(rng.choice([-1, 1]))
            d = float(side * (road.half + rng.uniform(0.5, max(0.6, plan.sidewalk - 0.4))))
            mesh, size = people.person(rng, site.styles)
            site.actors.append(
                Actor(
                    "Pedestrian", mesh, size, site.next_track(), float(rng.uniform(-40, end)), float(rng.choice([0.0, 1.1, 1.5])), d, facing
                )
            )


def close_traffic(site: Site, car: CarAhead, duration: float, *, lane: int) -> None:
    """Fills the view with what moves: a car close ahead, others beside it at its speed, a dense oncoming lane, cars from side streets.

    The ordinary traffic makes way. Nothing drives through anything else.
    """
    rng, road = site.rng, site.road
    w, (right, left) = road.lane_width, road.lanes
    ordinary, site.actors = site.actors, []
    own = -(lane + 0.5) * w
    drive(site, own, 1, rng.uniform(9, 15), 0.0, follows=True)
    drive(site, own, 1, rng.uniform(24, 32), 0.0, follows=True)
    for k in range(right):
        for s0 in np.arange(rng.uniform(12, 24), 55, 18.0) if k != lane else ():
            drive(site, -(k + 0.5) * w, 1, float(s0 + rng.uniform(-2, 2)), 0.0, follows=True)

    def offer(actor: Actor) -> None:
        if fits(site, actor, own, car, duration):
            site.actors.append(actor)

    for middle, half in road.crossings:
        for _ in range(8):
            side, speed = int(rng.choice([-1, 1])), rng.uniform(5, 10)
            when = car.arrival(float(middle) - rng.uniform(9, 34))
            # A side street keeps right, too.
            offer(_car(site, -side * speed * when, 1, float(middle) + side * 0.45 * half, 0.0, across=side * speed))
    for k in range(left):
        s, speed = rng.uniform(8, 16), rng.uniform(6, 11)
        while s < road.s[-1] + speed * duration:
            offer(_car(site, (k + 0.5) * w, -1, s, speed))
            s += rng.uniform(11, 22)
    for actor in ordinary:
        offer(actor)


def fits(site: Site, actor: Actor, own: float, car: CarAhead, duration: float) -> bool:
    """Whether it never comes too near to those that are there, nor to the car, which drives `own` metres left of the centreline."""
    return not any(_meet(actor, other, car, duration) for other in site.actors) and not _meets_car(actor, own, car, duration)


def _meet(a: Actor, b: Actor, car: CarAhead, duration: float) -> bool:
    """Whether two ever come too near each other."""
    reach = [0.5 * sum(sizes) + 0.4 for sizes in zip(_extent(a), _extent(b), strict=True)]
    for t in np.arange(0.0, duration, 0.1):
        s_car = car.s(float(t))
        ds, dd = np.abs(np.subtract(a.at(float(t), s_car), b.at(float(t), s_car)))
        if ds < reach[0] and dd < reach[1]:
            return True
    return False


def _meets_car(actor: Actor, d: float, car: CarAhead, duration: float) -> bool:
    body = Actor("Car", actor.mesh, np.array([4.6, 1.9, 1.5]), 0, 1.4, 0.0, d, 1, True)
    return _meet(actor, body, car, duration)


def _extent(actor: Actor) -> tuple[float, float]:
    """Metres along the road and across it."""
    length, width = float(actor.size[0]), float(actor.size[1])
    return (width, length) if actor.across else (length, width)


def drive(site: Site, d: float, facing: int, s0: float, speed: float, *, follows: bool = False) -> None:
    """Lets a car, van or truck drive along the road."""
    site.actors.append(_car(site, d, facing, s0, speed, follows=follows))


def _car(site: Site, d: float, facing: int, s0: float, speed: float, *, follows: bool = False, across: float = 0.0) -> Actor:
    kind = str(site.rng.choice(list(vehicles.SIZES), p=[0.24, 0.30, 0.16, 0.18, 0.08, 0.04]))
    mesh, size = vehicles.car(kind, site.rng, site.styles)
    label = "Truck" if kind == "truck" else "Van" if kind == "van" else "Car"
    return Actor(label, mesh, size, site.next_track(), s0, speed, d + float(site.rng.normal(0, 0.1)), facing, follows, across)
