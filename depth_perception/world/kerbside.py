"""At the kerb: parked cars, street trees, lamps, signs and clutter; rails, and what stands at side streets."""

from __future__ import annotations

import numpy as np

from depth_perception.world import buildings, furniture
from depth_perception.world.mesh import box, cylinder, merge
from depth_perception.world.site import Site
from depth_perception.world.styles import grey, vivid


def kerbside(site: Site, side: int, occupancy: float, tree_spacing: float) -> None:
    rng, road, plan = site.rng, site.road, site.plan
    begin, end = float(road.s[0]) + 5, float(road.s[-1]) - 5
    on_sidewalk = plan.parking < 0.5 and plan.sidewalk > 1.6 and rng.random() < 0.3
    if (plan.parking > 0.5 or on_sidewalk) and plan.setting != "highway":
        s, d = begin, side * (road.half + (-0.5 * plan.parking if plan.parking > 0.5 else 0.75))
        while s < end:
            if rng.random() < occupancy and not road.in_crossing(np.float64(s + 2.3), 5.0):
                yaw = (0.0 if side < 0 or rng.random() < 0.15 else np.pi) + rng.normal(0, 0.02)
                s += site.put_car(s + 2.3, d + rng.normal(0, 0.08), yaw) + rng.uniform(0.5, 1.6)
            else:
                s += rng.uniform(4, 14)
    if tree_spacing > 0:
        kind, height = str(rng.choice(site.species)), rng.uniform(4.5, 12)
        for s in np.arange(begin, end, tree_spacing):
            if rng.random() < 0.85 and not road.in_crossing(np.float64(s), 3.0):
                site.put_tree(
                    float(s) + rng.normal(0, 0.4),
                    side * (road.half + (1.0 if plan.sidewalk > 1.5 else 2.8)),
                    height * rng.uniform(0.8, 1.2),
                    kind,
                    0.3,
                )
    if plan.lamps and rng.random() < 0.8:
        style, head = site.metal[rng.integers(3)], site.styles.add((0.7, 0.7, 0.65))
        height, arm = (rng.uniform(3.2, 4.5), 0.0) if rng.random() < 0.4 else (rng.uniform(6, 9.5), rng.uniform(1.0, 2.4))
        mesh = furniture.lamp(height, arm, style, head)
        for s in np.arange(begin + rng.uniform(0, 20), end, rng.uniform(20, 38)):
            site.put(mesh, float(s), side * (road.half + 0.6), 0.0 if side < 0 else np.pi)
    share = {"city": 0.16, "residential": 0.09, "suburb": 0.07, "country": 0.03, "highway": 0.015}[plan.setting]
    for _ in range(int((end - begin) * share)):
        clutter(site, float(rng.uniform(begin, end)), side)
    if plan.setting == "city" and rng.random() < 0.35:
        bollard = cylinder(0.07, 0.95, style=site.metal[1])
        for s in np.arange(begin, end, rng.uniform(1.5, 3.0)):
            if not road.in_crossing(np.float64(s), 1.0):
                site.put(bollard, float(s), side * (road.half + 0.35))
    if plan.setting in ("country", "highway"):
        post, dark = site.styles.add((0.75, 0.75, 0.73)), site.styles.add((0.03, 0.03, 0.03))
        mesh = merge(
            [box((-0.06, -0.06, 0), (0.06, 0.06, 0.75), style=post), box((-0.065, -0.065, 0.75), (0.065, 0.065, 0.95), style=dark)]
        )
        for s in np.arange(begin, end, 25.0 if rng.random() < 0.5 else 50.0):
            site.put(mesh, float(s), side * (road.half + 0.7))


