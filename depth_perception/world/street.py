"""A street from a seed: what stands along a road, what moves on it, and how its ground looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.world import things
from depth_perception.world.mesh import Material, Mesh, merge
from depth_perception.world.paint import Paint, random_paint
from depth_perception.world.road import Road, ground, random_road
from depth_perception.world.things import Styles, grey, move, vivid

SETTINGS = ("city", "residential", "suburb", "country", "highway")
COVERS = ("grass", "slabs", "asphalt", "earth", "meadow")


@dataclass(frozen=True, eq=False)
class Box:
    """A thing's box: label, (4, 4) T of its middle (x forward) in the frame it is given in, (3,) length width height in metres."""

    label: str
    T: np.ndarray
    size: np.ndarray
    track: int


@dataclass(frozen=True, eq=False)
class Actor:
    """Something that moves along the road: s(t) = s0 + speed t, or s0 metres ahead of the car when it follows it.

    mesh: around its foot; facing: +1 with the road, -1 against it; d: metres left of the centreline.
    """

    label: str
    mesh: Mesh
    size: np.ndarray
    track: int
    s0: float
    speed: float
    d: float
    facing: int
    follows: bool = False

    def s(self, t: float, s_car: float) -> float:
        """Metres along the road at t seconds."""
        return float(s_car + self.s0 + 2.0 * np.sin(0.3 * t + self.track) if self.follows else self.s0 + self.facing * self.speed * t)

    def pose(self, road: Road, t: float, s_car: float) -> np.ndarray:
        """(4, 4) T_world_actor at time t seconds; s_car: where the car is then."""
        return road.place(self.s(t, s_car), self.d, 0.0 if self.facing > 0 else np.pi, on_slope=True)


@dataclass(frozen=True, eq=False)
class GroundLook:
    """Linear albedo and pattern of the ground.

    cover: per side (right, left) sorted zone starts (Z,) in metres and (Z,) index into COVERS of the ground beyond the sidewalk.
    strip: metres of grass between kerb and sidewalk. rough, stains, cracks: strengths 0..1.
    """

    asphalt: np.ndarray
    pavement: np.ndarray
    slab: float
    grass: np.ndarray
    earth: np.ndarray
    cover: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    strip: float
    rough: float
    stains: float
    cracks: float


