"""Beyond the sidewalk: rows of houses, gardens, parks, walls, woods, fields and parking lots, zone by zone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_perception.world import buildings
from depth_perception.world.mesh import Material, box, cylinder, merge
from depth_perception.world.site import Site
from depth_perception.world.street import COVERS
from depth_perception.world.styles import grey, vivid


def zones(site: Site, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Zones along one side; returns the ground cover of each."""
    names, weights = zip(*site.plan.zones, strict=True)
    starts, covers = [], []
    s = float(site.road.s[0])
    while s < site.road.s[-1]:
        end = s + site.rng.uniform(30, 95)
        name = str(site.rng.choice(names, p=np.array(weights) / sum(weights)))
        starts.append(s)
        covers.append(COVERS.index(ZONES[name](site, s, end, side)))
        s = end
    return np.array(starts), np.array(covers)


def row(site: Site, s0: float, s1: float, side: int) -> str:
    """Houses wall to wall. Returns the ground cover."""
    rng = site.rng
    setback = float(rng.choice([0.0, 0.0, 0.5, 2.0, 5.0]))
    same, tall = rng.random() < 0.4, rng.uniform(6, 19)
    s = s0
    while s < s1:
        length = rng.uniform(7, 22)
        height = tall if same else float(np.clip(rng.normal(tall, 3.5), 4, 24))
        roof = str(rng.choice(["flat", "gable", "gable", "front_gable"])) if height < 16 else "flat"
        site.put_building(
            s + length / 2,
            site.road.edge + 0.3 + setback + (0 if same else rng.uniform(0, 0.8)),
            side,
            length=length - 0.02,
            depth=rng.uniform(9, 14),
            height=height,
            roof=roof,
        )
        s += length + (0.0 if rng.random() < 0.75 else rng.uniform(1, 7))
    return "slabs" if setback < 3 else "grass"


def houses(site: Site, s0: float, s1: float, side: int) -> str:
    """Houses in gardens. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    setback, front = rng.uniform(3.5, 13), str(rng.choice(["hedge", "wall", "fence", "open", "open"]))
    style = site.fence_style(front)
    height = rng.uniform(0.8, 1.9)
    s = s0
    while s < s1:
        length, plot = rng.uniform(8, 14), rng.uniform(14, 24)
        site.put_building(
            s + plot / 2,
            edge + setback + rng.uniform(-1, 1.5),
            side,
            length=length,
            depth=rng.uniform(8, 12),
            height=rng.uniform(2.8, 7.0),
            roof=str(rng.choice(["gable", "gable", "front_gable", "flat"])),
        )
        if front != "open":
            site.barrier(front, s, s + plot - 3.5, side * (edge + 0.5), height, style)
        for _ in range(rng.integers(0, 5)):
            kind = "bush" if rng.random() < 0.6 else None
            site.put_tree(
                s + rng.uniform(0, plot),
                side * (edge + rng.uniform(1.5, setback + 16)),
                rng.uniform(0.8, 2.2) if kind else rng.uniform(3.5, 9),
                kind,
            )
        if rng.random() < 0.35 and setback > 6.5:
            site.put_car(s + plot - 1.8, side * (edge + 3.2), side * np.pi / 2 * rng.choice([-1, 1]))
        s += plot
    return "grass" if rng.random() < 0.8 else "slabs"


def park(site: Site, s0: float, s1: float, side: int) -> str:
    """Trees and bushes on grass. Returns the ground cover."""
    rng = site.rng
    for _ in range(int((s1 - s0) * rng.uniform(0.12, 0.4))):
        d = site.road.edge + 1.0 + rng.gamma(2.0, 8.0)
        bush = rng.random() < 0.3
        site.put_tree(
            rng.uniform(s0, s1),
            side * (d + (0 if bush else 1.2)),
            rng.uniform(0.6, 2.0) if bush else rng.uniform(4, 14),
            "bush" if bush else None,
        )
    return str(rng.choice(["grass", "grass", "meadow"]))


def hedges(site: Site, s0: float, s1: float, side: int) -> str:
    """A hedge along the road, trees and roofs behind it. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    site.barrier("hedge", s0, s1, side * (edge + rng.uniform(0.6, 2.0)), rng.uniform(0.9, 2.8), site.fence_style("hedge"))
    for _ in range(int((s1 - s0) * 0.12)):
        site.put_tree(rng.uniform(s0, s1), side * (edge + rng.uniform(3, 16)), rng.uniform(4, 12))
    if rng.random() < 0.5:
        for s in np.arange(s0 + 10, s1 - 8, rng.uniform(20, 32)):
            site.put_building(
                float(s), edge + rng.uniform(10, 20), side, length=rng.uniform(9, 15), depth=10, height=rng.uniform(4, 9), roof="gable"
            )
    return "grass"


