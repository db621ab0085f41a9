"""/dev/shm, through which images travel between processes: room in it, and what dead processes left there."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

PLACE = Path("/dev/shm")
LEAST_FREE_MB = 512  # a segment of config/fastdds.xml is 34 MB, and a car has about ten processes
_MUCH_MB = 100
_SEGMENT = re.compile(r"(fastrtps|fastdds)_[0-9a-f]{16}")


def findings(place: Path = PLACE) -> Iterator[tuple[str, str, str]]:
    """(level, subject, sentence)."""
    if not place.is_dir():
        yield "note", "memory", f"{place} is not there: images between processes go over UDP, which takes several times as long"
        return
    free_mb = shutil.disk_usage(place).free / 1e6
    dead = list(stale(place))
    dead_mb = sum(_size(file) for file in dead) / 1e6
    left = f"{len(dead)} segments of {dead_mb:.0f} MB left there by processes that were killed"
    if free_mb < LEAST_FREE_MB:
        more = "give it more (docker run --shm-size=1g; mount -o remount,size=2G)"
        remedy = f"{left}: remove them with `fastdds shm clean`" if dead else more
        yield "todo", "memory", f"{free_mb:.0f} MB of shared memory free in {place}, wanted {LEAST_FREE_MB}: {remedy}"
    elif dead_mb > _MUCH_MB:
        yield "note", "memory", f"{free_mb:.0f} MB of shared memory free in {place}; {left}: `fastdds shm clean` gives them back"
    else:
        yield "ok", "memory", f"{free_mb:.0f} MB of shared memory free in {place}"


def stale(place: Path) -> Iterator[Path]:
    """Fast DDS's segments that no process holds any more, as `fastdds shm clean` tells: nobody has their lock file locked."""
    for segment in sorted(file for file in place.iterdir() if _SEGMENT.fullmatch(file.name)):
        lock = segment.with_name(f"{segment.name}_el")
        try:
            with lock.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield segment
        except OSError:  # held, somebody else's, or gone meanwhile
            continue


def _size(file: Path) -> int:
    """What it takes of the memory; a segment is mostly untouched."""
    try:
        return os.stat(file).st_blocks * 512
    except OSError:
        return 0
