"""What moves: cars ahead, oncoming and in other lanes, cyclists, and people on foot."""

from __future__ import annotations

from depth_perception.world import people, vehicles
from depth_perception.world.site import Site
from depth_perception.world.street import Actor


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
    for _ in range(rng.poisson(0.004 * end * (plan.people > 0.5))):
        mesh, size = people.cyclist(rng, site.styles)
        side = int(rng.choice([-1, 1]))
        d = side * (max(right, left) * w - 0.4)
        site.actors.append(
            Actor("Cyclist", mesh, size, site.next_track(), float(rng.uniform(-20, end)), float(rng.uniform(2.5, 6)), d, -side)
        )


def drive(site: Site, d: float, facing: int, s0: float, speed: float, *, follows: bool = False) -> None:
    kind = str(site.rng.choice(list(vehicles.SIZES), p=[0.24, 0.30, 0.16, 0.18, 0.08, 0.04]))
    mesh, size = vehicles.car(kind, site.rng, site.styles)
    label = "Truck" if kind == "truck" else "Van" if kind == "van" else "Car"
    site.actors.append(Actor(label, mesh, size, site.next_track(), s0, speed, d + float(site.rng.normal(0, 0.1)), facing, follows))