def clutter(site: Site, s: float, side: int) -> None:
    """A sign, bin, cabinet, bus shelter, billboard or parked bicycle near the kerb."""
    rng, road, styles = site.rng, site.road, site.styles
    if road.in_crossing(np.float64(s), 1.5):
        return
    d, kind = side * (road.half + rng.uniform(0.35, 0.9)), rng.random()
    if kind < 0.5:
        shape = str(rng.choice(["round", "round", "triangle", "square", "board"]))
        face = styles.add(
            [(0.75, 0.75, 0.73), (0.02, 0.10, 0.40), (0.70, 0.55, 0.03), (0.75, 0.75, 0.73), (0.02, 0.25, 0.1)][rng.integers(5)]
        )
        mesh = furniture.sign(rng.uniform(2.0, 2.8), rng.uniform(0.28, 0.42), shape, face, site.metal[0], float(rng.integers(6)))
        site.put(mesh, s, d, (0.0 if side < 0 else np.pi) + rng.normal(0, 0.1))
    elif kind < 0.68:
        n, colour = rng.integers(1, 4), styles.add(vivid(rng, 0.02, 0.4))
        for k in range(n):
            site.put(
                merge([box((-0.3, -0.35, 0), (0.3, 0.35, 1.0), style=colour), box((-0.33, -0.38, 1.0), (0.33, 0.38, 1.08), style=colour)]),
                s + 0.8 * k,
                d + side * 0.3,
            )
    elif kind < 0.8:
        site.put(box((-0.6, -0.2, 0), (0.6, 0.2, 1.2), style=styles.add(grey(rng, 0.2, 0.5), 0.1)), s, d + side * 0.4)
    elif kind < 0.88 and site.plan.sidewalk > 2.2:
        frame, pane = site.metal[1], styles.add((0.25, 0.3, 0.32))
        shelter = merge(
            [
                box((-2, 0.5, 0.2), (2, 0.55, 2.2), style=pane),
                box((-2.1, -0.7, 2.3), (2.1, 0.6, 2.42), style=frame),
                *[box((x - 0.04, y, 0), (x + 0.04, y + 0.08, 2.3), style=frame) for x in (-2, 2) for y in (-0.6, 0.5)],
            ]
        )
        site.put(shelter, s, side * (road.edge - 0.9), 0.0 if side > 0 else np.pi)
    elif kind < 0.94:
        board = merge(
            [
                box((-0.05, -1.6, 1.2), (0.05, 1.6, 3.8), style=styles.add(vivid(rng, 0.05, 0.7), 0.3)),
                box((-0.1, -0.1, 0), (0.1, 0.1, 1.2), style=site.metal[1]),
            ]
        )
        site.put(board, s, side * (road.edge + 1.9), rng.uniform(-0.6, 0.6))
    else:
        site.put_tree(s, side * (road.edge + 0.8), rng.uniform(0.6, 1.4), "bush", 0.2)


def central_barrier(site: Site) -> None:
    """The rail between the carriageways of a highway."""
    concrete = site.rng.random() < 0.4
    style = site.styles.add(grey(site.rng, 0.3, 0.5), 0.3) if concrete else site.metal[0]
    for s in np.arange(site.road.s[0] + 2, site.road.s[-1] - 2, 4.0):
        if concrete:
            piece = box((-2.05, -0.2, 0), (2.05, 0.2, 0.9), style=style)
        else:
            piece = merge(
                [box((-2.05, -0.12, 0.45), (2.05, 0.12, 0.75), style=style), box((-0.06, -0.06, 0), (0.06, 0.06, 0.7), style=style)]
            )
        site.put(piece, float(s), 0.0, lift=0.0)


def crossings(site: Site) -> None:
    """Lights and houses at side streets, and cars waiting in them."""
    rng, road = site.rng, site.road
    dark = site.styles.add((0.03, 0.03, 0.03))
    lit = tuple(site.styles.add(c) for c in ((0.8, 0.05, 0.03), (0.10, 0.07, 0.02), (0.02, 0.10, 0.05)))
    for middle, half in road.crossings:
        if site.plan.setting == "city" and rng.random() < 0.5:
            mesh = furniture.traffic_light(site.metal[1], dark, lit, 0.0 if rng.random() < 0.5 else min(3.5, road.half - 1.0))
            site.put(mesh, middle - half - 1.0, -(road.half + 0.7))
            site.put(mesh, middle + half + 1.0, road.half + 0.7, np.pi)
        for side in (-1, 1):
            if rng.random() < site.plan.waiting:
                site.put_car(float(middle - side * 1.6), side * (road.edge + rng.uniform(3.5, 9)), -side * np.pi / 2)
            if rng.random() < site.plan.waiting:
                site.put_car(float(middle + side * 1.6), side * (road.edge + rng.uniform(12, 25)), side * np.pi / 2)
            far = side * rng.uniform(45, 65)
            if rng.random() < 0.6 and road.clear(float(middle), far, 6.0):
                mesh = buildings.building(
                    24.0, 10.0, rng.uniform(6, 14), roof="gable", wall_style=site.wall_style(), roof_style=site.roof_style()
                )
                site.put(mesh, float(middle), far, 0.0 if side > 0 else np.pi, lift=0.0)
            else:
                for _ in range(4):
                    site.put_tree(float(middle) + rng.uniform(-12, 12), far, rng.uniform(6, 13))
