"""Boxes against true ones: average precision by the distance of centres, as nuScenes has it, in all and by range.

A found box is right when it is the surest one nearer than a threshold (0.5, 1, 2, 4 m from above) to a true one of its class that none
surer took. Average precision is the mean of precision beyond 10 %, over recall from 10 % on; the mean over thresholds is a class's, the
mean over classes that there are is `map`. True boxes that need not be found (out of view, or without returns) take what is found there.
What is found where nobody labelled anything is neither right nor wrong, unless it is a true one that reaches there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_perception.geometry.boxes import CLASSES, Box3D, overlap

DISTANCES_M = (0.5, 1.0, 2.0, 4.0)
RANGES_M = {"0-20": (0.0, 20.0), "20-40": (20.0, 40.0), "40+": (40.0, np.inf)}
CENTRE_WITHIN_M = 2.0  # the errors of what is found are told of what is found this near, as nuScenes does
LEAST_RECALL = LEAST_PRECISION = 0.1
OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class _Pairs:
    """One class in one frame, N found and M true: scores (N,), distances from above (N, M), 1 - IoU (N, M), turned by (N, M) radians,

    (M,) whether it need be found, (N,) and (M,) distance from the body, metres, (N,) whether labels tell what is there.
    """

    scores: np.ndarray
    apart_m: np.ndarray
    missing: np.ndarray
    turned: np.ndarray
    needed: np.ndarray
    found_range_m: np.ndarray
    true_range_m: np.ndarray
    known: np.ndarray


class ObjectsScore:
    """`add` frames, then `result`."""

    def __init__(self, classes: Sequence[str] = CLASSES) -> None:
        self._pairs: dict[str, list[_Pairs]] = {label: [] for label in classes}
        self._frames = 0

    def add(self, found: Sequence[Box3D], true: Sequence[Box3D], *, needless: Sequence[Box3D] = (),
            known: Callable[[Box3D], bool] = lambda box: True) -> None:
        """One frame: what was found, what is true, and what is true, but need not be found.

        known: whether the labels tell what there is where a box was found.
        """
        self._frames += 1
        for label, pairs in self._pairs.items():
            mine = [box for box in found if box.label == label]
            theirs = [box for box in (*true, *needless) if box.label == label]
            needed = sum(box.label == label for box in true)
            here, there = _centres(mine), _centres(theirs)
            apart = np.linalg.norm(here[:, None] - there[None], axis=2)
            near = apart < 0.5 * (_lengths(mine)[:, None] + _lengths(theirs)[None])
            missing = np.ones_like(apart)
            for i, j in zip(*np.nonzero(near), strict=True):
                missing[i, j] = 1 - overlap(mine[i], theirs[j])
            turned = np.array([[abs(np.remainder(a.yaw - b.yaw + np.pi, 2 * np.pi) - np.pi) for b in theirs] for a in mine])
            pairs.append(_Pairs(np.array([box.score for box in mine]), apart, missing, turned.reshape(apart.shape),
                                np.arange(len(theirs)) < needed, np.linalg.norm(here, axis=1), np.linalg.norm(there, axis=1),
                                np.array([known(box) for box in mine], bool)))

    def result(self) -> dict[str, Any]:
        """map, per_class, per_range, map_iou_0.5, centre_m (NaN where there is nothing), frames, truths."""
        per_class = {label: self._of_class(label) for label in self._pairs}
        per_range = {}
        for name, within in RANGES_M.items():
            of = {label: self._of_class(label, within) for label in self._pairs}
            per_range[name] = _mean(of) | {"per_class": {label: {"ap": one["ap"], "truths": one["truths"]} for label, one in of.items()}}
        return _mean(per_class) | {"per_class": per_class, "per_range": per_range, "frames": self._frames}

    def _of_class(self, label: str, within: tuple[float, float] = (0.0, np.inf)) -> dict[str, Any]:
        pairs = self._pairs[label]
        matches = {f"{most:g}": _matched(pairs, lambda p: p.apart_m, most, within) for most in DISTANCES_M}
        at = {name: _average_precision(*found) for name, found in matches.items()}
        near = _matched(pairs, lambda p: p.apart_m, CENTRE_WITHIN_M, within)[3]
        return {
            "ap": _rounded(np.mean(list(at.values()))),
            "ap_at_m": {name: _rounded(value) for name, value in at.items()},
            "ap_iou_0.5": _rounded(_average_precision(*_matched(pairs, lambda p: p.missing, 1 - OVERLAP, within))),
            "centre_m": _rounded(np.mean([p.apart_m[i, j] for p, i, j in near]) if near else np.nan),
            "yaw_deg": _rounded(np.degrees(np.mean([p.turned[i, j] for p, i, j in near])) if near else np.nan),
            "found": len(near),
            "truths": _truths(pairs, within),
        }


def average_precision(right: np.ndarray, truths: int) -> float:
    """nuScenes' average precision. right: (N,) bool of what was found, the surest first; truths: how many there are to find; NaN for 0."""
    if truths == 0:
        return float("nan")
    if not len(right):
        return 0.0
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(right) + 1), hits / truths
    steps = np.interp(np.linspace(0, 1, 101), recall, precision, right=0)[round(100 * LEAST_RECALL) + 1:]
    return float(np.maximum(steps - LEAST_PRECISION, 0).mean() / (1 - LEAST_PRECISION))


