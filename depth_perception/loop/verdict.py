"""Whether a candidate may drive: better where the car drove last, and no worse anywhere that is remembered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCORES = ("metric", "online_scaled")


@dataclass(frozen=True)
class Stretch:
    """One held-out stretch's scores, as `evaluate depth` gives them, of the current model and of the candidate.

    new: it is of this run's drives; else of an earlier one's.
    """

    name: str
    new: bool
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    better: whether to promote.
    reasons: why not; or, when better, by how much.
    gain: relative fall of the new stretches' mean metric AbsRel.
    """

    better: bool
    reasons: list[str]
    gain: float


def verdict(stretches: list[Stretch], *, min_gain: float, tolerance: float) -> Verdict:
    """Judges by AbsRel.

    min_gain: the new stretches' mean, of the network's own metres, must fall by at least this share.
    tolerance: no stretch, new or old, may become worse by more than this share, by the network's metres or at the vehicle's scale.
    """
    reasons = []
    means = {when: _mean([_abs_rel(getattr(each, when), "metric") for each in stretches if each.new]) for when in ("before", "after")}
    gain = 1 - means["after"] / means["before"] if means["before"] else math.nan
    if not gain >= min_gain:
        reasons.append(f"on this run's drives AbsRel went from {means['before']:.4f} to {means['after']:.4f} ({-gain:+.1%}), "
                       f"wanted {-min_gain:+.1%} or better")
    for each in stretches:
        for score in SCORES:
            before, after = _abs_rel(each.before, score), _abs_rel(each.after, score)
            if math.isnan(before):
                continue
            if not after <= before * (1 + tolerance):
                which = "this run's" if each.new else "an earlier drive's"
                reasons.append(f"on {which} {each.name} {score} AbsRel went from {before:.4f} to {after:.4f}, allowed {tolerance:+.1%}")
    if reasons:
        return Verdict(False, reasons, gain)
    old = sum(not each.new for each in stretches)
    kept = f", and is no worse on {old} earlier stretches" if old else ""
    sentence = f"on this run's drives AbsRel went from {means['before']:.4f} to {means['after']:.4f} ({-gain:+.1%}){kept}"
    return Verdict(True, [sentence], gain)


def _abs_rel(scores: Mapping[str, Any], name: str) -> float:
    """NaN where there is none: nothing can be told, and NaN is never better."""
    value = (scores.get(name) or {}).get("abs_rel")
    return math.nan if value is None else float(value)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
