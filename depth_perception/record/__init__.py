"""Recording: bytes in, bag out, no decoding."""

from depth_perception.record.writer import Counts, QueuedWriter

__all__ = ["Counts", "QueuedWriter"]