def _average_precision(scores: np.ndarray, right: np.ndarray, truths: int, _: Any) -> float:
    return average_precision(right[np.argsort(-scores, kind="stable")], truths)


def _matched(pairs: list[_Pairs], apart: Callable[[_Pairs], np.ndarray], most: float, within: tuple[float, float]
             ) -> tuple[np.ndarray, np.ndarray, int, list[tuple[_Pairs, int, int]]]:
    """Scores and whether right of all that counts, how many there are to find, and the pairs that belong together."""
    scores, right, near = [], [], []
    for p in pairs:
        distances = apart(p)
        wanted = p.needed & (p.true_range_m >= within[0]) & (p.true_range_m < within[1])
        free = wanted.copy()
        for i in np.argsort(-p.scores, kind="stable"):
            reach = np.where(free, distances[i], np.inf)
            j = int(reach.argmin()) if len(reach) else -1
            hit = j >= 0 and bool(reach[j] < most)
            if hit:
                free[j] = False
                near.append((p, int(i), j))
            elif not p.known[i] or (distances[i, ~wanted] < most).any() or not within[0] <= p.found_range_m[i] < within[1]:
                continue  # nobody knows, it is something that need not be found, or another range's mistake
            scores.append(p.scores[i])
            right.append(hit)
    return np.array(scores), np.array(right, bool), _truths(pairs, within), near


def _truths(pairs: list[_Pairs], within: tuple[float, float]) -> int:
    return int(sum((p.needed & (p.true_range_m >= within[0]) & (p.true_range_m < within[1])).sum() for p in pairs))


def _mean(per_class: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over the classes that there are; the centre's error over all that was found."""
    there = [one for one in per_class.values() if one["truths"]]
    found = [one for one in there if one["found"]]
    count = sum(one["found"] for one in found)
    return {
        "map": _rounded(np.mean([one["ap"] for one in there]) if there else np.nan),
        "map_iou_0.5": _rounded(np.mean([one["ap_iou_0.5"] for one in there]) if there else np.nan),
        "centre_m": _rounded(sum(one["centre_m"] * one["found"] for one in found) / count if count else np.nan),
        "truths": sum(one["truths"] for one in there),
    }


def _centres(boxes: Sequence[Box3D]) -> np.ndarray:
    return np.array([box.centre[:2] for box in boxes]).reshape(-1, 2)


def _lengths(boxes: Sequence[Box3D]) -> np.ndarray:
    return np.array([np.hypot(*box.size[:2]) for box in boxes])


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
