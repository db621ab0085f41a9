"""How long ago this process was started."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

STAT = Path("/proc/self/stat")
START_TICKS = 22  # the field of proc(5), counted from 1


def age_s() -> float:
    """Seconds since this process was started.

    On Linux to a hundredth, by the clock that counts from the machine's boot: the wall clock's time of that boot is told in whole
    seconds, and may have been set since.
    """
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s(STAT.read_text(), os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, AttributeError):  # another system
        return time.time() - psutil.Process().create_time()


def started_s(stat: str, ticks_per_s: int) -> float:
    """The start, in seconds since boot, that a /proc/PID/stat tells; its second field may have spaces and parentheses itself."""
    return int(stat.rpartition(")")[2].split()[START_TICKS - 3]) / ticks_per_s
