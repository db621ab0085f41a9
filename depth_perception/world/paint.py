"""What is painted on the road: lines, stop lines, zebra crossings, arrows and text, as exact shapes in road coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Protocol

import cv2
import numpy as np

from depth_perception.world.road import Road


class Marking(IntEnum):
    """Class ids of the marking masks."""

    BACKGROUND = 0
    SOLID = 1
    DASHED = 2
    STOP = 3
    ZEBRA = 4
    ARROW = 5
    TEXT = 6


@dataclass(frozen=True)
class Line:
    """A line along the road at d metres, `width` metres wide; dash and gap in metres (gap 0 = solid). `until` < s ends it at crossings."""

    d: float
    width: float
    dash: float
    gap: float
    through_crossings: bool = False

    @property
    def kind(self) -> Marking:
        """Solid or dashed."""
        return Marking.SOLID if self.gap == 0 else Marking.DASHED


@dataclass(frozen=True)
class Patch:
    """A marking in the rectangle around (s, d): `length` along the road, `width` across, read when driving in `direction` (+1, -1).

    variant: zebra -> width of a bar; arrow -> 0 straight, 1 left, 2 right, 3 straight and left, 4 straight and right; text -> unused.
    """

    kind: Marking
    s: float
    d: float
    length: float
    width: float
    direction: int = 1
    variant: float = 0.0
    text: str = ""


class Damage(Protocol):
    """What is left of single markings; see damage.Damage."""

    def left(self, source: int, s: np.ndarray, d: np.ndarray, blur: np.ndarray) -> np.ndarray:
        """(N,) share 0..1 of the paint left at road points; source: index among the lines, then the patches; blur: metres per pixel."""
        ...


@dataclass(frozen=True, eq=False)
class Paint:
    """All markings of a road. colour: (3,) linear albedo of the lines; wear: 0 (new) .. 1 (nearly gone); damage: to single markings."""

    lines: tuple[Line, ...]
    patches: tuple[Patch, ...]
    colour: np.ndarray
    wear: float
    damage: Damage | None = None


def coverage(
    paint: Paint, road: Road, s: np.ndarray, d: np.ndarray, *, blur_s: np.ndarray, blur_d: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Markings at road points.

    s, d: (N,) metres; blur_s, blur_d: (N,) metres that one pixel covers along and across the road.
    Returns (N,) uint8 class where half the pixel or more is covered, and (N,) float32 covered share.
    """
    kind = np.zeros(len(s), np.uint8)
    share = np.zeros(len(s), np.float32)
    for source, line in enumerate(paint.lines):
        at = np.flatnonzero(np.abs(d - line.d) < 0.5 * line.width + blur_d)
        if not len(at):
            continue
        cover = _edge(0.5 * line.width - np.abs(d[at] - line.d), blur_d[at])
        if line.gap:
            phase = np.mod(s[at], line.dash + line.gap)
            cover = cover * _edge(0.5 * line.dash - np.abs(phase - 0.5 * line.dash), blur_s[at])
        if not line.through_crossings:
            cover = cover * ~road.in_crossing(s[at], 1.5)
        if paint.damage is not None:
            cover = cover * paint.damage.left(source, s[at], d[at], blur_s[at])
        _put(kind, share, at, cover, line.kind)
    for source, patch in enumerate(paint.patches, len(paint.lines)):
        at = np.flatnonzero((np.abs(s - patch.s) < 0.5 * patch.length + blur_s) & (np.abs(d - patch.d) < 0.5 * patch.width + blur_d))
        if len(at):
            cover = _patch(patch, (s[at] - patch.s) * patch.direction, (d[at] - patch.d) * patch.direction, blur_s[at], blur_d[at])
            if paint.damage is not None:
                cover = cover * paint.damage.left(source, s[at], d[at], blur_s[at])
            _put(kind, share, at, cover, patch.kind)
    return kind, share


def _put(kind: np.ndarray, share: np.ndarray, at: np.ndarray, cover: np.ndarray, value: Marking) -> None:
    new = cover > share[at]
    kind[at[new & (cover >= 0.5)]] = value
    share[at[new]] = cover[new]


