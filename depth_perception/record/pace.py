"""How regularly a topic comes, by the stamps of its own messages: rates, gaps, and clocks that were set back."""

from __future__ import annotations

import re
import struct
from collections import deque
from statistics import median

_GAP = 1.75  # of the usual period; a frame that is half a period late is late, not missing
_REMEMBERED = 21
_LEARNED = 5


class Pace:
    """Attributes:
    gaps: pauses that were longer than the usual distance of two messages.
    missing: messages that would have come in them.
    longest_s: the longest of them.
    backwards: messages that were older than the one before.
    """

    def __init__(self) -> None:
        self.gaps = self.missing = self.backwards = 0
        self.longest_s = 0.0
        self._last: int | None = None
        self._periods: deque[int] = deque(maxlen=_REMEMBERED)
        self._late: list[int] = []  # gaps without a usual distance between them

    @property
    def period_s(self) -> float | None:
        """The usual distance of two messages; None as long as there is none."""
        return median(self._periods) * 1e-9 if len(self._periods) >= _LEARNED else None

    def see(self, stamp_ns: int) -> None:
        """A message of that time."""
        last, self._last = self._last, stamp_ns
        if last is None:
            return
        elapsed, usual = stamp_ns - last, self.period_s
        if elapsed < 0:
            self.backwards += 1
        elif usual and elapsed > _GAP * usual * 1e9:
            self.gaps += 1
            self.missing += round(elapsed * 1e-9 / usual) - 1
            self.longest_s = max(self.longest_s, elapsed * 1e-9)
            self._late.append(elapsed)
            if len(self._late) == _REMEMBERED:  # gaps and nothing else: this is how it comes now
                self._periods.extend(self._late)
                self._late.clear()
        elif elapsed:
            self._periods.append(elapsed)
            self._late.clear()


def stamp_ns(cdr: bytes) -> int | None:
    """The stamp of a serialised message that begins with a header; None when there is none (0), or too few bytes."""
    if len(cdr) < 12:
        return None
    seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    return int(seconds) * 10**9 + int(nanoseconds) or None


def begins_with_header(definition: str) -> bool:
    """Whether a type's first field is a std_msgs/Header, by its .msg text."""
    for line in definition.split("=" * 80)[0].splitlines():
        if words := re.sub(r"#.*", "", line).split():
            return words[0] in ("std_msgs/Header", "std_msgs/msg/Header", "Header")
    return False
