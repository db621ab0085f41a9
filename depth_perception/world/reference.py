"""The true map of a simulated road: every marking as an exact polygon, and what became of it (worn, broken or removed), from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_perception.world.paint import Line, Marking, Paint, Patch, _arrow, _text
from depth_perception.world.road import Road
from depth_perception.world.texture import hashed

PIECE_M = 10.0  # solid lines are kept in pieces of this length
BEND_M = 1.0  # corners along a piece
FLAKE_M = (0.10, 0.05)  # along and across: paint comes off in flakes of this size
CROSSING_MARGIN_M = 1.5  # as in paint.coverage
NAMES = {
    Marking.SOLID: "line", Marking.DASHED: "dash", Marking.STOP: "stop", Marking.ZEBRA: "zebra", Marking.ARROW: "arrow",
    Marking.TEXT: "text",
}
STATES = ("intact", "worn", "broken", "missing")


@dataclass(frozen=True, eq=False)
class Piece:
    """One marking of the true map.

    Attributes:
        id: NAME-SOURCE-NUMBER; kind: paint.Marking.
        source: index of its line, or number of lines + index of its patch.
        s, d: (from, to) that it spans in road coordinates, metres.
        rings: (N, 2) float64 world x, y, metres; outer rings run to the left, holes to the right.
    """

    id: str
    kind: Marking
    source: int
    s: tuple[float, float]
    d: tuple[float, float]
    rings: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Fate:
    """What became of a piece. gone: from, to, shares of its longer side that are removed; worn: share of the rest that has flaked off."""

    state: str = "intact"
    gone: tuple[float, float] = (0.0, 0.0)
    worn: float = 0.0

    @property
    def left(self) -> float:
        """Share of the paint that is left."""
        return (1 - self.gone[1] + self.gone[0]) * (1 - self.worn)


def true_map(road: Road, paint: Paint) -> list[Piece]:
    """All markings of a road, those of lines first, from its beginning on."""
    pieces = [piece for source, line in enumerate(paint.lines) for piece in _line(road, line, source)]
    return pieces + [_patch(road, patch, source) for source, patch in enumerate(paint.patches, len(paint.lines))]


def _line(road: Road, line: Line, source: int) -> list[Piece]:
    low, high = float(road.s[0]), float(road.s[-1])
    period, painted = (line.dash + line.gap, line.dash) if line.gap else (PIECE_M, PIECE_M)
    spans = [(k * period, k * period + painted) for k in range(int(np.ceil(low / period)), int(high / period))]
    if not line.through_crossings:
        for middle, half in road.crossings:
            a, b = middle - half - CROSSING_MARGIN_M, middle + half + CROSSING_MARGIN_M
            spans = [cut for start, end in spans for cut in ((start, min(end, a)), (max(start, b), end)) if cut[1] - cut[0] > 1e-6]
    d = line.d - 0.5 * line.width, line.d + 0.5 * line.width
    return [
        Piece(f"{NAMES[line.kind]}-{source}-{k}", line.kind, source, span, d, (_strip(road, *span, *d),))
        for k, span in enumerate(sorted(set(spans)))
    ]


def _strip(road: Road, s0: float, s1: float, d0: float, d1: float) -> np.ndarray:
    """(N, 2) world ring of a rectangle in road coordinates that bends with the road."""
    s = np.linspace(s0, s1, max(2, int(np.ceil((s1 - s0) / BEND_M)) + 1))
    return _world(road, np.concatenate([s, s[::-1]]), np.concatenate([np.full(len(s), d0), np.full(len(s), d1)]))


def _world(road: Road, s: np.ndarray, d: np.ndarray) -> np.ndarray:
    x, y, _ = road.xy(s, d)
    return np.column_stack([x, y])


def _patch(road: Road, patch: Patch, source: int) -> Piece:
    s = patch.s - 0.5 * patch.length, patch.s + 0.5 * patch.length
    d = patch.d - 0.5 * patch.width, patch.d + 0.5 * patch.width
    if patch.kind == Marking.ZEBRA:
        starts = np.arange(0.0, patch.width, 2 * patch.variant)
        bars = [(start, min(start + patch.variant, patch.width)) for start in starts]
        # Bars begin at the right end as seen in the patch's own direction.
        sides = [(d[0] + a, d[0] + b) if patch.direction > 0 else (d[1] - b, d[1] - a) for a, b in bars]
        rings = tuple(_strip(road, *s, *side) for side in sides)
    elif patch.kind in (Marking.ARROW, Marking.TEXT):
        bitmap = _arrow(int(patch.variant)) if patch.kind == Marking.ARROW else _text(patch.text)
        rings = tuple(
            _world(road, patch.s + patch.direction * a * patch.length, patch.d + patch.direction * b * patch.width)
            for a, b in _outlines(bitmap)
        )
    else:
        rings = (_strip(road, *s, *d),)
    return Piece(f"{NAMES[patch.kind]}-{source}-0", patch.kind, source, s, d, rings)


def _outlines(bitmap: np.ndarray, fine: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rings of a bitmap as (ahead, left) shares of its length and width, from its middle."""
    large = np.pad(np.kron((bitmap > 0.5).astype(np.uint8), np.ones((fine, fine), np.uint8)), 1)
    # OpenCV's chains run through pixel centres of the figure, and through those around its holes: half a fine pixel off.
    chains, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rows, columns = bitmap.shape
    rings = []
    for chain in chains:
        xy = cv2.approxPolyDP(chain, 0.8 * fine, True)[:, 0].astype(np.float64)
        if len(xy) >= 3:
            rings.append((0.5 - (xy[:, 1] - 0.5) / (rows * fine), 0.5 - (xy[:, 0] - 0.5) / (columns * fine)))
    return rings