def walls(site: Site, s0: float, s1: float, side: int) -> str:
    """A wall or a fence with trees behind it. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    kind = str(rng.choice(["wall", "wall", "fence"]))
    height = rng.uniform(2.5, 5.0) if site.plan.setting == "highway" else rng.uniform(0.9, 3.2)
    site.barrier(kind, s0, s1, side * (edge + (1.5 if site.plan.setting == "highway" else 0.4)), height, site.fence_style(kind))
    for _ in range(int((s1 - s0) * 0.2)):
        site.put_tree(rng.uniform(s0, s1), side * (edge + rng.uniform(4, 20)), rng.uniform(4, 13))
    return str(rng.choice(["grass", "earth", "slabs"]))


def bare(site: Site, s0: float, s1: float, side: int) -> str:
    """Plain blocks, or one long plain wall. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    if rng.random() < 0.4:
        height, style = rng.uniform(3.0, 6.0), site.styles.add(grey(rng, 0.15, 0.75, 0.06))
        for s in np.arange(s0, s1, 4.0):
            if not site.road.in_crossing(np.float64(s + 2.0), 2.5):
                site.put(buildings.wall(4.1, height, 0.3, style, Material.BARE), float(s) + 2.0, side * (edge + 0.4))
        return "slabs"
    s = s0
    while s < s1:
        length, depth = rng.uniform(9, 26), rng.uniform(9, 16)
        colour = grey(rng, 0.15, 0.75, 0.08)
        mesh = buildings.block(length, depth, rng.uniform(5, 15), Material.BARE, site.styles.add(colour))
        site.put_block(s + length / 2, edge + rng.uniform(0.3, 1.5), side, mesh, length=length, depth=depth)
        s += length
    return "slabs"


def glass(site: Site, s0: float, s1: float, side: int) -> str:
    """Offices with facades of mirroring glass. Returns the ground cover."""
    rng = site.rng
    s = s0
    while s < s1:
        length, depth = rng.uniform(12, 28), rng.uniform(10, 16)
        tint = np.array([0.03, 0.04, 0.05]) * rng.uniform(0.5, 1.5)
        mesh = buildings.block(
            length, depth, rng.uniform(8, 22), Material.CURTAIN, site.styles.add(tint, rng.uniform(1.4, 3.0), rng.uniform(2.8, 3.8))
        )
        site.put_block(s + length / 2, site.road.edge + rng.uniform(0.3, 1.5), side, mesh, length=length, depth=depth)
        s += length + (0.0 if rng.random() < 0.8 else 3.0)
    return "slabs"


def wood(site: Site, s0: float, s1: float, side: int) -> str:
    """Trees close together. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    near = rng.uniform(2.0, 7.0)
    for _ in range(int((s1 - s0) * rng.uniform(0.5, 0.9))):
        site.put_tree(rng.uniform(s0, s1), side * (edge + near + rng.exponential(7.0)), rng.uniform(6, 17))
    for _ in range(int((s1 - s0) * 0.5)):
        site.put_tree(rng.uniform(s0, s1), side * (edge + near + rng.uniform(-1, 4)), rng.uniform(0.8, 2.6), "bush")
    return "grass" if rng.random() < 0.7 else "earth"


def field(site: Site, s0: float, s1: float, side: int) -> str:
    """Open land. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    for _ in range(rng.integers(0, 5)):
        bush = rng.random() < 0.5
        site.put_tree(
            rng.uniform(s0, s1),
            side * (edge + rng.uniform(2.5, 30)),
            rng.uniform(0.8, 2) if bush else rng.uniform(5, 12),
            "bush" if bush else None,
        )
    if rng.random() < 0.5:
        post = site.wood[0]
        for s in np.arange(s0, s1, rng.uniform(30, 45)):
            site.put(cylinder(0.13, rng.uniform(6.5, 8), top=0.1, style=post), float(s), side * (edge + 3.0))
    if rng.random() < 0.4:
        rail = site.metal[0]
        for s in np.arange(s0, s1, 4.0):
            site.put(
                merge([box((-2.02, -0.03, 0.45), (2.02, 0.03, 0.75), style=rail), box((-0.05, -0.05, 0), (0.05, 0.05, 0.7), style=rail)]),
                float(s),
                side * (edge + 0.6),
            )
    return str(rng.choice(["grass", "meadow", "earth", "meadow"]))


