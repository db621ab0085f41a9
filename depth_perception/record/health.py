"""How a recording does, in numbers and sentences: what /diagnostics and the bag's own metadata say. No ROS in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from depth_perception.record.config import GB, MB, Config
from depth_perception.record.pace import Pace
from depth_perception.record.recording import Counts

_CROWDED = 0.5  # of the queue: the disk falls behind
_MINUTES = 3.0


@dataclass
class TopicHealth:
    """Attributes:
    counts: what became of the messages that came.
    lost: messages that were published, but overwritten before the recorder came to take them.
    pace: by their stamps, or by their arrival where they have none.
    heard_s: when the last one came, seconds of a clock that never jumps.
    """

    counts: Counts
    lost: int = 0
    pace: Pace = field(default_factory=Pace)
    heard_s: float = 0.0

    def values(self) -> dict[str, int | str]:
        """What is worth a line each."""
        counts, pace = self.counts, self.pace
        values: dict[str, int | str] = {
            "received": counts.received, "written": counts.written, "dropped": counts.dropped, "lost": self.lost, "gaps": pace.gaps}
        extra: dict[str, int | str] = {
            "throttled": counts.throttled, "not asked for": counts.passed, "missing in gaps": pace.missing,
            "stamps that go back": pace.backwards, "longest gap s": f"{pace.longest_s:.3f}" if pace.gaps else 0}
        return values | {name: value for name, value in extra.items() if value}


@dataclass(frozen=True)
class Load:
    """Attributes:
    at_s: when, seconds of a clock that never jumps.
    queued, written: bytes that wait, and that were written so far.
    free: bytes that are free on the disk; None where that cannot be told.
    gone: messages that were dropped or lost so far.
    """

    at_s: float
    queued: int
    written: int
    free: int | None
    gone: int


def rate(before: Load, now: Load) -> float:
    """Bytes a second."""
    return (now.written - before.written) / (now.at_s - before.at_s) if now.at_s > before.at_s else 0.0


def minutes_left(config: Config, now: Load, bytes_per_s: float) -> float | None:
    """Until the disk's floor is reached; None when it is not in sight: nothing is written, or old files make room."""
    if config.mode == "circular" or bytes_per_s <= 0 or now.free is None:
        return None
    return max(0.0, now.free - config.disk_floor_gb * GB) / bytes_per_s / 60


def findings(config: Config, before: Load, now: Load) -> list[str]:
    """What is not as it should be since the last report, the worst first."""
    found = []
    if now.gone > before.gone:
        found.append(f"{now.gone - before.gone} messages not recorded since the last report")
    if now.queued > _CROWDED * config.queue_mb * MB:
        found.append(f"{now.queued / MB:.0f} MB wait for the disk, {config.queue_mb} may")
    left = minutes_left(config, now, rate(before, now))
    if left is not None and left < _MINUTES:
        found.append(f"{left:.1f} minutes until disk_floor_gb is reached, at {rate(before, now) / MB:.0f} MB/s")
    return found


def summary(topics: Mapping[str, TopicHealth], notes: Mapping[str, str]) -> dict[str, str]:
    """What a bag says of its recording: one sentence a topic, and `notes`."""
    said = {topic: ", ".join(f"{name} {value}" for name, value in health.values().items()) for topic, health in topics.items()}
    return dict(notes) | said
