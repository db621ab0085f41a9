"""Mixed traffic: lorries, cyclists and people on foot in numbers, on any street but a highway, where the ordinary one has mostly cars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_perception.world import lorries, people, traffic
from depth_perception.world.site import Site
from depth_perception.world.street import Actor
from depth_perception.world.traffic import CarAhead

EVERY_M = {"Pedestrian": 30.0, "Cyclist": 30.0, "Truck": 25.0}  # one is offered for each so many metres of road, and most fit


def mingle(site: Site, rng: np.random.Generator, car: CarAhead, duration: float, *, lane: int) -> None:
    """Adds them to the traffic that is there, wherever nothing drives through anything else."""
    own = -(lane + 0.5) * site.road.lane_width
    if rng.random() < 0.35:
        site.actors = [actor for actor in site.actors if not (actor.follows and abs(actor.d - own) < 0.5 * site.road.lane_width)]
        _offer(site, _lorry(site, rng, own, 1, float(rng.uniform(12, 40)), follows=True), own, car, duration)
    kinds: dict[str, Callable[[], Actor]] = {"Truck": lambda: _in_a_lane(site, rng, own)}
    if site.plan.setting != "highway":
        kinds |= {"Pedestrian": lambda: _on_foot(site, rng), "Cyclist": lambda: _on_a_bicycle(site, rng)}
    for label, draw in kinds.items():
        for _ in range(rng.poisson(float(site.road.s[-1]) / EVERY_M[label])):
            _offer(site, draw(), own, car, duration)


def _offer(site: Site, actor: Actor, own: float, car: CarAhead, duration: float) -> None:
    if traffic.fits(site, actor, own, car, duration):
        site.actors.append(actor)


def _in_a_lane(site: Site, rng: np.random.Generator, own: float) -> Actor:
    """A lorry in any lane but ours; every third stands."""
    (right, left), w = site.road.lanes, site.road.lane_width
    others = [d for k in range(-right, left) if abs((d := (k + 0.5) * w) - own) > 0.1 * w]
    d = float(rng.choice(others)) if others else own
    speed = 0.0 if rng.random() < 0.33 else float(rng.uniform(3, 12))
    return _lorry(site, rng, d, 1 if d < 0 else -1, _somewhere(site, rng), speed)


def _lorry(site: Site, rng: np.random.Generator, d: float, facing: int, s0: float, speed: float = 0.0, *, follows: bool = False) -> Actor:
    mesh, size = lorries.lorry(str(rng.choice(list(lorries.KINDS))), rng, site.styles)
    return Actor(lorries.LABEL, mesh, size, site.next_track(), s0, speed, d + float(rng.normal(0, 0.1)), facing, follows)


def _on_foot(site: Site, rng: np.random.Generator) -> Actor:
    """Beside the road, or on its way across it where no parked cars are in the way."""
    mesh, size = people.person(rng, site.styles)
    side = int(rng.choice([-1, 1]))
    d = side * (site.road.half + float(rng.uniform(0.5, max(1.2, site.plan.sidewalk - 0.4))))
    across = -side * float(rng.uniform(0.9, 1.6)) if rng.random() < 0.2 and not any(site.plan.parked) else 0.0
    speed = 0.0 if across else float(rng.choice([0.0, 1.1, 1.5]))
    return Actor("Pedestrian", mesh, size, site.next_track(), _somewhere(site, rng), speed, d, int(rng.choice([-1, 1])), across=across)


def _on_a_bicycle(site: Site, rng: np.random.Generator) -> Actor:
    """At the edge of the outermost lane, or beside the road."""
    mesh, size = people.cyclist(rng, site.styles)
    side = int(rng.choice([-1, 1]))
    edge = max(site.road.lanes) * site.road.lane_width - float(rng.uniform(0.0, 0.5))
    d = side * (edge if rng.random() < 0.5 else site.road.half + float(rng.uniform(0.5, 1.2)))
    return Actor("Cyclist", mesh, size, site.next_track(), _somewhere(site, rng), float(rng.uniform(2.5, 6)), d, -side)


def _somewhere(site: Site, rng: np.random.Generator) -> float:
    return float(rng.uniform(-20, site.road.s[-1] - 20))
