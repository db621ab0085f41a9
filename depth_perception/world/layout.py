"""A street from a seed: a road is laid, its sides are filled, its markings painted, its traffic let in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_perception.world import jam as jams
from depth_perception.world import kerbside, roadside, traffic
from depth_perception.world import mixed as mingling
from depth_perception.world.hard import NONE, Hard
from depth_perception.world.mesh import merge
from depth_perception.world.paint import random_paint
from depth_perception.world.plan import hardened, random_plan
from depth_perception.world.road import ground, random_road
from depth_perception.world.site import Site
from depth_perception.world.street import GroundLook, Street
from depth_perception.world.styles import grey
from depth_perception.world.traffic import CarAhead


def random_street(
    rng: np.random.Generator,
    *,
    length: float,
    duration: float,
    setting: str | None = None,
    lane: int = 0,
    hard: Hard = NONE,
    car: CarAhead | None = None,
    jam: np.random.Generator | None = None,
    mixed: np.random.Generator | None = None,
) -> Street:
    """A street for a drive of `length` metres and `duration` seconds; `lane`: the car's own lane, 0 next to the centre.

    hard: what to add that photometry fails on; car: how the car will drive, which all but ordinary traffic must know.
    jam: what a jam is drawn from, None = no jam. Jams take the place of all other traffic.
    mixed: what lorries, cyclists and people in numbers are drawn from, None = ordinary numbers.
    """
    plan = hardened(random_plan(rng, setting), hard, rng)
    if jam is not None:
        plan = jams.jammed(plan, jam)
    road = random_road(
        rng,
        length=length,
        lanes=plan.lanes,
        lane_width=plan.lane_width,
        parking=plan.parking,
        sidewalk=plan.sidewalk,
        kerb=plan.kerb,
        bend=plan.bend,
        turns=plan.turns,
        crossing_every=plan.crossing_every,
        hilly=plan.hilly,
    )
    site = Site(rng, plan, road)
    covers = tuple(roadside.zones(site, side) for side in (-1, 1))
    if plan.setting == "highway":
        kerbside.central_barrier(site)
    for side, occupancy, spacing in ((-1, plan.parked[0], plan.street_trees[0]), (1, plan.parked[1], plan.street_trees[1])):
        kerbside.kerbside(site, side, occupancy, spacing)
    kerbside.crossings(site)
    roadside.backdrop(site)
    lane = min(lane, plan.lanes[0] - 1)
    if jam is not None and car is not None:
        jams.spans(site, jam)
        jams.queues(site, jam, car, duration, lane=lane)
    else:
        traffic.traffic(site, duration, lane=lane)
        if Hard.MOVING in hard and car is not None:
            traffic.close_traffic(site, car, duration, lane=lane)
        if mixed is not None and car is not None:
            mingling.mingle(site, mixed, car, duration, lane=lane)
    look = replace(_ground_look(rng, plan.sidewalk, covers), wet=plan.wet)
    mesh = merge([ground(road), *site.parts])
    return Street(
        road, random_paint(rng, road, amount=plan.markings), look, mesh, tuple(site.boxes), tuple(site.actors), site.styles.table()
    )


def _ground_look(rng: np.random.Generator, sidewalk: float, covers: tuple) -> GroundLook:
    grass = np.array([0.09, 0.13, 0.035]) * rng.uniform(0.6, 1.3) + np.array([0.06, 0.03, 0.0]) * rng.random()
    look = GroundLook(
        grey(rng, 0.055, 0.21, 0.03),
        grey(rng, 0.16, 0.42, 0.05),
        float(rng.choice([0.3, 0.5, 0.5, 1.0, 2.0])),
        grass,
        np.array([0.22, 0.16, 0.10]) * rng.uniform(0.6, 1.3),
        covers,
        float(rng.choice([0.0, 0.0, 1.2])) if sidewalk > 2.0 else 0.0,
        rng.uniform(0.1, 0.5),
        rng.uniform(0.1, 0.6),
        float(rng.random() ** 2),
    )
    return replace(look, asphalt=look.asphalt.astype(np.float32))
