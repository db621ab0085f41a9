"""One sensor a topic: whose messages are taken where several speak."""

from __future__ import annotations

import time
from collections.abc import Callable

from depth_perception.frame import BadInput


class OneSource:
    """The sensor that a topic carries: the frame that spoke first, until it has been silent for a second. One without a name may get one.

    Two sensors on one topic (a missing remapping) would otherwise take turns, each with the other's calibration.
    """

    def __init__(self, topic: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic, self._clock = topic, clock
        self.frame_id: str | None = None
        self._heard_at = 0.0

    def check(self, frame_id: str) -> None:
        """BadInput for a message of another sensor than the one that is followed."""
        now = self._clock()
        if self.frame_id not in (None, "", frame_id) and now - self._heard_at < 1.0:
            raise BadInput(f"{self._topic}: messages of {frame_id!r} among those of {self.frame_id!r}; one node takes one sensor")
        self.frame_id, self._heard_at = frame_id, now
