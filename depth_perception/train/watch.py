"""Notices a training that leaves the rails: terms or gradients that are no numbers, and losses that explode."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median

_REMEMBERED, _LEAST = 100, 20


@dataclass
class Watch:
    """Running medians of the terms. A loss explodes when its total is `factor` times its median, `patience` steps in a row.

    Steps with other terms (those without neighbours) have medians of their own. Everything follows from the rows of a history, so
    a resumed run judges as an uninterrupted one does.
    """

    factor: float
    patience: int
    in_a_row: int = 0
    _totals: dict[frozenset[str], deque[float]] = field(default_factory=dict)
    _terms: dict[str, deque[float]] = field(default_factory=dict)

    def judge(self, values: dict[str, float]) -> str | None:
        """What is wrong with a step's terms, naming one; None when nothing is."""
        wrong = next((name for name, value in values.items() if not math.isfinite(value)), None)
        if wrong is not None or not values:
            self.in_a_row = 0
            return None if wrong is None else f"the term {wrong!r} became {values[wrong]}"
        total = sum(map(abs, values.values()))
        totals = self._totals.setdefault(frozenset(values), deque(maxlen=_REMEMBERED))
        if len(totals) < _LEAST or total <= self.factor * median(totals):
            self.in_a_row = 0
            totals.append(total)
            for name, value in values.items():
                self._terms.setdefault(name, deque(maxlen=_REMEMBERED)).append(abs(value))
            return None
        self.in_a_row += 1
        if self.in_a_row < self.patience:
            return None
        self.in_a_row = 0
        times = {name: abs(value) / max(median(self._terms[name]), 1e-12) for name, value in values.items()}
        worst = max(values, key=lambda name: abs(values[name]) if times[name] > self.factor else -1.0)
        return f"the term {worst!r} explodes: {values[worst]:.4g}, {times[worst]:.0f} times its median, {self.patience} steps in a row"