@dataclass(frozen=True, eq=False)
class Street:
    """Everything there is.

    Attributes:
        mesh: all that stands, world frame, metres.
        boxes: boxes of parked cars, world frame.
        actors: what moves.
        styles: (S, 10) looks, see things.Styles.
    """

    road: Road
    paint: Paint
    look: GroundLook
    mesh: Mesh
    boxes: tuple[Box, ...]
    actors: tuple[Actor, ...]
    styles: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What kind of street: probabilities and sizes drawn once per drive."""

    setting: str
    lanes: tuple[int, int]
    lane_width: float
    parking: float
    sidewalk: float
    kerb: float
    bend: float
    turns: float
    crossing_every: float
    hilly: float
    zones: tuple[tuple[str, float], ...]
    parked: tuple[float, float]
    street_trees: tuple[float, float]
    lamps: bool
    people: float
    traffic: float
    markings: float


def random_plan(rng: np.random.Generator, setting: str | None = None) -> Plan:
    """A plan for one of SETTINGS, drawn when None."""
    if setting is None:
        setting = str(rng.choice(SETTINGS, p=[0.28, 0.30, 0.17, 0.17, 0.08]))
    if setting not in SETTINGS:
        raise BadInput(f"setting: wanted one of {', '.join(SETTINGS)}, got {setting!r}")
    occupancy = (float(rng.beta(1, 1)), float(rng.beta(1, 1)))
    trees = tuple(float(v) for v in rng.choice([0.0, 0.0, 8.0, 12.0, 18.0], 2))
    hilly = float(rng.choice([0.0, 0.008, 0.02]))
    if setting == "city":
        n = int(rng.choice([1, 1, 2]))
        return Plan(setting, (n, n), rng.uniform(2.9, 3.5), float(rng.choice([0.0, 2.1, 2.3])), rng.uniform(1.8, 4.5), rng.uniform(0.08, 0.15), 0.0015, 0.12,
                    rng.uniform(50, 110), hilly * 0.5, (("row", 0.68), ("park", 0.10), ("wall", 0.06), ("lot", 0.06), ("hedge", 0.05), ("houses", 0.05)),
                    occupancy, trees, True, rng.uniform(1, 6), rng.uniform(1, 4), 0.9)
    if setting == "residential":
        return Plan(setting, (1, 1), rng.uniform(2.3, 3.1), float(rng.choice([0.0, 0.0, 1.9, 2.1])), rng.uniform(1.0, 2.2), rng.uniform(0.03, 0.14), 0.004, 0.3,
                    rng.uniform(45, 120), hilly, (("houses", 0.48), ("row", 0.16), ("hedge", 0.16), ("park", 0.12), ("wall", 0.08)),
                    occupancy, trees, True, rng.uniform(0, 4), rng.uniform(0, 2), 0.35)
    if setting == "suburb":
        n = int(rng.choice([1, 1, 2]))
        return Plan(setting, (n, n), rng.uniform(2.9, 3.6), float(rng.choice([0.0, 2.2])), rng.uniform(1.2, 3.0), rng.uniform(0.05, 0.14), 0.003, 0.2,
                    rng.uniform(70, 160), hilly, (("lot", 0.32), ("park", 0.2), ("hedge", 0.14), ("row", 0.10), ("field", 0.10), ("wall", 0.08), ("houses", 0.06)),
                    occupancy, trees, bool(rng.random() < 0.7), rng.uniform(0, 2), rng.uniform(0.5, 3), 0.7)
    if setting == "country":
        return Plan(setting, (1, 1), rng.uniform(2.5, 3.5), 0.0, 0.0, 0.0, 0.006, 0.25, float(rng.choice([0.0, 150.0])), 1.6 * hilly,
                    (("field", 0.38), ("wood", 0.30), ("hedge", 0.12), ("park", 0.12), ("houses", 0.08)), (0.0, 0.0),
                    (0.0, float(rng.choice([0.0, 0.0, 14.0]))), False, 0.2, rng.uniform(0, 2), 0.7)
    n = int(rng.choice([2, 2, 3]))
    return Plan(setting, (n, n), rng.uniform(3.4, 3.75), 2.4, 0.0, 0.0, 0.0012, 0.0, 0.0, hilly,
                (("wood", 0.38), ("field", 0.32), ("wall", 0.20), ("park", 0.10)), (0.0, 0.0), (0.0, 0.0), bool(rng.random() < 0.4), 0.0, rng.uniform(2, 6), 1.0)


def random_street(rng: np.random.Generator, *, length: float, duration: float, setting: str | None = None, lane: int = 0) -> Street:
    """A street for a drive of `length` metres and `duration` seconds; `lane`: the car's own lane, 0 next to the centre."""
    plan = random_plan(rng, setting)
    road = random_road(rng, length=length, lanes=plan.lanes, lane_width=plan.lane_width, parking=plan.parking, sidewalk=plan.sidewalk, kerb=plan.kerb,
                       bend=plan.bend, turns=plan.turns, crossing_every=plan.crossing_every, hilly=plan.hilly)
    return _Builder(rng, plan, road).street(duration, min(lane, plan.lanes[0] - 1))


