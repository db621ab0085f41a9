"""What a run of the loop is to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What a run is to do; kept with it, so that a run that goes on does the same.

    Attributes:
        bags: absolute path of each new bag -> its files when this was planned; what it has become by the end is new again.
        task: what is learned, a key of PARTS; student by `teacher`, markings by `source` and judged on `score_on` too.
        labels: the topic of the truth where it is not the usual one. palette: of masks in folders.
        steps, minutes: the training's budget. config: its YAML; None: the part's.
        targets, precisions: kinds of GPU to compile for, none: the engines are the CPU's.
        held_share: of each bag's time, its end, that is scored on.
        min_gain, tolerance: see `verdict`.
        most_held, most_versions: so many stretches and versions are kept.
        image_topic, info_topic, points_topic, calibration: as for `bag.FrameReader`.
    """

    bags: dict[str, Any]
    task: str = "depth"
    teacher: str | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int = 8
    seed: int = 0
    config: str | None = None
    targets: list[str] = field(default_factory=list)
    precisions: list[str] = field(default_factory=lambda: ["fp32"])
    held_share: float = 0.2
    min_gain: float = 0.02
    tolerance: float = 0.05
    most_held: int = 20
    most_versions: int = 5
    image_topic: str | None = None
    info_topic: str | None = None
    points_topic: str | None = None
    calibration: str | None = None
    labels: str | None = None
    source: list[str] = field(default_factory=list)
    score_on: list[str] = field(default_factory=list)
    palette: str | None = None
