"""Which scan belongs to an image while driving."""

from __future__ import annotations

from collections import deque

from depth_perception.frame import Scan

_SECOND_NS = 1_000_000_000
_MOST = 200  # where stamps stand still


class Pairing:
    """An image takes the newest scan that is not later than itself and within the maximum delay; it never waits.

    The node and the bag reader both pair with this class, so a bag and the car give the same frames. Images come one after another, so a
    scan that is too old for one of them is too old for all that follow, and is let go: what is kept longer holds memory apart.

    Args:
        max_delay_ns: oldest scan that still counts, nanoseconds before the image.
    """

    def __init__(self, max_delay_ns: int = 150_000_000) -> None:
        self.max_delay_ns = max_delay_ns
        self._scans: deque[Scan] = deque(maxlen=_MOST)

    def add(self, scan: Scan) -> None:
        """Keeps a scan. Those that are too old even for an image a second late are forgotten, as a silent camera asks for none."""
        while self._scans and scan.stamp_ns - self._scans[0].stamp_ns > self.max_delay_ns + _SECOND_NS:
            self._scans.popleft()
        self._scans.append(scan)

    def newest_before(self, stamp_ns: int) -> Scan | None:
        """The newest scan with stamp_ns - max_delay <= stamp <= stamp_ns, or None."""
        newest = self.newest
        for scan in [scan for scan in self._scans if stamp_ns - scan.stamp_ns > self.max_delay_ns and scan is not newest]:
            self._scans.remove(scan)
        fitting = [scan for scan in self._scans if 0 <= stamp_ns - scan.stamp_ns <= self.max_delay_ns]
        return max(fitting, key=lambda scan: scan.stamp_ns, default=None)

    @property
    def newest(self) -> Scan | None:
        """The newest scan of all; those more than a second after the one that came last are of a time that has jumped back since."""
        if not self._scans:
            return None
        latest_ns = self._scans[-1].stamp_ns + _SECOND_NS
        return max((scan for scan in self._scans if scan.stamp_ns <= latest_ns), key=lambda scan: scan.stamp_ns)

    def reset(self) -> None:
        """Forgets every scan: time has jumped back (a bag that starts again)."""
        self._scans.clear()
