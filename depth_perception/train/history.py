"""What a training was like, and how long it may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from depth_perception.frame import BadInput


@dataclass(frozen=True)
class Budget:
    """Training ends at whichever comes first; None is no limit, both None is BadInput."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise BadInput("budget: wanted --steps, --minutes or both")
        if (self.steps is not None and self.steps < 1) or (self.minutes is not None and self.minutes <= 0):
            raise BadInput(f"budget: wanted a positive number, got --steps {self.steps} --minutes {self.minutes}")

    def progress(self, step: int, elapsed_s: float) -> float:
        """How much of the budget is used, 0..1."""
        by_step = step / self.steps if self.steps else 0.0
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_step, by_time))


@dataclass
class History:
    """Attributes:
    step: steps done. elapsed_s: seconds of training alone.
    rows: one per step with the terms' values; only "step" where the batch was skipped.
    scores: of the held-out frames, every so many steps: {"step", name: value}. best: the one whose weights are kept, or None.
    leaned: scores of what `keep_init` made of those weights, which is what is in the model; None where it left them.
    rate: what the learning rate is multiplied by; each recovery halves it. recoveries: {"step", "sentence"} of each.
    """

    step: int = 0
    elapsed_s: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    leaned: dict[str, float] | None = None
    rate: float = 1.0
    recoveries: list[dict[str, Any]] = field(default_factory=list)

    def mean(self, last: int = 50) -> dict[str, float]:
        """Mean of each term over the last rows that have it."""
        rows = self.rows[-last:]
        names = sorted({name for row in rows for name in row} - {"step"})
        return {name: sum(r[name] for r in rows if name in r) / sum(name in r for r in rows) for name in names}

    def lineage(self) -> dict[str, Any]:
        """What a manifest tells of it."""
        return {"steps": self.step, "minutes": round(self.elapsed_s / 60, 2),
                "losses": {name: round(value, 5) for name, value in self.mean().items()}, "best": self.best,
                "last": self.scores[-1] if self.scores else None, "recoveries": self.recoveries,
                **({"leaned": self.leaned} if self.leaned else {})}