def _edge(inside: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Share of a pixel of width `blur` that lies inside an edge `inside` metres away (positive = inside)."""
    return np.clip(inside / np.maximum(blur, 1e-3) + 0.5, 0, 1).astype(np.float32)


def _patch(patch: Patch, a: np.ndarray, b: np.ndarray, blur_a: np.ndarray, blur_b: np.ndarray) -> np.ndarray:
    """Covered share at a metres ahead of and b metres left of the patch's middle."""
    box = _edge(0.5 * patch.length - np.abs(a), blur_a) * _edge(0.5 * patch.width - np.abs(b), blur_b)
    if patch.kind == Marking.ZEBRA:
        phase = np.mod(b + 0.5 * patch.width, 2 * patch.variant)
        return box * _edge(0.5 * patch.variant - np.abs(phase - 0.5 * patch.variant), blur_b)
    if patch.kind in (Marking.ARROW, Marking.TEXT):
        bitmap = _arrow(int(patch.variant)) if patch.kind == Marking.ARROW else _text(patch.text)
        rows, columns = bitmap.shape
        v = np.clip((0.5 - a / patch.length) * rows, 0, rows - 1).astype(np.intp)
        u = np.clip((0.5 - b / patch.width) * columns, 0, columns - 1).astype(np.intp)
        return box * bitmap[v, u]
    return box


@cache
def _arrow(variant: int) -> np.ndarray:
    """(200, 80) float32 bitmap, the driving direction upwards."""
    image = np.zeros((200, 80), np.uint8)
    cv2.rectangle(image, (36, 70 if variant in (0, 3, 4) else 95), (43, 199), 255, -1)
    if variant in (0, 3, 4):
        cv2.fillPoly(image, [np.int32([(40, 0), (22, 75), (57, 75)])], 255)
    for bit, side in ((1, -1), (3, -1), (2, 1), (4, 1)):
        if variant == bit:
            cv2.fillPoly(image, [np.int32([(40 - side * 3, 130), (40 - side * 3, 105), (40 + side * 20, 80), (40 + side * 20, 100)])], 255)
            cv2.fillPoly(image, [np.int32([(40 + side * 18, 55), (40 + side * 18, 125), (40 + side * 38, 90)])], 255)
    return image.astype(np.float32) / 255


@cache
def _text(text: str) -> np.ndarray:
    """(100, 30 n) float32 bitmap of a word."""
    image = np.zeros((60, 44 * len(text) + 8), np.uint8)
    cv2.putText(image, text, (4, 52), cv2.FONT_HERSHEY_SIMPLEX, 1.9, 255, 8)
    columns = np.flatnonzero(image.any(0))
    return (image[:, columns[0] : columns[-1] + 1] > 127).astype(np.float32)


def random_paint(rng: np.random.Generator, road: Road, *, amount: float) -> Paint:
    """Markings for a road; amount 0 = none .. 1 = everything that such a road may have."""
    w, (right, left) = road.lane_width, road.lanes
    line = rng.uniform(0.10, 0.18)
    dash, gap = ((3.0, 6.0), (4.0, 8.0), (3.0, 3.0), (6.0, 12.0), (2.0, 4.0), (1.5, 1.5))[rng.integers(6)]
    lines: list[Line] = []
    patches: list[Patch] = []
    if rng.random() < amount:
        if max(right, left) > 1 and rng.random() < 0.7:
            lines += [Line(0.12, line, 0, 0), Line(-0.12, line, 0, 0)]
        elif rng.random() < 0.2:
            lines += [Line(0.11, line, 0, 0), Line(-0.11, line, dash, gap)]
        else:
            lines.append(Line(0.0, line, dash, gap if rng.random() < 0.75 else 0))
        for side, n in ((-1, right), (1, left)):
            lines += [Line(side * k * w, line, dash, gap) for k in range(1, n)]
        if rng.random() < 0.6 * amount or (road.kerb == 0 and rng.random() < 0.8):
            style = (dash * 0.5, gap * 0.5) if rng.random() < 0.25 else (0.0, 0.0)
            edge = max(right, left) * w - (0.15 if road.parking < 0.5 else 0.0)
            lines += [Line(side * edge, line, *style) for side in (-1, 1)]
    if rng.random() < amount:
        for middle, half in road.crossings:
            stop, zebra = rng.random() < 0.6, rng.random() < 0.5
            bar = rng.uniform(0.4, 0.6)
            at = middle - half - 2.0
            if zebra:
                patches.append(Patch(Marking.ZEBRA, at - 2.0, 0.0, rng.uniform(2.5, 4.0), 2 * road.half - 0.3, variant=bar))
                at -= 5.0
            if stop:
                patches.append(Patch(Marking.STOP, at, -0.5 * right * w, rng.uniform(0.3, 0.6), right * w - 0.2))
            if stop and rng.random() < 0.5:
                patches.append(Patch(Marking.STOP, middle + half + 2.5, 0.5 * left * w, 0.4, left * w - 0.2, direction=-1))
            for k in range(right):
                if rng.random() < 0.5:
                    patches.append(
                        Patch(
                            Marking.ARROW,
                            at - rng.uniform(5, 9),
                            -(k + 0.5) * w,
                            rng.uniform(3, 5.5),
                            rng.uniform(1.2, 1.9),
                            variant=float(rng.integers(5)),
                        )
                    )
            if left and rng.random() < 0.4:
                patches.append(
                    Patch(
                        Marking.ARROW, middle + half + rng.uniform(7, 12), 0.5 * w, 4.0, 1.5, direction=-1, variant=float(rng.integers(5))
                    )
                )
    s = rng.uniform(0, 60)
    while s < road.s[-1] and rng.random() < amount:
        kind, side = rng.random(), rng.choice([-1, 1])
        if not road.in_crossing(np.float64(s), 14.0):
            d = side * (rng.integers(max(right, left)) + 0.5) * w
            if kind < 0.35:
                text = ["BUS", "STOP", "30", "50", "SLOW", "TAXI", "20", "40", "BIKE", "X", "KEEP", "80"][rng.integers(12)]
                patches.append(Patch(Marking.TEXT, s, d, rng.uniform(2.0, 4.0), 0.45 * len(text) + 0.5, direction=-side, text=text))
            elif kind < 0.55:
                patches.append(Patch(Marking.ZEBRA, s, 0.0, rng.uniform(2.5, 4.5), 2 * road.half - 0.3, variant=rng.uniform(0.4, 0.6)))
            elif kind < 0.8:
                patches.append(
                    Patch(Marking.ARROW, s, d, rng.uniform(3, 5.5), rng.uniform(1.2, 1.9), direction=-side, variant=float(rng.integers(5)))
                )
        s += rng.uniform(12, 70)
    yellow = rng.random() < 0.15
    colour = np.array([0.75, 0.48, 0.08] if yellow else [0.72, 0.72, 0.69]) * rng.uniform(0.75, 1.1)
    return Paint(tuple(lines), tuple(patches), colour.astype(np.float32), float(rng.beta(1.2, 3.0)))
