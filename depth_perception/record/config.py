"""How a recorder records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.record.triggers import Config as Triggers

GB, MB = 10**9, 10**6


@dataclass(frozen=True)
class Config:
    """Attributes:
    mode: continuous: everything; circular: the last keep_gb; snapshot: pre_roll_s before and post_roll_s after each trigger.
    compression: of chunks; what came since the last flush is compressed at once.
    queue_mb: megabytes that may wait for the disk; what comes on top is dropped. In snapshot mode, also the longest pre-roll.
    chunk_mb: megabytes that are written at once, and compressed together.
    flush_s: so long a message may stay in this process's memory; a recorder that is killed loses no more.
    sync_s: so long a message may stay in the system's memory; a power cut loses no more. 0: as the system likes.
    split_mb: a file of the bag ends at so many megabytes; 0: never.
    split_s: a file of the bag ends after so many seconds; 0: never.
    keep_gb: circular: the oldest files go when the bag is longer.
    pre_roll_s: snapshot: seconds before the trigger.
    post_roll_s: snapshot: seconds after the last trigger.
    disk_floor_gb: recording stops, and the bag is finished, when less is free on the disk; circular: the oldest files go first.
    triggers: what makes a snapshot, besides ~/snapshot.
    """

    mode: Literal["continuous", "circular", "snapshot"] = "continuous"
    compression: Literal["none", "lz4", "zstd"] = "none"
    queue_mb: int = ranged(256, 1, 65536)
    chunk_mb: float = ranged(4.0, 0.01, 256)
    flush_s: float = ranged(0.5, 0.001, 60)
    sync_s: float = ranged(5.0, 0, 3600)
    split_mb: int = ranged(4000, 0, 10_000_000)
    split_s: float = ranged(0.0, 0, 1e6)
    keep_gb: float = ranged(50.0, 0.01, 1e6)
    pre_roll_s: float = ranged(10.0, 0, 3600)
    post_roll_s: float = ranged(5.0, 0, 3600)
    disk_floor_gb: float = ranged(1.0, 0, 1e6)
    triggers: Triggers = field(default_factory=Triggers)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.mode == "circular" and not (self.split_s or 0 < self.split_mb * MB <= self.keep_gb * GB / 2):
            raise BadInput(f"split_mb: wanted at most half of keep_gb ({self.keep_gb:g}), or split_s, so that old files can go; "
                           f"got {self.split_mb}")