def lot(site: Site, s0: float, s1: float, side: int) -> str:
    """Parked cars in rows before a low, wide building. Returns the ground cover."""
    rng, edge = site.rng, site.road.edge
    deep, occupancy = rng.uniform(9, 26), rng.uniform(0.2, 0.95)
    for d in (edge + 3.6, edge + 3.6 + deep * 0.55):
        for s in np.arange(s0 + 4, s1 - 3, 2.7):
            if rng.random() < occupancy and not site.road.in_crossing(np.float64(s), 2.5):
                site.put_car(float(s), side * d, np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.03))
    for s in np.arange(s0 + 14, s1 - 8, 32):
        site.put_building(
            float(s),
            edge + deep,
            side,
            length=rng.uniform(16, 30),
            depth=18,
            height=rng.uniform(4, 9),
            roof=str(rng.choice(["flat", "flat", "gable"])),
        )
    if rng.random() < 0.6:
        kind = str(rng.choice(["hedge", "fence", "hedge"]))
        site.barrier(kind, s0, s1 - 8, side * (edge + 0.5), rng.uniform(0.4, 1.0), site.fence_style(kind))
    for s in np.arange(s0 + 5, s1, rng.uniform(12, 30)):
        if rng.random() < 0.6:
            face = site.styles.add(vivid(rng, 0.03, 0.8))
            site.put(
                merge(
                    [
                        cylinder(0.05, 6.5, style=site.metal[2]),
                        box((-0.02, -1.3 * (side < 0), 2.6), (0.02, 1.3 * (side > 0), 6.4), style=face),
                    ]
                ),
                float(s),
                side * (edge + 1.0),
            )
    return str(rng.choice(["asphalt", "slabs", "asphalt"]))


ZONES: dict[str, Callable[[Site, float, float, int], str]] = {
    "row": row,
    "houses": houses,
    "park": park,
    "hedge": hedges,
    "wall": walls,
    "wood": wood,
    "bare": bare,
    "glass": glass,
    "field": field,
    "lot": lot,
}


def backdrop(site: Site) -> None:
    """Far trees, houses and blocks that close the view."""
    rng, road = site.rng, site.road
    urban = site.plan.setting in ("city", "suburb")
    for s in np.arange(road.s[0], road.s[-1], 14.0):
        for side in (-1, 1):
            d = side * (rng.uniform(45, 130))
            if rng.random() < (0.5 if urban else 0.2):
                if road.clear(float(s), d, 15.0):
                    mesh = buildings.building(
                        rng.uniform(10, 25),
                        12.0,
                        rng.uniform(6, 30 if urban else 9),
                        roof="gable",
                        wall_style=site.wall_style(),
                        roof_style=site.roof_style(),
                    )
                    site.put(mesh, float(s), d, rng.uniform(0, 3), lift=-1.0)
            else:
                site.put_tree(float(s), d, rng.uniform(7, 18), None, 3.0)
    for k in range(-9, 10):
        site.put_tree(
            float(road.s[-1]) - rng.uniform(5, 30), 7.0 * k + rng.uniform(-2, 2) + (4 if k >= 0 else -4), rng.uniform(8, 18), None, 2.0
        )
    end, d = float(road.s[-1]) - 2.0, 0.0
    mesh = buildings.building(60.0, 12.0, rng.uniform(8, 16), roof="gable", wall_style=site.wall_style(), roof_style=site.roof_style())
    site.put(mesh, end, d, -np.pi / 2, lift=-1.0)
