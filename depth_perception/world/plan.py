"""What kind of street it is: the sizes and probabilities that are drawn once per drive."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.world.hard import Hard

SETTINGS = ("city", "residential", "suburb", "country", "highway")


@dataclass(frozen=True)
class Plan:
    """What kind of street: probabilities and sizes drawn once per drive.

    waiting: chance that a car stands in a side street. wet: share of the road under water.
    """

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
    waiting: float = 0.5
    wet: float = 0.0


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
        return Plan(
            setting,
            (n, n),
            rng.uniform(2.9, 3.5),
            float(rng.choice([0.0, 2.1, 2.3])),
            rng.uniform(1.8, 4.5),
            rng.uniform(0.08, 0.15),
            0.0015,
            0.12,
            rng.uniform(50, 110),
            hilly * 0.5,
            (("row", 0.68), ("park", 0.10), ("wall", 0.06), ("lot", 0.06), ("hedge", 0.05), ("houses", 0.05)),
            occupancy,
            trees,
            True,
            rng.uniform(1, 6),
            rng.uniform(1, 4),
            0.9,
        )
    if setting == "residential":
        return Plan(
            setting,
            (1, 1),
            rng.uniform(2.3, 3.1),
            float(rng.choice([0.0, 0.0, 1.9, 2.1])),
            rng.uniform(1.0, 2.2),
            rng.uniform(0.03, 0.14),
            0.004,
            0.3,
            rng.uniform(45, 120),
            hilly,
            (("houses", 0.48), ("row", 0.16), ("hedge", 0.16), ("park", 0.12), ("wall", 0.08)),
            occupancy,
            trees,
            True,
            rng.uniform(0, 4),
            rng.uniform(0, 2),
            0.35,
        )
    if setting == "suburb":
        n = int(rng.choice([1, 1, 2]))
        return Plan(
            setting,
            (n, n),
            rng.uniform(2.9, 3.6),
            float(rng.choice([0.0, 2.2])),
            rng.uniform(1.2, 3.0),
            rng.uniform(0.05, 0.14),
            0.003,
            0.2,
            rng.uniform(70, 160),
            hilly,
            (("lot", 0.32), ("park", 0.2), ("hedge", 0.14), ("row", 0.10), ("field", 0.10), ("wall", 0.08), ("houses", 0.06)),
            occupancy,
            trees,
            bool(rng.random() < 0.7),
            rng.uniform(0, 2),
            rng.uniform(0.5, 3),
            0.7,
        )
    if setting == "country":
        return Plan(
            setting,
            (1, 1),
            rng.uniform(2.5, 3.5),
            0.0,
            0.0,
            0.0,
            0.006,
            0.25,
            float(rng.choice([0.0, 150.0])),
            1.6 * hilly,
            (("field", 0.38), ("wood", 0.30), ("hedge", 0.12), ("park", 0.12), ("houses", 0.08)),
            (0.0, 0.0),
            (0.0, float(rng.choice([0.0, 0.0, 14.0]))),
            False,
            0.2,
            rng.uniform(0, 2),
            0.7,
        )
    n = int(rng.choice([2, 2, 3]))
    return Plan(
        setting,
        (n, n),
        rng.uniform(3.4, 3.75),
        2.4,
        0.0,
        0.0,
        0.0012,
        0.0,
        0.0,
        hilly,
        (("wood", 0.38), ("field", 0.32), ("wall", 0.20), ("park", 0.10)),
        (0.0, 0.0),
        (0.0, 0.0),
        bool(rng.random() < 0.4),
        0.0,
        rng.uniform(2, 6),
        1.0,
    )


def hardened(plan: Plan, hard: Hard, rng: np.random.Generator) -> Plan:
    """The plan with room for hard things: side streets for crossing traffic, plain walls, glass and puddles. Flicker needs no room."""
    if Hard.MOVING in hard:
        lanes = max(plan.lanes[0], int(rng.choice([1, 2])))
        plan = replace(plan, lanes=(lanes, lanes), crossing_every=plan.crossing_every and 30.0, traffic=max(plan.traffic, 2.0), waiting=0.0)
    # Puddles mirror too, so glass needs less room than walls.
    wanted = [(zone, share) for zone, share, flag in (("bare", 0.75, Hard.TEXTURELESS), ("glass", 0.25, Hard.REFLECTING)) if flag in hard]
    if wanted:
        total = sum(share for _, share in wanted) / 0.6
        zones = (*((name, 0.4 * weight) for name, weight in plan.zones), *((name, share / total) for name, share in wanted))
        plan = replace(
            plan,
            zones=zones,
            street_trees=(0.0, 0.0),
            parked=(0.3 * plan.parked[0], 0.3 * plan.parked[1]),
        )
    if Hard.REFLECTING in hard:
        plan = replace(plan, wet=rng.uniform(0.15, 0.35))
    return plan
