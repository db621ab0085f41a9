"""Lorries and buses around their own foot: x forward, y left, z up, metres."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_perception.world import bodies
from depth_perception.world.buses import bus
from depth_perception.world.cabs import AXLE, cab
from depth_perception.world.chassis import HALF, Metals, axle, frame, metals, mudguards, rear_end, side_guards
from depth_perception.world.mesh import Mesh, box, merge
from depth_perception.world.styles import Styles, move
from depth_perception.world.vehicles import CAR_PAINTS

LONGEST, WIDEST, TALLEST = 17.0, 2 * HALF + 0.24, 4.3
LABEL = "Truck"  # of all of them, buses too

Body = Callable[[np.random.Generator, Styles, Metals, float, float], tuple[Mesh, float]]
Build = Callable[[np.random.Generator, Styles, Metals, int], tuple[Mesh, float]]


def lorry(kind: str, rng: np.random.Generator, styles: Styles) -> tuple[Mesh, np.ndarray]:
    """One of KINDS and its (3,) size: length, width over the mirrors, height in metres."""
    colour = np.clip(CAR_PAINTS[rng.choice([3, 4, 5, 5, 5, 5, 6, 7, 8, 9, 11, 13])] * rng.uniform(0.8, 1.1), 0, 0.85)
    parts, paint = metals(rng, styles, colour), styles.add(colour, rng.uniform(0.3, 0.9))
    mesh, _ = KINDS[kind](rng, styles, parts, paint)
    low, high = mesh.vertices.min(0).astype(np.float64), mesh.vertices.max(0).astype(np.float64)
    size = np.array([high[0] - low[0], 2 * max(-low[1], high[1]), high[2]])
    return mesh.moved(move(-0.5 * float(low[0] + high[0]), 0, 0)), size


def articulated(body: Body, longest: float) -> Build:
    """A tractor unit with a trailer of three axles at the back."""

    def build(rng: np.random.Generator, styles: Styles, parts: Metals, paint: int) -> tuple[Mesh, float]:
        trailer = rng.uniform(longest - 2.0, longest)
        load, top = body(rng, styles, parts, 0.0, trailer)
        height = float(np.clip(rng.uniform(3.0, 3.9), 2.9, max(top, 3.0)))
        front = trailer + rng.uniform(0.5, 0.9) + 2.25
        out = [load, cab(front, height, 2.25, paint, parts, deflector=top > 3.5), frame(front - 6.2, front - 1.0, parts.dark)]
        drive = front - AXLE - 3.7
        out += [axle(drive, parts.rubber, twin=True), mudguards(drive, parts.dark)]
        tank = parts.bright if rng.random() < 0.6 else parts.dark
        for side in (-1, 1):
            y = sorted((side * 0.62, side * (HALF - 0.08)))
            out.append(box((drive + 0.75, y[0], 0.36), (front - AXLE - 0.75, y[1], 0.96), style=tank))
        first = rng.uniform(1.7, 2.6)
        out += [axle(first + k * 1.31, parts.rubber) for k in range(3)]
        out += [mudguards(first, parts.dark), frame(0.1, trailer - 0.2, parts.dark, low=0.85, high=1.13)]
        out += [side_guards(first + 3.5, drive - 1.3, parts.bright if rng.random() < 0.5 else parts.dark), rear_end(rng, parts)]
        out += [box((drive - 1.2, side * 0.9 - 0.07, 0.3), (drive - 1.06, side * 0.9 + 0.07, 1.1), style=parts.dark) for side in (-1, 1)]
        return merge(out), front

    return build


def rigid(body: Body, shortest: float, longest: float) -> Build:
    """A lorry in one piece, with two or three axles."""

    def build(rng: np.random.Generator, styles: Styles, parts: Metals, paint: int) -> tuple[Mesh, float]:
        bed = rng.uniform(shortest, longest)
        load, top = body(rng, styles, parts, 0.0, bed)
        cabin = rng.uniform(1.7, 2.2)
        front = bed + 0.15 + cabin
        height = float(np.clip(rng.uniform(2.5, 3.2), 2.4, max(top, 2.7)))
        out = [load, cab(front, height, cabin, paint, parts, deflector=False), frame(0.1, front - 1.0, parts.dark), rear_end(rng, parts)]
        rear = 0.24 * bed + 0.4
        out += [axle(rear, parts.rubber, twin=True), mudguards(rear, parts.dark)]
        if bed > 6.3:
            out.append(axle(rear + 1.32, parts.rubber, twin=True))
        out.append(side_guards(rear + 2.0, front - AXLE - 0.8, parts.bright if rng.random() < 0.5 else parts.dark))
        return merge(out), front

    return build


KINDS: dict[str, Build] = {
    "tanker": articulated(bodies.tank, 12.5),
    "silo": articulated(bodies.silo, 11.5),
    "curtain": articulated(bodies.curtain, 13.6),
    "box": articulated(bodies.closed, 13.6),
    "low": articulated(bodies.open_bed, 13.0),
    "delivery": rigid(bodies.closed, 4.5, 7.5),
    "flatbed": rigid(bodies.canvas_bed, 3.8, 7.0),
    "tipper": rigid(bodies.open_bed, 4.0, 6.5),
    "bus": bus,
}
