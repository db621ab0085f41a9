"""What the loop can make better: of each part how it is learned, what its drives must hold, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_perception.bag.labels import DETECTIONS, MARKERS, TRUTH
from depth_perception.loop.verdict import ABS_REL, Measure, number

IMAGE = "sensor_msgs/msg/Image"


@dataclass(frozen=True)
class Truth:
    """What somebody has said of a drive, and a held-out stretch is scored by.

    Attributes:
        topic: where it is, unless it is told; a stretch has it there in any case. kinds: types of its messages.
        says_something: whether a message does; a stretch of which nothing is said judges nobody.
        name: for sentences. option: of `train` and `evaluate`, that names another topic.
    """

    topic: str
    kinds: tuple[str, ...]
    says_something: Callable[[Any], bool]
    name: str
    option: str


@dataclass(frozen=True)
class Part:
    """Attributes:
    kind: of its models. shipped: the one that the first is a copy of. evaluate: what `evaluate` calls it.
    fitness: the purpose of `inspect` that decides whether a bag is fit. forgives: problems that are none for it.
    config: what it learns by, in config/train. leave_end: the keys by which that leaves the held-out end unread.
    measure, min_gain, tolerance: see `verdict`.
    truth: what its stretches must hold; None: the LiDAR tells.
    by_source: it learns from labelled roads, and its drives need no truth: then others judge.
    """

    kind: str
    shipped: str
    evaluate: str
    fitness: str
    config: str
    leave_end: tuple[str, ...]
    measure: Measure
    min_gain: float
    tolerance: float
    truth: Truth | None = None
    by_source: bool = False
    forgives: frozenset[str] = frozenset()


def _maps(said: Mapping[str, Any]) -> dict[str, float]:
    """Each model's own, and their mean: none of them may pay for another."""
    found = {name: number(one.get("map")) for name, one in (said.get("per_modality") or {}).items()}
    return {"mean": sum(found.values()) / max(len(found), 1), **found} if found else {}


def _ious(said: Mapping[str, Any]) -> dict[str, float]:
    """The classes' mean, and all paint as one: rare classes must not pay for finding paint at all."""
    return {"mean": number(said.get("miou")), "paint": number(said.get("paint"))}


def _has_boxes(message: Any) -> bool:
    return bool(len(message.markers if hasattr(message, "markers") else message.detections))


def _has_paint(message: Any) -> bool:
    return bool(np.any(message.data))


BOXES = Truth(TRUTH, (MARKERS, DETECTIONS), _has_boxes, "labelled boxes", "--labels")
MASKS = Truth("/truth/markings", (IMAGE,), _has_paint, "masks of markings", "--mask-topic")

PARTS = {
    "depth": Part("depth", "student", "depth", "train depth", "loop.yaml", ("samples", "leave_end"), ABS_REL, 0.02, 0.05),
    "student": Part("depth", "student", "depth", "train student", "student.yaml", ("samples", "leave_end"), ABS_REL, 0.02, 0.05),
    "objects": Part("objects", "objects", "objects", "objects", "loop_objects.yaml", ("frames", "leave_end"),
                    Measure("mAP", _maps, gains="mean"), 0.01, 0.02, truth=BOXES),
    "markings": Part("markings", "markings", "markings", "markings", "loop_markings.yaml", ("leave_end",),
                     Measure("IoU", _ious, gains="mean"), 0.01, 0.02, truth=MASKS, by_source=True,
                     forgives=frozenset({"no_camera_info"})),
}
