"""One pass over a bag's raw messages: when each came, when it says it was made, and how large it is. Nothing is decoded but headers."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from depth_perception.bag import Bag
from depth_perception.frame import BadInput

_GAP_PERIODS = 5.0
_MOST_GAPS = 5
_BINS = 120
_JUMP_NS = 500_000_000
_AROUND = 20
_SAMPLED_BYTES = 1 << 16


@dataclass(eq=False)
class Topic:
    """What 20 bytes a message remember of a topic (an hour at 100 Hz: 7 MB).

    log_ns, stamp_ns: (N,) log times and header stamps, nanoseconds; stamp_ns is empty where the type has no header.
    sizes: bytes. content: checksums of what is behind the header, only of topics that were asked for.
    """

    name: str
    type_name: str
    log_ns: array[int] = field(default_factory=lambda: array("q"))
    stamp_ns: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("L"))
    content: array[int] = field(default_factory=lambda: array("L"))
    header_at: int | None = None

    def add(self, log_ns: int, raw: bytes, *, with_content: bool) -> None:
        self.log_ns.append(log_ns)
        self.sizes.append(len(raw))
        if self.header_at is None:
            return
        try:
            order = "<" if raw[1] & 1 else ">"
            sec, nanosec, length = struct.unpack_from(order + "iII", raw, self.header_at)
        except (struct.error, IndexError):  # an empty TFMessage, or a damaged message: keeps the arrays of one length
            sec, nanosec, length = 0, 0, 0
        self.stamp_ns.append(sec * 10**9 + nanosec)
        if with_content:
            behind = raw[self.header_at + 12 + length:]
            self.content.append(zlib.crc32(behind[:: max(len(behind) // _SAMPLED_BYTES, 1)]))


def read(bag: Bag, *, content_of: Collection[str] = (), progress: Any = None) -> dict[str, Topic]:
    """Every topic of the bag, by name. progress: wraps the messages (tqdm), or None."""
    topics = {name: Topic(name, type_name) for name, (type_name, _) in bag.topics.items()}
    messages: Iterable[tuple[str, str, int, bytes]] = bag.messages()
    for name, type_name, log_ns, raw in messages if progress is None else progress(messages):
        topic = topics[name]
        if not topic.log_ns:
            topic.header_at = _header_at(bag, type_name, raw)
        topic.add(log_ns, raw, with_content=name in content_of)
    return topics


def _header_at(bag: Bag, type_name: str, raw: bytes) -> int | None:
    """Where the bytes of a type's header begin: first of all, or in the first of a TFMessage's transforms."""
    if type_name == "tf2_msgs/msg/TFMessage":
        return 8
    try:
        message = bag.decode(type_name, raw)
    except BadInput:
        return None
    fields = [name for name in getattr(message, "__dataclass_fields__", ()) if not name.startswith("__")]
    return 4 if fields and fields[0] == "header" and hasattr(message.header, "stamp") else None


def row(topic: Topic, *, start_ns: int, end_ns: int) -> dict[str, Any]:
    """Count, rate, gaps and sizes of a topic as plain values; the bag's first and last log time, nanoseconds."""
    log = np.sort(np.frombuffer(topic.log_ns, np.int64))
    sizes = np.frombuffer(topic.sizes, np.dtype("L"))
    count = len(log)
    steps = np.diff(log)
    span = (log[-1] - log[0]) * 1e-9 if count else 0.0
    largest = int(steps.argmax()) if len(steps) else None
    minute = ((np.frombuffer(topic.log_ns, np.int64) - start_ns) // (60 * 10**9)).astype(int)
    edges = np.linspace(start_ns, max(end_ns, start_ns + 1), _BINS + 1) - start_ns
    return {
        "name": topic.name, "type": topic.type_name, "count": count, "rate_hz": float((count - 1) / span) if span > 0 else None,
        "largest_gap_s": 0.0 if largest is None else float(steps[largest] * 1e-9),
        "gap_at_s": 0.0 if largest is None else float((log[largest] - start_ns) * 1e-9),
        "gaps": _gaps(log, start_ns, end_ns), "bytes": int(sizes.sum()),
        "bytes_per_minute": [int(v) for v in np.bincount(minute, sizes)] if count else [],
        "timeline": np.histogram(log - start_ns, edges)[0].tolist(), "stamps": stamps(topic, start_ns=start_ns)}


def _gaps(log: np.ndarray, start_ns: int, end_ns: int) -> list[dict[str, float]]:
    """The longest silences of a steady topic: between messages, and from its last one to the bag's end."""
    if len(log) < 4:
        return []
    steps = np.append(np.diff(log), end_ns - log[-1])
    long = np.flatnonzero(steps > _GAP_PERIODS * max(float(np.median(steps)), 1e6))
    longest = sorted(long[np.argsort(-steps[long], kind="stable")][:_MOST_GAPS])
    return [{"at_s": float((log[i] - start_ns) * 1e-9), "seconds": float(steps[i] * 1e-9)} for i in longest]


def stamps(topic: Topic, *, start_ns: int) -> dict[str, Any] | None:
    """How the header's stamps run beside the log times; None without a header or with fewer than two messages."""
    if len(topic.stamp_ns) < 2:
        return None
    stamp, log = np.frombuffer(topic.stamp_ns, np.int64), np.frombuffer(topic.log_ns, np.int64)
    steps, late = np.diff(stamp), log - stamp
    low, middle, high = (float(v) * 1e-9 for v in np.quantile(late, (0.01, 0.5, 0.99)))
    back = steps < 0
    return {"backwards": int(back.sum()), "backwards_worst_s": float(-steps.min() * 1e-9) if back.any() else 0.0,
            "backwards_at_s": float((log[1:][back][0] - start_ns) * 1e-9) if back.any() else None, "repeated": int((steps == 0).sum()),
            "latency_s": {"p1": low, "median": middle, "p99": high}, "jumps": _jumps(late, log, start_ns)}


def _jumps(late: np.ndarray, log: np.ndarray, start_ns: int) -> list[dict[str, float]]:
    """Where the clock of the stamps was set anew: log time minus stamp changes at once and stays changed."""
    out = []
    for i in np.flatnonzero(np.abs(np.diff(late)) > _JUMP_NS) + 1:
        before, after = late[max(i - _AROUND, 0):i], late[i:i + _AROUND]
        change = float(np.median(after) - np.median(before))
        if len(before) >= 3 and len(after) >= 3 and abs(change) > _JUMP_NS / 2:
            out.append({"at_s": float((log[i] - start_ns) * 1e-9), "seconds": -change * 1e-9})
    return out[:_MOST_GAPS]


def repeated_content(topic: Topic) -> int:
    """How many messages show exactly what the one before showed."""
    return int((np.diff(np.frombuffer(topic.content, np.dtype("L")).astype(np.int64)) == 0).sum())
