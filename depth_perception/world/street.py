"""The nouns of a street: what stands along a road, what moves on it, and how its ground looks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from depth_perception.world.kerb import Kerb
from depth_perception.world.mesh import Mesh
from depth_perception.world.paint import Paint
from depth_perception.world.road import Road

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
    across: m/s to the left, of a thing that crosses the road: it is `d` left of the centreline at t = 0, and looks where it goes.
    pace: metres that it goes along the road for each one that the car goes, besides its own speed.
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
    across: float = 0.0
    pace: float = 0.0

    def s(self, t: float, s_car: float) -> float:
        """Metres along the road at t seconds."""
        if self.follows:
            return float(s_car + self.s0 + 2.0 * np.sin(0.3 * t + self.track))
        return float(self.s0 + self.facing * self.speed * t + self.pace * s_car)

    def at(self, t: float, s_car: float) -> tuple[float, float]:
        """Road coordinates at t seconds, metres."""
        return self.s(t, s_car), self.d + self.across * t

    def pose(self, road: Road, t: float, s_car: float) -> np.ndarray:
        """(4, 4) T_world_actor at time t seconds; s_car: where the car is then."""
        s, d = self.at(t, s_car)
        yaw = 0.5 * np.pi * np.sign(self.across) if self.across else 0.0 if self.facing > 0 else np.pi
        return road.place(s, d, yaw, on_slope=True)


@dataclass(frozen=True, eq=False)
class GroundLook:
    """Linear albedo and pattern of the ground.

    cover: per side (right, left) sorted zone starts (Z,) in metres and (Z,) index into COVERS of the ground beyond the sidewalk.
    strip: metres of grass between kerb and sidewalk. rough, stains, cracks: strengths 0..1. wet: share of the road under water.
    kerb: the stones at the road's edges.
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
    wet: float = 0.0
    kerb: Kerb = field(default_factory=Kerb)


@dataclass(frozen=True)
class Ageing:
    """Strengths 0..1 of what has happened to a road since it was painted, see ageing.Aged; 0 = nothing."""

    worn: float = 0.0
    faded: float = 0.0
    shadowed: float = 0.0
    patched: float = 0.0


@dataclass(frozen=True, eq=False)
class Street:
    """Everything there is.

    Attributes:
        mesh: all that stands, world frame, metres.
        boxes: boxes of parked cars, world frame.
        actors: what moves.
        styles: (S, 10) looks, see styles.Styles.
        ageing: None = new; otherwise moments say what is left of the paint.
    """

    road: Road
    paint: Paint
    look: GroundLook
    mesh: Mesh
    boxes: tuple[Box, ...]
    actors: tuple[Actor, ...]
    styles: np.ndarray
    ageing: Ageing | None = None
