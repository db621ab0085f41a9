"""Serialised messages -> a bag, from a thread of its own: whoever hands them over never waits for the disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from depth_perception.bag import Writer
from depth_perception.frame import BadInput


@dataclass
class Counts:
    """Messages of one topic: received = written + dropped + those that wait in the queue."""

    received: int = 0
    written: int = 0
    dropped: int = 0


class QueuedWriter:
    """A bag that grows by `put` until `close`.

    What does not fit into the queue while the disk is slow is dropped and counted, the newest first, so that what is written has no
    holes but at the end of a burst. What is written outlives the process after `flush_s` seconds, also when it is killed.

    Args:
        path: the bag's directory; must not exist yet.
        queue_bytes: how many bytes of messages may wait.
        flush_s: how long a written message may stay in this process's memory, seconds.
    Attributes:
        counts: topic -> Counts.
        queued_bytes: what waits at this moment.
        error: the sentence why nothing can be written any more; empty while all is well.
    Raises:
        BadInput: there is something at `path` already, or a bag cannot be written there.
    """

    def __init__(self, path: str | Path, *, queue_bytes: int = 256_000_000, flush_s: float = 0.5) -> None:
        if queue_bytes <= 0 or not 0 < flush_s < float("inf"):
            raise BadInput(f"recording: wanted a queue of some bytes and a time to flush, got {queue_bytes} and {flush_s}")
        self.counts: dict[str, Counts] = {}
        self.queued_bytes = 0
        self.error = ""
        self._queue_bytes, self._flush_s = queue_bytes, flush_s
        self._queue: deque[tuple[str, str, bytes, int]] = deque()  # topic, type, bytes, stamp
        self._changed = threading.Condition()  # guards the queue and the counts
        self._writing = threading.Lock()  # guards the bag
        self._types: dict[str, str] = {}
        self._end_by: float | None = None
        self._bag = Writer(path, in_place=True)
        self.path = self._bag.path
        self._open = ExitStack()  # opened here, closed by the thread
        self._open.enter_context(self._bag)
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def add_topic(self, topic: str, type_name: str, *, definition: str = "", reliable: bool = True, latched: bool = False) -> None:
        """Declares a topic, see `bag.Writer.add_topic`; once more with another type, its messages are of that type from now on."""
        with self._writing:
            self._bag.add_topic(topic, type_name, definition=definition, reliable=reliable, latched=latched)
        with self._changed:
            self._types[topic] = type_name
            self.counts.setdefault(topic, Counts())

    def put(self, topic: str, cdr: bytes, stamp_ns: int) -> bool:
        """Queues a message of a declared topic, logged at `stamp_ns`; False when it was dropped."""
        with self._changed:
            count = self.counts[topic]
            count.received += 1
            if self.error or self._end_by is not None or self.queued_bytes + len(cdr) > self._queue_bytes:
                count.dropped += 1
                return False
            self.queued_bytes += len(cdr)
            self._queue.append((topic, self._types[topic], cdr, stamp_ns))
            if len(self._queue) == 1:
                self._changed.notify()
            return True

    def close(self, timeout_s: float = 1.5) -> bool:
        """Writes what waits as far as the time allows, counts the rest as dropped, and finishes the bag.

        False when that failed: `error` says why. The bag is then as after a crash: without metadata.yaml, readable up to there.
        """
        with self._changed:
            # The last third is for the bag's index, and for the one message that is being written when the time is up.
            self._end_by = self._end_by or time.monotonic() + timeout_s * 2 / 3
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.error = f"{self.path}: the disk did not take what was waiting within {timeout_s:g} s"
        return not self.error

    def _run(self) -> None:
        flush_at = time.monotonic() + self._flush_s
        try:
            with self._open:
                while True:
                    message = self._oldest()
                    if message is not None:
                        with self._writing:
                            self._bag.write_raw(*message)
                        self._done()
                    elif self._end_by is not None:
                        return
                    if time.monotonic() >= flush_at:
                        with self._writing:
                            self._bag.flush()
                        flush_at = time.monotonic() + self._flush_s
        except Exception as error:  # a full disk, a card that was pulled out: whatever it is, it must be said
            why = error.strerror if isinstance(error, OSError) else str(error)
            self.error = f"{self.path}: nothing more can be written ({why or type(error).__name__})"
            self._drop_all()

    def _oldest(self) -> tuple[str, str, bytes, int] | None:
        """The next message to write, left in the queue; None when none came until it is time to flush, or to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._end_by is not None, self._flush_s)
            if self._end_by is None or time.monotonic() < self._end_by:
                return self._queue[0] if self._queue else None
        self._drop_all()
        return None

    def _done(self) -> None:
        with self._changed:
            topic, _, cdr, _ = self._queue.popleft()
            self.queued_bytes -= len(cdr)
            self.counts[topic].written += 1

    def _drop_all(self) -> None:
        with self._changed:
            for topic, *_ in self._queue:
                self.counts[topic].dropped += 1
            self._queue.clear()
            self.queued_bytes = 0
