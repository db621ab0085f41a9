"""The clock: sensors and computers of a car must mean the same moment by the same stamp."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator

_BUILT = 1_760_000_000  # autumn of 2025: a clock before that has never been set


def findings() -> Iterator[tuple[str, str, str]]:
    """(level, subject, sentence)."""
    now = time.time()
    if now < _BUILT:
        date = time.strftime("%Y-%m-%d", time.gmtime(now))
        yield "todo", "clock", f"it says {date}: set it (timedatectl set-ntp true, or chrony with the car's GNSS)"
        return
    synchronised = is_synchronised()
    if synchronised is None:
        yield "note", "clock", "whether it follows another cannot be told here; sensors and other computers need one with it (PTP, NTP)"
    elif synchronised:
        yield "ok", "clock", "synchronised"
    else:
        yield "note", "clock", "follows no other: sensors with clocks of their own need one (timedatectl set-ntp true, chrony, ptp4l)"


def is_synchronised() -> bool | None:
    """As systemd has it; None where it cannot be asked."""
    command = shutil.which("timedatectl")
    if command is None:
        return None
    try:
        shown = subprocess.run([command, "show", "--property=NTPSynchronized", "--value"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = shown.stdout.strip()
    return said == "yes" if shown.returncode == 0 and said in ("yes", "no") else None
