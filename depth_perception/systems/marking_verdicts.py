"""What is the matter with a marking, from how much of it is still there and where (S4-i, step 403).

The ratio is painted over visible area. The criteria, all measurable:
- missing: the ratio is below `missing_below`;
- broken: it is below `intact_above`, and what is gone lies together: cut into pieces of `piece_m`, the pieces are either there or gone.
  Measured by how much of the variance of "painted or not" lies between pieces, var(piece ratios) / (ratio (1 - ratio)): 1 when every piece
  is whole or gone, near 0 when all have lost alike. Broken from `broken_from`;
- worn: it is below `intact_above`, and all pieces have lost alike; or the paint is all there, but seen with a confidence below
  `faded_below` of what the map's markings usually have: faded;
- intact: else. Unseen: less than `least_seen` of it was visible.

A model that compares what is seen with the reference can stand in for these criteria: `Compare` is all that is asked of it, and
`compare_named` finds one by the name of its module and function.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from depth_perception.frame import BadInput, check_ranges, ranged

STATES = ("intact", "worn", "broken", "missing", "unseen")

# observed (rows, columns) float32 0..1 share of the views in which the cell was painted, NaN = never visible; reference (rows, columns)
# bool, the cells that should be painted; both turned so that columns run along the marking; cell_m: their edge. A state and a confidence.
Compare = Callable[[np.ndarray, np.ndarray, float], tuple[str, float]]


@dataclass(frozen=True)
class Criteria:
    """Where the verdicts change; see the module.

    Attributes:
        missing_below: a marking with a smaller share of its paint is missing.
        intact_above: one with a greater share is intact.
        broken_from: how much of the variance lies between pieces of a marking that is broken, not worn.
        faded_below: paint seen with less than this share of the usual confidence is faded.
        least_seen: with a smaller share of a marking in view there is no verdict.
        piece_m: length of the pieces that are there or gone, metres.
        sharp: by how much of the ratio's range from a threshold a verdict is sure.
    """

    missing_below: float = ranged(0.2, 0, 1)
    intact_above: float = ranged(0.77, 0, 1)
    broken_from: float = ranged(0.45, 0, 1)
    faded_below: float = ranged(0.75, 0, 1)
    least_seen: float = ranged(0.5, 0, 1)
    piece_m: float = ranged(0.4, 0.05, 10)
    sharp: float = ranged(0.1, 0.001, 1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    id: of the reference. state: one of STATES.
    ratio: painted over visible area, NaN when unseen. confidence: in the state, 0..1.
    seen: share of its area that was visible at all. passes: how many passes saw it. unevenness: 0 all pieces alike .. 1 there or gone.
    """

    id: str
    state: str
    ratio: float
    confidence: float
    seen: float
    passes: int
    unevenness: float


def ratio_of(observed: np.ndarray, reference: np.ndarray) -> float:
    """Painted over visible area; NaN when nothing was visible."""
    values = observed[reference & np.isfinite(observed)]
    return float(values.mean()) if len(values) else float("nan")


def unevenness(observed: np.ndarray, reference: np.ndarray, cell_m: float, piece_m: float) -> float:
    """Share of the variance that lies between pieces of `piece_m`, 0..1; see the module."""
    rows, columns = np.nonzero(reference & np.isfinite(observed))
    if not len(rows):
        return 0.0
    values = observed[rows, columns].astype(np.float64)
    cells = max(round(piece_m / cell_m), 1)
    # Whole pieces only: a sliver at the end is no witness. A short marking has four, too.
    across = max(round(reference.shape[0] / cells), 1)
    along = max(round(reference.shape[1] / cells), min(4, reference.shape[1] // 3), 1)
    piece = (rows * across // reference.shape[0]) * along + columns * along // reference.shape[1]
    count = np.bincount(piece, minlength=across * along)
    mean = np.bincount(piece, values, minlength=across * along) / np.maximum(count, 1)
    whole = values.mean()
    possible = whole * (1 - whole)
    return float((count * (mean - whole) ** 2).sum() / len(values) / possible) if possible > 1e-6 else 0.0


def by_area(criteria: Criteria) -> Compare:
    """The default comparison: by area ratio and by where the area is gone."""

    def compare(observed: np.ndarray, reference: np.ndarray, cell_m: float) -> tuple[str, float]:
        ratio = ratio_of(observed, reference)
        if ratio < criteria.missing_below:
            return "missing", _sure(criteria.missing_below - ratio, criteria.sharp)
        if ratio >= criteria.intact_above:
            return "intact", _sure(ratio - criteria.intact_above, criteria.sharp)
        apart = unevenness(observed, reference, cell_m, criteria.piece_m) - criteria.broken_from
        sure = min(_sure(ratio - criteria.missing_below, criteria.sharp), _sure(criteria.intact_above - ratio, criteria.sharp))
        return "broken" if apart >= 0 else "worn", min(sure, _sure(abs(apart), criteria.sharp))

    return compare


def compare_named(name: str) -> Compare:
    """The comparison of "MODULE:FUNCTION", anyone's that Python can import; BadInput where there is none."""
    module, _, function = name.partition(":")
    wanted = f"compare {name!r}: wanted MODULE:FUNCTION that takes observed, reference, cell_m"
    if not module or not function:
        raise BadInput(wanted)
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever a stranger's module does while it is imported
        raise BadInput(f"{wanted} ({type(error).__name__}: {error})") from None
    if not callable(found):
        raise BadInput(f"{wanted}, got {type(found).__name__}")

    def compare(observed: np.ndarray, reference: np.ndarray, cell_m: float) -> tuple[str, float]:
        said = None
        try:
            said = found(observed, reference, cell_m)
            state, confidence = said
            if state in STATES and 0 <= confidence <= 1:
                return str(state), float(confidence)
        except Exception as error:  # a stranger's defect must not end a drive
            raise BadInput(f"compare {name!r}: {type(error).__name__}: {error} (it said {said!r})") from None
        raise BadInput(f"compare {name!r}: wanted one of {', '.join(STATES)} and a confidence 0..1, got {state!r}, {confidence!r}")

    return compare


def _sure(distance: float, sharp: float) -> float:
    """0.5 on a threshold, towards 1 beyond it."""
    return float(1 - 0.5 * np.exp(-distance / sharp))


def report_properties(verdicts: Sequence[Verdict]) -> dict[str, dict[str, object]]:
    """id -> what a GeoJSON report says of each verdict (see reference_map.to_json)."""
    return {
        one.id: {
            "verdict": one.state,
            "ratio": None if np.isnan(one.ratio) else round(one.ratio, 3),
            "confidence": round(one.confidence, 3),
            "seen": round(one.seen, 3),
            "passes": one.passes,
        }
        for one in verdicts
    }