class _Builder:
    """Places things along a road, one kind of place after the other."""

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
        self.wood = [styles_row for styles_row in (self.styles.add(grey(rng, 0.06, 0.2) * [1.2, 1, 0.8], 0.5) for _ in range(3))]
        self.metal = [self.styles.add(grey(rng, low, high), 0.05) for low, high in ((0.25, 0.45), (0.05, 0.12), (0.5, 0.7))]
        self.trees = {kind: [things.tree(kind, rng) for _ in range(n)] for kind, n in (("round", 4), ("tall", 2), ("conifer", 2), ("bush", 4), ("bare", 1))}
        self.species = [str(k) for k in rng.choice(["round", "round", "round", "tall", "conifer", "bare"], 3)]

    def street(self, duration: float, lane: int) -> Street:
        """Places everything."""
        rng, plan, road = self.rng, self.plan, self.road
        covers = tuple(self._roadside(side) for side in (-1, 1))
        if plan.setting == "highway":
            self._barriers()
        for side, occupancy, spacing in ((-1, plan.parked[0], plan.street_trees[0]), (1, plan.parked[1], plan.street_trees[1])):
            self._kerbside(side, occupancy, spacing)
        self._crossings()
        self._backdrop()
        self._traffic(duration, lane)
        grass = np.array([0.09, 0.13, 0.035]) * rng.uniform(0.6, 1.3) + np.array([0.06, 0.03, 0.0]) * rng.random()
        look = GroundLook(grey(rng, 0.055, 0.21, 0.03), grey(rng, 0.16, 0.42, 0.05), float(rng.choice([0.3, 0.5, 0.5, 1.0, 2.0])), grass,
                          np.array([0.22, 0.16, 0.10]) * rng.uniform(0.6, 1.3), covers,
                          float(rng.choice([0.0, 0.0, 1.2])) if plan.sidewalk > 2.0 else 0.0, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.6), float(rng.random() ** 2))
        look = replace(look, asphalt=look.asphalt.astype(np.float32))
        mesh = merge([ground(road), *self.parts])
        return Street(road, random_paint(rng, road, amount=plan.markings), look, mesh, tuple(self.boxes), tuple(self.actors), self.styles.table())

    # --- one thing at a place -------------------------------------------------------------------------------------------------------

    def put(self, mesh: Mesh, s: float, d: float, yaw: float = 0.0, *, scale: float | tuple[float, float, float] = 1.0, lift: float = -0.04) -> None:
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
        self.put(replace(shape, style=np.where(shape.style == 1, wood, leaf).astype(np.int32)), s, d, rng.uniform(0, 6.28), scale=(wide, wide, size))

    def put_car(self, s: float, d: float, yaw: float, kind: str | None = None) -> float:
        """A parked car; returns its length."""
        rng = self.rng
        kind = kind or str(rng.choice(list(things.SIZES), p=[0.22, 0.34, 0.16, 0.18, 0.09, 0.01]))
        mesh, size = things.car(kind, rng, self.styles)
        if self.road.clear(s, d, -0.5 - self.plan.parking):
            T = self.road.place(s, d, yaw, on_slope=True)
            self.parts.append(mesh.moved(T))
            self.boxes.append(Box("Truck" if kind == "truck" else "Van" if kind == "van" else "Car", T @ move(0, 0, size[2] / 2), size, self._next_track()))
        return float(size[0])

    def _next_track(self) -> int:
        self.track += 1
        return self.track

    def _wall_style(self) -> int:
        rng = self.rng
        kind = int(rng.choice([0, 0, 0, 1, 1, 2, 3]))
        if kind == 1:
            colour = np.array([0.30, 0.12, 0.08]) * rng.uniform(0.5, 1.5) + rng.uniform(0, 0.08)
        else:
            hue = rng.choice([0, 1, 2, 3, 4], p=[0.4, 0.2, 0.15, 0.15, 0.1])
            base = np.array([(0.6, 0.59, 0.56), (0.6, 0.5, 0.32), (0.32, 0.32, 0.33), (0.5, 0.33, 0.24), (0.38, 0.45, 0.5)])[hue]
            colour = base * rng.uniform(0.5, 1.3)
        return self.styles.add(np.clip(colour, 0.03, 0.85), rng.uniform(1.8, 4.5), rng.uniform(2.7, 3.6), rng.uniform(0.28, 0.72), rng.uniform(0.4, 0.68), kind,
                               int(rng.choice([0, 0, 1, 2])))

    def _roof_style(self) -> int:
        rng = self.rng
        base = [(0.30, 0.10, 0.05), (0.12, 0.11, 0.11), (0.20, 0.09, 0.06), (0.3, 0.29, 0.28), (0.09, 0.08, 0.07)][rng.integers(5)]
        return self.styles.add(np.array(base) * rng.uniform(0.6, 1.4), rng.uniform(0.2, 0.4))

    def put_building(self, s: float, front: float, side: int, *, length: float, depth: float, height: float, roof: str) -> None:
        """A building whose front stands `front` metres from the centreline."""
        reach = 0.5 * length
        if self.road.in_crossing(np.float64(s), reach + 1.0) or not all(self.road.clear(s + k, side * (front + m), 1.5) for k in (-reach, 0, reach) for m in (0, depth)):
            return
        mesh = things.building(length, depth, height, roof=roof, wall_style=self._wall_style(), roof_style=self._roof_style())
        # The mesh stands towards its +y: away from the road on the left, turned round on the right.
        self.put(mesh, s, side * front, 0.0 if side > 0 else np.pi, lift=0.0)
        rng = self.rng
        if height > 6 and rng.random() < 0.3:
            style, floor = self.styles.add(grey(rng, 0.2, 0.7), 0.1), rng.uniform(2.8, 3.3)
            for z in np.arange(floor, height - 2, floor):
                for x in np.arange(-reach + 2.5, reach - 2, rng.uniform(4, 7)):
                    balcony = merge([things.box((x - 1.4, -1.1, z), (x + 1.4, 0, z + 0.15), style=style), things.box((x - 1.4, -1.1, z), (x + 1.4, -1.02, z + 1.0), style=style)])
                    self.put(balcony, s, side * front, 0.0 if side > 0 else np.pi, lift=0.0)
        if height > 4 and roof != "flat" and rng.random() < 0.5:
            self.put(things.box((-0.4, -0.4, 0), (0.4, 0.4, height + 4.0), Material.MASONRY, self.styles.add((0.25, 0.1, 0.07))), s + rng.uniform(-2, 2), side * (front + 0.6 * depth), lift=0.0)

    # --- the roadside ---------------------------------------------------------------------------------------------------------------

    def _roadside(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Zones along one side; returns the ground cover of each."""
        names, weights = zip(*self.plan.zones, strict=True)
        zone: dict[str, Callable[[float, float, int], str]] = {
            "row": self._row, "houses": self._houses, "park": self._park, "hedge": self._hedges, "wall": self._walls, "wood": self._wood,
            "field": self._field, "lot": self._lot}
        starts, covers = [], []
        s = float(self.road.s[0])
        while s < self.road.s[-1]:
            end = s + self.rng.uniform(30, 95)
            name = str(self.rng.choice(names, p=np.array(weights) / sum(weights)))
            starts.append(s)
            covers.append(COVERS.index(zone[name](s, end, side)))
            s = end
        return np.array(starts), np.array(covers)

    def _row(self, s0: float, s1: float, side: int) -> str:
        rng = self.rng
        setback = float(rng.choice([0.0, 0.0, 0.5, 2.0, 5.0]))
        same, tall = rng.random() < 0.4, rng.uniform(6, 19)
        s = s0
        while s < s1:
            length = rng.uniform(7, 22)
            height = tall if same else float(np.clip(rng.normal(tall, 3.5), 4, 24))
            roof = str(rng.choice(["flat", "gable", "gable", "front_gable"])) if height < 16 else "flat"
            self.put_building(s + length / 2, self.road.edge + 0.3 + setback + (0 if same else rng.uniform(0, 0.8)), side, length=length - 0.02,
                              depth=rng.uniform(9, 14), height=height, roof=roof)
            s += length + (0.0 if rng.random() < 0.75 else rng.uniform(1, 7))
        return "slabs" if setback < 3 else "grass"

    def _houses(self, s0: float, s1: float, side: int) -> str:
        rng, edge = self.rng, self.road.edge
        setback, front = rng.uniform(3.5, 13), str(rng.choice(["hedge", "wall", "fence", "open", "open"]))
        style = self._fence_style(front)
        height = rng.uniform(0.8, 1.9)
        s = s0
        while s < s1:
            length, plot = rng.uniform(8, 14), rng.uniform(14, 24)
            self.put_building(s + plot / 2, edge + setback + rng.uniform(-1, 1.5), side, length=length, depth=rng.uniform(8, 12), height=rng.uniform(2.8, 7.0),
                              roof=str(rng.choice(["gable", "gable", "front_gable", "flat"])))
            if front != "open":
                self._barrier(front, s, s + plot - 3.5, side * (edge + 0.5), height, style)
            for _ in range(rng.integers(0, 5)):
                kind = "bush" if rng.random() < 0.6 else None
                self.put_tree(s + rng.uniform(0, plot), side * (edge + rng.uniform(1.5, setback + 16)), rng.uniform(0.8, 2.2) if kind else rng.uniform(3.5, 9), kind)
            if rng.random() < 0.35 and setback > 6.5:
                self.put_car(s + plot - 1.8, side * (edge + 3.2), side * np.pi / 2 * rng.choice([-1, 1]))
            s += plot
        return "grass" if rng.random() < 0.8 else "slabs"

    def _fence_style(self, kind: str) -> int:
        rng = self.rng
        if kind == "hedge":
            return self.styles.add(np.clip(self.leaf_colour * [0.7, 0.8, 0.9] * rng.uniform(0.6, 1.3), 0.01, 0.5), 0.5)
        if kind == "fence":
            return self.styles.add(np.array([0.28, 0.19, 0.11]) * rng.uniform(0.3, 1.6), 1, rng.uniform(0.08, 0.2))
        brick = rng.random() < 0.5
        return self.styles.add(np.array([0.30, 0.13, 0.09]) * rng.uniform(0.6, 1.5) if brick else grey(rng, 0.2, 0.6), 0 if brick else 2, rng.uniform(0.2, 2.0))

    def _barrier(self, kind: str, s0: float, s1: float, d: float, height: float, style: int) -> None:
        """A hedge, wall or fence from s0 to s1 in pieces that follow the bend."""
        n = max(1, int((s1 - s0) / 4))
        edges = np.linspace(s0, s1, n + 1)
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            middle = float(a + b) / 2
            if self.road.in_crossing(np.float64(middle), 0.5 * float(b - a) + 0.5) or not self.road.clear(middle, d, 0.3):
                continue
            ends = [self.road.place(float(v), d)[:3, 3] for v in (a, b)]
            length = float(np.linalg.norm(ends[1] - ends[0]))
            piece = things.hedge(length, height, 0.9, self.rng, style) if kind == "hedge" else things.wall(length + 0.04, height, 0.12 if kind == "fence" else 0.3, style)
            self.put(piece, middle, d)

    def _park(self, s0: float, s1: float, side: int) -> str:
        rng = self.rng
        for _ in range(int((s1 - s0) * rng.uniform(0.12, 0.4))):
            d = self.road.edge + 1.0 + rng.gamma(2.0, 8.0)
            bush = rng.random() < 0.3
            self.put_tree(rng.uniform(s0, s1), side * (d + (0 if bush else 1.2)), rng.uniform(0.6, 2.0) if bush else rng.uniform(4, 14), "bush" if bush else None)
        return str(rng.choice(["grass", "grass", "meadow"]))

    def _hedges(self, s0: float, s1: float, side: int) -> str:
        rng, edge = self.rng, self.road.edge
        self._barrier("hedge", s0, s1, side * (edge + rng.uniform(0.6, 2.0)), rng.uniform(0.9, 2.8), self._fence_style("hedge"))
        for _ in range(int((s1 - s0) * 0.12)):
            self.put_tree(rng.uniform(s0, s1), side * (edge + rng.uniform(3, 16)), rng.uniform(4, 12))
        if rng.random() < 0.5:
            for s in np.arange(s0 + 10, s1 - 8, rng.uniform(20, 32)):
                self.put_building(float(s), edge + rng.uniform(10, 20), side, length=rng.uniform(9, 15), depth=10, height=rng.uniform(4, 9), roof="gable")
        return "grass"

    def _walls(self, s0: float, s1: float, side: int) -> str:
        rng, edge = self.rng, self.road.edge
        kind = str(rng.choice(["wall", "wall", "fence"]))
        height = rng.uniform(2.5, 5.0) if self.plan.setting == "highway" else rng.uniform(0.9, 3.2)
        self._barrier(kind, s0, s1, side * (edge + (1.5 if self.plan.setting == "highway" else 0.4)), height, self._fence_style(kind))
        for _ in range(int((s1 - s0) * 0.2)):
            self.put_tree(rng.uniform(s0, s1), side * (edge + rng.uniform(4, 20)), rng.uniform(4, 13))
        return str(rng.choice(["grass", "earth", "slabs"]))

    def _wood(self, s0: float, s1: float, side: int) -> str:
        rng, edge = self.rng, self.road.edge
        near = rng.uniform(2.0, 7.0)
        for _ in range(int((s1 - s0) * rng.uniform(0.5, 0.9))):
            self.put_tree(rng.uniform(s0, s1), side * (edge + near + rng.exponential(7.0)), rng.uniform(6, 17))
        for _ in range(int((s1 - s0) * 0.5)):
            self.put_tree(rng.uniform(s0, s1), side * (edge + near + rng.uniform(-1, 4)), rng.uniform(0.8, 2.6), "bush")
        return "grass" if rng.random() < 0.7 else "earth"

    def _field(self, s0: float, s1: float, side: int) -> str:
        rng, edge = self.rng, self.road.edge
        for _ in range(rng.integers(0, 5)):
            bush = rng.random() < 0.5
            self.put_tree(rng.uniform(s0, s1), side * (edge + rng.uniform(2.5, 30)), rng.uniform(0.8, 2) if bush else rng.uniform(5, 12), "bush" if bush else None)
        if rng.random() < 0.5:
            post = self.wood[0]
            for s in np.arange(s0, s1, rng.uniform(30, 45)):
                self.put(things.cylinder(0.13, rng.uniform(6.5, 8), top=0.1, style=post), float(s), side * (edge + 3.0))
        if rng.random() < 0.4:
            rail = self.metal[0]
            for s in np.arange(s0, s1, 4.0):
                self.put(merge([things.box((-2.02, -0.03, 0.45), (2.02, 0.03, 0.75), style=rail), things.box((-0.05, -0.05, 0), (0.05, 0.05, 0.7), style=rail)]), float(s), side * (edge + 0.6))
        return str(rng.choice(["grass", "meadow", "earth", "meadow"]))

    def _lot(self, s0: float, s1: float, side: int) -> str:
        rng, edge = self.rng, self.road.edge
        deep, occupancy = rng.uniform(9, 26), rng.uniform(0.2, 0.95)
        for d in (edge + 3.6, edge + 3.6 + deep * 0.55):
            for s in np.arange(s0 + 4, s1 - 3, 2.7):
                if rng.random() < occupancy and not self.road.in_crossing(np.float64(s), 2.5):
                    self.put_car(float(s), side * d, np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.03))
        for s in np.arange(s0 + 14, s1 - 8, 32):
            self.put_building(float(s), edge + deep, side, length=rng.uniform(16, 30), depth=18, height=rng.uniform(4, 9), roof=str(rng.choice(["flat", "flat", "gable"])))
        if rng.random() < 0.6:
            kind = str(rng.choice(["hedge", "fence", "hedge"]))
            self._barrier(kind, s0, s1 - 8, side * (edge + 0.5), rng.uniform(0.4, 1.0), self._fence_style(kind))
        for s in np.arange(s0 + 5, s1, rng.uniform(12, 30)):
            if rng.random() < 0.6:
                face = self.styles.add(vivid(rng, 0.03, 0.8))
                self.put(merge([things.cylinder(0.05, 6.5, style=self.metal[2]), things.box((-0.02, -1.3 * (side < 0), 2.6), (0.02, 1.3 * (side > 0), 6.4), style=face)]), float(s), side * (edge + 1.0))
        return str(rng.choice(["asphalt", "slabs", "asphalt"]))

    # --- at the kerb ----------------------------------------------------------------------------------------------------------------

    def _kerbside(self, side: int, occupancy: float, tree_spacing: float) -> None:
        rng, road, plan = self.rng, self.road, self.plan
        begin, end = float(road.s[0]) + 5, float(road.s[-1]) - 5
        on_sidewalk = plan.parking < 0.5 and plan.sidewalk > 1.6 and rng.random() < 0.3
        if (plan.parking > 0.5 or on_sidewalk) and plan.setting != "highway":
            s, d = begin, side * (road.half + (-0.5 * plan.parking if plan.parking > 0.5 else 0.75))
            while s < end:
                if rng.random() < occupancy and not road.in_crossing(np.float64(s + 2.3), 5.0):
                    yaw = (0.0 if side < 0 or rng.random() < 0.15 else np.pi) + rng.normal(0, 0.02)
                    s += self.put_car(s + 2.3, d + rng.normal(0, 0.08), yaw) + rng.uniform(0.5, 1.6)
                else:
                    s += rng.uniform(4, 14)
        if tree_spacing > 0:
            kind, height = str(rng.choice(self.species)), rng.uniform(4.5, 12)
            for s in np.arange(begin, end, tree_spacing):
                if rng.random() < 0.85 and not road.in_crossing(np.float64(s), 3.0):
                    self.put_tree(float(s) + rng.normal(0, 0.4), side * (road.half + (1.0 if plan.sidewalk > 1.5 else 2.8)), height * rng.uniform(0.8, 1.2), kind, 0.3)
        if plan.lamps and rng.random() < 0.8:
            style, head = self.metal[rng.integers(3)], self.styles.add((0.7, 0.7, 0.65))
            height, arm = (rng.uniform(3.2, 4.5), 0.0) if rng.random() < 0.4 else (rng.uniform(6, 9.5), rng.uniform(1.0, 2.4))
            mesh = things.lamp(height, arm, style, head)
            for s in np.arange(begin + rng.uniform(0, 20), end, rng.uniform(20, 38)):
                self.put(mesh, float(s), side * (road.half + 0.6), 0.0 if side < 0 else np.pi)
        clutter = {"city": 0.16, "residential": 0.09, "suburb": 0.07, "country": 0.03, "highway": 0.015}[plan.setting]
        for _ in range(int((end - begin) * clutter)):
            self._clutter(float(rng.uniform(begin, end)), side)
        if plan.setting == "city" and rng.random() < 0.35:
            bollard = things.cylinder(0.07, 0.95, style=self.metal[1])
            for s in np.arange(begin, end, rng.uniform(1.5, 3.0)):
                if not road.in_crossing(np.float64(s), 1.0):
                    self.put(bollard, float(s), side * (road.half + 0.35))
        if plan.setting in ("country", "highway"):
            post, dark = self.styles.add((0.75, 0.75, 0.73)), self.styles.add((0.03, 0.03, 0.03))
            mesh = merge([things.box((-0.06, -0.06, 0), (0.06, 0.06, 0.75), style=post), things.box((-0.065, -0.065, 0.75), (0.065, 0.065, 0.95), style=dark)])
            for s in np.arange(begin, end, 25.0 if rng.random() < 0.5 else 50.0):
                self.put(mesh, float(s), side * (road.half + 0.7))

    def _clutter(self, s: float, side: int) -> None:
        """A sign, bin, cabinet, bus shelter, billboard or parked bicycle near the kerb."""
        rng, road, styles = self.rng, self.road, self.styles
        if road.in_crossing(np.float64(s), 1.5):
            return
        d, kind = side * (road.half + rng.uniform(0.35, 0.9)), rng.random()
        if kind < 0.5:
            shape = str(rng.choice(["round", "round", "triangle", "square", "board"]))
            face = styles.add([(0.75, 0.75, 0.73), (0.02, 0.10, 0.40), (0.70, 0.55, 0.03), (0.75, 0.75, 0.73), (0.02, 0.25, 0.1)][rng.integers(5)])
            mesh = things.sign(rng.uniform(2.0, 2.8), rng.uniform(0.28, 0.42), shape, face, self.metal[0], float(rng.integers(6)))
            self.put(mesh, s, d, (0.0 if side < 0 else np.pi) + rng.normal(0, 0.1))
        elif kind < 0.68:
            n, colour = rng.integers(1, 4), styles.add(vivid(rng, 0.02, 0.4))
            for k in range(n):
                self.put(merge([things.box((-0.3, -0.35, 0), (0.3, 0.35, 1.0), style=colour), things.box((-0.33, -0.38, 1.0), (0.33, 0.38, 1.08), style=colour)]), s + 0.8 * k, d + side * 0.3)
        elif kind < 0.8:
            self.put(things.box((-0.6, -0.2, 0), (0.6, 0.2, 1.2), style=styles.add(grey(rng, 0.2, 0.5), 0.1)), s, d + side * 0.4)
        elif kind < 0.88 and self.plan.sidewalk > 2.2:
            frame, pane = self.metal[1], styles.add((0.25, 0.3, 0.32))
            shelter = merge([things.box((-2, 0.5, 0.2), (2, 0.55, 2.2), style=pane), things.box((-2.1, -0.7, 2.3), (2.1, 0.6, 2.42), style=frame),
                             *[things.box((x - 0.04, y, 0), (x + 0.04, y + 0.08, 2.3), style=frame) for x in (-2, 2) for y in (-0.6, 0.5)]])
            self.put(shelter, s, side * (road.edge - 0.9), 0.0 if side > 0 else np.pi)
        elif kind < 0.94:
            board = merge([things.box((-0.05, -1.6, 1.2), (0.05, 1.6, 3.8), style=styles.add(vivid(rng, 0.05, 0.7), 0.3)), things.box((-0.1, -0.1, 0), (0.1, 0.1, 1.2), style=self.metal[1])])
            self.put(board, s, side * (road.edge + 1.9), rng.uniform(-0.6, 0.6))
        else:
            self.put_tree(s, side * (road.edge + 0.8), rng.uniform(0.6, 1.4), "bush", 0.2)

    def _barriers(self) -> None:
        """The rail between the carriageways of a highway."""
        concrete = self.rng.random() < 0.4
        style = self.styles.add(grey(self.rng, 0.3, 0.5), 0.3) if concrete else self.metal[0]
        for s in np.arange(self.road.s[0] + 2, self.road.s[-1] - 2, 4.0):
            if concrete:
                piece = things.box((-2.05, -0.2, 0), (2.05, 0.2, 0.9), style=style)
            else:
                piece = merge([things.box((-2.05, -0.12, 0.45), (2.05, 0.12, 0.75), style=style), things.box((-0.06, -0.06, 0), (0.06, 0.06, 0.7), style=style)])
            self.put(piece, float(s), 0.0, lift=0.0)

    def _crossings(self) -> None:
        """Lights and houses at side streets, and cars waiting in them."""
        rng, road = self.rng, self.road
        dark = self.styles.add((0.03, 0.03, 0.03))
        lit = tuple(self.styles.add(c) for c in ((0.8, 0.05, 0.03), (0.10, 0.07, 0.02), (0.02, 0.10, 0.05)))
        for middle, half in road.crossings:
            if self.plan.setting == "city" and rng.random() < 0.5:
                mesh = things.traffic_light(self.metal[1], dark, lit, 0.0 if rng.random() < 0.5 else min(3.5, road.half - 1.0))
                self.put(mesh, middle - half - 1.0, -(road.half + 0.7))
                self.put(mesh, middle + half + 1.0, road.half + 0.7, np.pi)
            for side in (-1, 1):
                if rng.random() < 0.5:
                    self.put_car(float(middle - side * 1.6), side * (road.edge + rng.uniform(3.5, 9)), -side * np.pi / 2)
                if rng.random() < 0.5:
                    self.put_car(float(middle + side * 1.6), side * (road.edge + rng.uniform(12, 25)), side * np.pi / 2)
                far = side * rng.uniform(45, 65)
                if rng.random() < 0.6 and road.clear(float(middle), far, 6.0):
                    mesh = things.building(24.0, 10.0, rng.uniform(6, 14), roof="gable", wall_style=self._wall_style(), roof_style=self._roof_style())
                    self.put(mesh, float(middle), far, 0.0 if side > 0 else np.pi, lift=0.0)
                else:
                    for _ in range(4):
                        self.put_tree(float(middle) + rng.uniform(-12, 12), far, rng.uniform(6, 13))

    def _backdrop(self) -> None:
        """Far trees, houses and blocks that close the view."""
        rng, road = self.rng, self.road
        urban = self.plan.setting in ("city", "suburb")
        for s in np.arange(road.s[0], road.s[-1], 14.0):
            for side in (-1, 1):
                d = side * (rng.uniform(45, 130))
                if rng.random() < (0.5 if urban else 0.2):
                    if road.clear(float(s), d, 15.0):
                        mesh = things.building(rng.uniform(10, 25), 12.0, rng.uniform(6, 30 if urban else 9), roof="gable", wall_style=self._wall_style(), roof_style=self._roof_style())
                        self.put(mesh, float(s), d, rng.uniform(0, 3), lift=-1.0)
                else:
                    self.put_tree(float(s), d, rng.uniform(7, 18), None, 3.0)
        for k in range(-9, 10):
            self.put_tree(float(road.s[-1]) - rng.uniform(5, 30), 7.0 * k + rng.uniform(-2, 2) + (4 if k >= 0 else -4), rng.uniform(8, 18), None, 2.0)
        end, d = float(road.s[-1]) - 2.0, 0.0
        mesh = things.building(60.0, 12.0, rng.uniform(8, 16), roof="gable", wall_style=self._wall_style(), roof_style=self._roof_style())
        self.put(mesh, end, d, -np.pi / 2, lift=-1.0)

    # --- what moves -----------------------------------------------------------------------------------------------------------------

    def _traffic(self, duration: float, lane: int) -> None:
        """Cars ahead, oncoming and in other lanes, cyclists, and people on foot."""
        rng, road, plan = self.rng, self.road, self.plan
        w, (right, left) = road.lane_width, road.lanes
        if rng.random() < min(0.75, 0.25 * plan.traffic):
            self._drive(-(lane + 0.5) * w, 1, rng.uniform(9, 45), 0.0, follows=True)
        if rng.random() < 0.3 * plan.traffic:
            self._drive(-(lane + 0.5) * w, 1, rng.uniform(-35, -14), 0.0, follows=True)
        for k in range(right):
            if k != lane:
                s, speed = rng.uniform(-60, 0), rng.uniform(5, 14)
                while s < 220:
                    self._drive(-(k + 0.5) * w, 1, s, speed)
                    s += rng.uniform(12, 240 / max(plan.traffic, 0.3))
        for k in range(left):
            s, speed = rng.uniform(5, 60), rng.uniform(5, 14)
            while s < road.s[-1] + speed * duration and plan.traffic > 0.2:
                self._drive((k + 0.5) * w, -1, s, speed)
                s += rng.uniform(12, 300 / plan.traffic)
        end = float(road.s[-1]) - 60
        if plan.sidewalk > 0.5:
            for _ in range(int(plan.people * (end + 60) / 60)):
                side, facing = rng.choice([-1, 1]), int(rng.choice([-1, 1]))
                d = float(side * (road.half + rng.uniform(0.5, max(0.6, plan.sidewalk - 0.4))))
                mesh, size = things.person(rng, self.styles)
                self.actors.append(Actor("Pedestrian", mesh, size, self._next_track(), float(rng.uniform(-40, end)), float(rng.choice([0.0, 1.1, 1.5])), d, facing))
        for _ in range(rng.poisson(0.004 * end * (plan.people > 0.5))):
            mesh, size = things.cyclist(rng, self.styles)
            side = int(rng.choice([-1, 1]))
            d = side * (max(right, left) * w - 0.4)
            self.actors.append(Actor("Cyclist", mesh, size, self._next_track(), float(rng.uniform(-20, end)), float(rng.uniform(2.5, 6)), d, -side))

    def _drive(self, d: float, facing: int, s0: float, speed: float, *, follows: bool = False) -> None:
        kind = str(self.rng.choice(list(things.SIZES), p=[0.24, 0.30, 0.16, 0.18, 0.08, 0.04]))
        mesh, size = things.car(kind, self.rng, self.styles)
        label = "Truck" if kind == "truck" else "Van" if kind == "van" else "Car"
        self.actors.append(Actor(label, mesh, size, self._next_track(), s0, speed, d + float(self.rng.normal(0, 0.1)), facing, follows))
