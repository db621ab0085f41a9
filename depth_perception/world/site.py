"""A building site: a road, and everything that has been put beside it so far."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from depth_perception.world import buildings, plants, vehicles
from depth_perception.world.mesh import Material, Mesh, box, merge
from depth_perception.world.plan import Plan
from depth_perception.world.road import Road
from depth_perception.world.street import Actor, Box
from depth_perception.world.styles import Styles, grey, move


class Site:
    """Puts meshes at road coordinates; refuses places that are on the road.

    Attributes:
        parts, boxes, actors: what stands and moves so far.
        metal: styles of posts (grey, black, bright).
    """

    def __init__(self, rng: np.random.Generator, plan: Plan, road: Road) -> None:
        self.rng, self.plan, self.road = rng, plan, road
        self.styles = Styles(rng)
        self.styles.add((0.5, 0.5, 0.5))  # row 0: the ground, which has its own look
        self.parts: list[Mesh] = []
        self.boxes: list[Box] = []
        self.actors: list[Actor] = []
        self.track = 0
        season = rng.choice(["summer", "summer", "spring", "autumn"])
        greens = {"summer": (0.055, 0.11, 0.025), "spring": (0.10, 0.19, 0.03), "autumn": (0.22, 0.13, 0.025)}[str(season)]
        self.leaf_colour = np.array(greens)
        self.wood = [self.styles.add(grey(rng, 0.06, 0.2) * [1.2, 1, 0.8], 0.5) for _ in range(3)]
        self.metal = [self.styles.add(grey(rng, low, high), 0.05) for low, high in ((0.25, 0.45), (0.05, 0.12), (0.5, 0.7))]
        self.trees = {
            kind: [plants.tree(kind, rng) for _ in range(n)]
            for kind, n in (("round", 4), ("tall", 2), ("conifer", 2), ("bush", 4), ("bare", 1))
        }
        self.species = [str(k) for k in rng.choice(["round", "round", "round", "tall", "conifer", "bare"], 3)]

    def put(
        self, mesh: Mesh, s: float, d: float, yaw: float = 0.0, *, scale: float | tuple[float, float, float] = 1.0, lift: float = -0.04
    ) -> None:
        """Stands a mesh at road coordinates."""
        self.parts.append(mesh.moved(self.road.place(s, d, yaw, lift=lift), scale))

    def put_tree(self, s: float, d: float, height: float, kind: str | None = None, radius: float = 1.0) -> None:
        """A tree or bush of about `height` metres, unless it would stand on the road."""
        if not self.road.clear(s, d, radius):
            return
        rng = self.rng
        kind = kind or str(rng.choice(self.species))
        shape = self.trees[kind][rng.integers(len(self.trees[kind]))]
        colour = np.clip(self.leaf_colour * rng.uniform(0.6, 1.5) * (1 + rng.normal(0, 0.12, 3)), 0.01, 0.6)
        leaf, wood = self.styles.add(colour * (0.7 if kind == "conifer" else 1.0), rng.uniform(0.3, 0.8)), self.wood[rng.integers(3)]
        size = height / {"round": 7.5, "tall": 10.5, "conifer": 10.0, "bush": 1.4, "bare": 7.5}[kind]
        wide = size * rng.uniform(0.85, 1.2)
        self.put(
            replace(shape, style=np.where(shape.style == 1, wood, leaf).astype(np.int32)),
            s,
            d,
            rng.uniform(0, 6.28),
            scale=(wide, wide, size),
        )

    def put_car(self, s: float, d: float, yaw: float, kind: str | None = None) -> float:
        """A parked car; returns its length."""
        rng = self.rng
        kind = kind or str(rng.choice(list(vehicles.SIZES), p=[0.22, 0.34, 0.16, 0.18, 0.09, 0.01]))
        mesh, size = vehicles.car(kind, rng, self.styles)
        if self.road.clear(s, d, -0.5 - self.plan.parking):
            T = self.road.place(s, d, yaw, on_slope=True)
            self.parts.append(mesh.moved(T))
            self.boxes.append(
                Box("Truck" if kind == "truck" else "Van" if kind == "van" else "Car", T @ move(0, 0, size[2] / 2), size, self.next_track())
            )
        return float(size[0])

    def next_track(self) -> int:
        self.track += 1
        return self.track

    def wall_style(self) -> int:
        rng = self.rng
        kind = int(rng.choice([0, 0, 0, 1, 1, 2, 3]))
        if kind == 1:
            colour = np.array([0.30, 0.12, 0.08]) * rng.uniform(0.5, 1.5) + rng.uniform(0, 0.08)
        else:
            hue = rng.choice([0, 1, 2, 3, 4], p=[0.4, 0.2, 0.15, 0.15, 0.1])
            base = np.array([(0.6, 0.59, 0.56), (0.6, 0.5, 0.32), (0.32, 0.32, 0.33), (0.5, 0.33, 0.24), (0.38, 0.45, 0.5)])[hue]
            colour = base * rng.uniform(0.5, 1.3)
        return self.styles.add(
            np.clip(colour, 0.03, 0.85),
            rng.uniform(1.8, 4.5),
            rng.uniform(2.7, 3.6),
            rng.uniform(0.28, 0.72),
            rng.uniform(0.4, 0.68),
            kind,
            int(rng.choice([0, 0, 1, 2])),
        )

    def roof_style(self) -> int:
        rng = self.rng
        base = [(0.30, 0.10, 0.05), (0.12, 0.11, 0.11), (0.20, 0.09, 0.06), (0.3, 0.29, 0.28), (0.09, 0.08, 0.07)][rng.integers(5)]
        return self.styles.add(np.array(base) * rng.uniform(0.6, 1.4), rng.uniform(0.2, 0.4))

    def put_building(self, s: float, front: float, side: int, *, length: float, depth: float, height: float, roof: str) -> None:
        """A building whose front stands `front` metres from the centreline."""
        reach = 0.5 * length
        if self.road.in_crossing(np.float64(s), reach + 1.0) or not all(
            self.road.clear(s + k, side * (front + m), 1.5) for k in (-reach, 0, reach) for m in (0, depth)
        ):
            return
        mesh = buildings.building(length, depth, height, roof=roof, wall_style=self.wall_style(), roof_style=self.roof_style())
        # The mesh stands towards its +y: away from the road on the left, turned round on the right.
        self.put(mesh, s, side * front, 0.0 if side > 0 else np.pi, lift=0.0)
        rng = self.rng
        if height > 6 and rng.random() < 0.3:
            style, floor = self.styles.add(grey(rng, 0.2, 0.7), 0.1), rng.uniform(2.8, 3.3)
            for z in np.arange(floor, height - 2, floor):
                for x in np.arange(-reach + 2.5, reach - 2, rng.uniform(4, 7)):
                    balcony = merge(
                        [
                            box((x - 1.4, -1.1, z), (x + 1.4, 0, z + 0.15), style=style),
                            box((x - 1.4, -1.1, z), (x + 1.4, -1.02, z + 1.0), style=style),
                        ]
                    )
                    self.put(balcony, s, side * front, 0.0 if side > 0 else np.pi, lift=0.0)
        if height > 4 and roof != "flat" and rng.random() < 0.5:
            self.put(
                box((-0.4, -0.4, 0), (0.4, 0.4, height + 4.0), Material.MASONRY, self.styles.add((0.25, 0.1, 0.07))),
                s + rng.uniform(-2, 2),
                side * (front + 0.6 * depth),
                lift=0.0,
            )

    def put_block(self, s: float, front: float, side: int, mesh: Mesh, *, length: float, depth: float) -> None:
        """A block whose front stands `front` metres from the centreline, unless it would stand on a road."""
        reach = 0.5 * length
        clear = all(self.road.clear(s + k, side * (front + m), 1.5) for k in (-reach, 0, reach) for m in (0, depth))
        if clear and not self.road.in_crossing(np.float64(s), reach + 1.0):
            self.put(mesh, s, side * front, 0.0 if side > 0 else np.pi, lift=0.0)

    def fence_style(self, kind: str) -> int:
        rng = self.rng
        if kind == "hedge":
            return self.styles.add(np.clip(self.leaf_colour * [0.7, 0.8, 0.9] * rng.uniform(0.6, 1.3), 0.01, 0.5), 0.5)
        if kind == "fence":
            return self.styles.add(np.array([0.28, 0.19, 0.11]) * rng.uniform(0.3, 1.6), 1, rng.uniform(0.08, 0.2))
        brick = rng.random() < 0.5
        return self.styles.add(
            np.array([0.30, 0.13, 0.09]) * rng.uniform(0.6, 1.5) if brick else grey(rng, 0.2, 0.6), 0 if brick else 2, rng.uniform(0.2, 2.0)
        )

    def barrier(self, kind: str, s0: float, s1: float, d: float, height: float, style: int) -> None:
        """A hedge, wall or fence from s0 to s1 in pieces that follow the bend."""
        n = max(1, int((s1 - s0) / 4))
        edges = np.linspace(s0, s1, n + 1)
        for a, b in itertools.pairwise(edges):
            middle = float(a + b) / 2
            if self.road.in_crossing(np.float64(middle), 0.5 * float(b - a) + 0.5) or not self.road.clear(middle, d, 0.3):
                continue
            ends = [self.road.place(float(v), d)[:3, 3] for v in (a, b)]
            length = float(np.linalg.norm(ends[1] - ends[0]))
            piece = (
                plants.hedge(length, height, 0.9, self.rng, style)
                if kind == "hedge"
                else buildings.wall(length + 0.04, height, 0.12 if kind == "fence" else 0.3, style)
            )
            self.put(piece, middle, d)