def fates(rng: np.random.Generator, pieces: Sequence[Piece], *, share: float = 0.12) -> dict[str, Fate]:
    """id -> what became of each piece: `share` of them each worn, broken and missing, the rest intact."""
    out = {}
    for piece in pieces:
        u, worn, gone, start = rng.random(4)
        if u < share:
            out[piece.id] = Fate("missing", (0.0, 1.0))
        elif u < 2 * share:
            length = 0.35 + 0.25 * gone
            out[piece.id] = Fate("broken", (start * (1 - length), start * (1 - length) + length), 0.05 * worn)
        elif u < 3 * share:
            out[piece.id] = Fate("worn", worn=0.35 + 0.25 * worn)
        else:
            out[piece.id] = Fate("intact", worn=0.08 * worn)
    return out


class Damage:
    """What is left of every piece; `paint.coverage` asks."""

    def __init__(self, pieces: Sequence[Piece], fates: dict[str, Fate]) -> None:
        self._of: dict[int, np.ndarray] = {}
        for source, group in itertools.groupby(sorted(pieces, key=lambda piece: (piece.source, piece.s[0])), lambda piece: piece.source):
            rows = []
            for piece in group:
                fate, (s0, s1), (d0, d1) = fates[piece.id], piece.s, piece.d
                along = s1 - s0 >= d1 - d0
                low, high = (s0, s1) if along else (d0, d1)
                rows.append((s0, float(along), low + fate.gone[0] * (high - low), low + fate.gone[1] * (high - low), fate.worn))
            self._of[source] = np.array(rows)

    def left(self, source: int, s: np.ndarray, d: np.ndarray, blur: np.ndarray) -> np.ndarray:
        """(N,) share 0..1 of the paint left at road points s, d; blur: metres that a pixel covers there along the road."""
        rows = self._of[source]
        # The far side of a pixel may lie beyond the piece: half a metre of grace.
        start, along, low, high, worn = rows[np.clip(np.searchsorted(rows[:, 0], s + 0.25, side="right") - 1, 0, len(rows) - 1)].T
        del start
        at = np.where(along > 0, s, d)
        flake = hashed(np.floor(s / FLAKE_M[0]), np.floor(d / FLAKE_M[1]) + 5000, np.full(len(s), source)) >= worn
        mean = np.clip((blur - 0.5 * FLAKE_M[0]) / (2 * FLAKE_M[0]), 0, 1)
        return ((at < low) | (at >= high)) * (flake * (1 - mean) + (1 - worn) * mean)


def damaged(paint: Paint, pieces: Sequence[Piece], fates: dict[str, Fate]) -> Paint:
    """The paint after its pieces met their fates."""
    return replace(paint, damage=Damage(pieces, fates))
