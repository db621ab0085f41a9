"""Whether a candidate may drive: better where the car drove last, and no worse anywhere that is remembered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """What a part is judged by.

    Attributes:
        name: of the measure, as a sentence has it.
        scores: what `evaluate` says -> name -> score, NaN where there is none; none of them may become much worse.
        gains: the score whose mean over the new stretches must become better.
        less_is_better: an error, which is judged by shares of itself; else a share of what is right, judged by points, hundredths of 1.
    """

    name: str
    scores: Callable[[Mapping[str, Any]], dict[str, float]]
    gains: str
    less_is_better: bool = False

    def gain(self, before: float, after: float) -> float:
        """How much better; NaN where that cannot be told."""
        if self.less_is_better:
            return 1 - after / before if before else math.nan
        return after - before

    def is_much_worse(self, before: float, after: float, tolerance: float) -> bool:
        """Also when there is no score any more; never where there was none."""
        if math.isnan(before):
            return False
        return not (after <= before * (1 + tolerance) if self.less_is_better else after >= before - tolerance)

    def change(self, gain: float) -> str:
        """A gain as a reader expects it: an error falls, a share of what is right rises."""
        return f"{-gain:+.1%}" if self.less_is_better else f"{100 * gain:+.1f} points"


def _abs_rel(said: Mapping[str, Any]) -> dict[str, float]:
    return {name: number((said.get(name) or {}).get("abs_rel")) for name in ("metric", "online_scaled")}


# The network's own metres, and depth at the vehicle's scale: LiDAR hides a wrong scale on the road and not in the dark.
ABS_REL = Measure("AbsRel", _abs_rel, gains="metric", less_is_better=True)


@dataclass(frozen=True)
class Stretch:
    """One held-out stretch's scores, as `evaluate` gives them, of the current model and of the candidate.

    new: it judges this run; else it is an earlier one's. judge: whose it is, where it is not of this run's drives.
    """

    name: str
    new: bool
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    judge: str = ""


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    better: whether to promote.
    reasons: why not; or, when better, by how much.
    gain: of the new stretches' mean: the relative fall of an error, or by how much a share of what is right rises.
    """

    better: bool
    reasons: list[str]
    gain: float


def verdict(stretches: list[Stretch], *, min_gain: float, tolerance: float, measure: Measure = ABS_REL) -> Verdict:
    """Judges by a measure's scores.

    min_gain: the new stretches' mean must become better by at least this much. A stretch on which nobody has a score does not count.
    tolerance: no stretch, new or old, may become worse by more than this much, in any score.
    """
    reasons = []
    pairs = [(measure.scores(each.before), measure.scores(each.after)) for each in stretches]
    told = [both for each, both in zip(stretches, pairs, strict=True)
            if each.new and not all(math.isnan(one.get(measure.gains, math.nan)) for one in both)]
    before, after = (_mean([both[when].get(measure.gains, math.nan) for both in told]) for when in (0, 1))
    gain = measure.gain(before, after)
    change = f"on {_where(stretches)} {measure.name} went from {before:.4f} to {after:.4f} ({measure.change(gain)})"
    if not gain >= min_gain:
        reasons.append(f"{change}, wanted {measure.change(min_gain)} or better")
    for each, both in zip(stretches, pairs, strict=True):
        for name, was in both[0].items():
            now = both[1].get(name, math.nan)
            if measure.is_much_worse(was, now, tolerance):
                whose = each.judge or ("this run's" if each.new else "an earlier drive's")
                reasons.append(f"on {whose} {each.name} {name} {measure.name} went from {was:.4f} to {now:.4f}, "
                               f"allowed {measure.change(-tolerance)}")
    if reasons:
        return Verdict(False, reasons, gain)
    old = sum(not each.new for each in stretches)
    return Verdict(True, [change + (f", and is no worse on {old} earlier stretches" if old else "")], gain)


def _where(stretches: list[Stretch]) -> str:
    whose = dict.fromkeys(each.judge or "this run's drives" for each in stretches if each.new)
    return " and ".join(whose) or "this run's drives"


def number(value: Any) -> float:
    """NaN where there is none: nothing can be told, and NaN is never better."""
    return math.nan if value is None else float(value)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
