"""Time: integer nanoseconds."""

from __future__ import annotations

from typing import Any


def stamp_ns(header: Any) -> int:
    """std_msgs/Header -> its stamp in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
