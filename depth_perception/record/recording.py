"""Serialised messages -> bags, from a thread of its own: whoever hands them over never waits for the disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from depth_perception.bag.writer import definition_of
from depth_perception.frame import BadInput
from depth_perception.record import metadata
from depth_perception.record.config import GB, MB, Config
from depth_perception.record.kept import CALIBRATION, Kept
from depth_perception.record.mcap_file import Channel
from depth_perception.record.split_bag import SplitBag, Splits

FOREVER = 2**63 - 1
_SET_BACK_NS = 10**9
_HELD = 0.8  # of the queue's room may be a snapshot's past


@dataclass
class Counts:
    """Messages of one topic: received = written + dropped + throttled + passed + those that wait in the queue.

    dropped: there was no room, or the disk took nothing more. throttled: the topic was asked to be slower. passed: nothing was being
    recorded then, or no trigger came while they were held.
    """

    received: int = 0
    written: int = 0
    dropped: int = 0
    throttled: int = 0
    passed: int = 0


class _Message(NamedTuple):
    channel: Channel
    cdr: bytes
    log_ns: int
    latched: bool
    begins_file: bool


class Recording:
    """One queue and one thread. What is in the queue waits for the disk, or, while no bag is open, for a `record` that it is the past of.

    What does not fit into the queue while the disk is slow is dropped and counted, the newest first, so that what is written has no
    holes but at the end of a burst; while no bag is open, the oldest go.

    Args:
        summary: what metadata.yaml says of the recording as custom_data; asked when a bag ends, in the thread.
    Attributes:
        counts: topic -> Counts.
        queued_bytes: what waits at this moment.
        written_bytes: messages' bytes so far.
        path: the bag that is written; None between two of them.
        bags: finished bags.
        error: the sentence why nothing is written any more; empty while all is well. `record` tries anew.
        short_roll_s: so many seconds were held when the queue had no room for the whole pre-roll; None: it always had.
        paused: what comes now is not for any bag, but static transforms and what else is latched.
    """

    def __init__(self, config: Config | None = None, *, summary: Callable[[], dict[str, str]] = dict) -> None:
        self.counts: dict[str, Counts] = {}
        self.queued_bytes = self.written_bytes = 0
        self.bags: list[Path] = []
        self.error = ""
        self.paused = False
        self.short_roll_s: float | None = None
        self._config, self._summary = config or Config(), summary
        self._queue: deque[_Message] = deque()
        self._changed = threading.Condition()  # guards all of this but the bag's files, which are the thread's
        self._channels: dict[str, tuple[Channel, bool]] = {}
        self._throttles: dict[str, list[float]] = {}  # topic -> period, and when the next message is due, ns
        self._kept = Kept()
        self._bag: SplitBag | None = None
        self._until_ns = self._now_ns = 0
        self._split = False
        self._missed: list[_Message] = []  # latched or calibration, dropped: it will not come again, and every file begins with it
        self._end_by: float | None = None
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path | None:
        bag = self._bag
        return bag.path if bag else None

    @property
    def forgotten(self) -> int:
        """Files that made room for newer ones in the bag that is written."""
        bag = self._bag
        return bag.forgotten if bag else 0

    @property
    def size(self) -> int:
        """Bytes of the bag that is written."""
        bag = self._bag
        return bag.size if bag else 0

    def add_topic(self, topic: str, type_name: str, *, definition: str = "", reliable: bool = True, latched: bool = False) -> None:
        """Declares a topic: how it is offered and what its messages are; once more with another type, they are of that from now on.

        definition: the type's .msg text followed by those of the types in it, as mcap's ros2msg has them; empty: ROS 2 Jazzy's.
        Raises BadInput when the type is not known, or the definition cannot be read.
        """
        text = definition_of(topic, type_name, definition)
        profile = metadata.profile(reliable=reliable, latched=latched, depth=100 if latched else 10)
        channel = Channel(topic, type_name, text, metadata.as_yaml([profile]))
        with self._changed:
            self._channels[topic] = channel, latched
            self.counts.setdefault(topic, Counts())

    def throttle(self, topic: str, hz: float) -> None:
        """Takes no more than so many messages a second of a topic, by their stamps."""
        if not 0 < hz < 1e6:
            raise BadInput(f"throttle of {topic}: wanted a rate in Hz, got {hz}")
        self._throttles[topic] = [1e9 / hz, 0.0]

    def record(self, path: str | Path, *, until_ns: int = FOREVER) -> Path:
        """Writes what waits, and what comes until then, into a new bag; where one is being written already, into that one, until then at
        least. Returns the bag's path.

        Raises BadInput when there is something at `path` already, or a bag cannot be written there.
        """
        splits = Splits(bytes=self._config.split_mb * MB, seconds=self._config.split_s,
                        keep_bytes=int(self._config.keep_gb * GB) if self._config.mode == "circular" else 0,
                        floor_bytes=int(self._config.disk_floor_gb * GB))
        with self._changed:
            if self._bag is not None:
                self._until_ns = max(self._until_ns, until_ns)
                return self._bag.path
            self._bag = SplitBag(Path(path), kept=self._kept, compression=self._config.compression, splits=splits,
                                 chunk_bytes=int(self._config.chunk_mb * MB))
            self._until_ns, self.error, self._split = until_ns, "", False
            self._changed.notify()
            return self._bag.path

    def finish(self) -> None:
        """Ends the bag with what has come so far."""
        with self._changed:
            self._until_ns = self._now_ns
            self._changed.notify()

    def split(self) -> None:
        """The next message goes into the bag's next file."""
        with self._changed:
            self._split = True

    def advance(self, now_ns: int) -> None:
        """It is so late: for bags whose end comes while no message does."""
        with self._changed:
            self._now_ns = max(self._now_ns, now_ns)
            if self._bag is not None and self._now_ns > self._until_ns:
                self._changed.notify()

    def put(self, topic: str, cdr: bytes, log_ns: int) -> bool:
        """Queues a message of a declared topic, logged at `log_ns`; False when it is not to be had later."""
        with self._changed:
            count = self.counts[topic]
            channel, latched = self._channels[topic]
            count.received += 1
            if log_ns < self._now_ns - _SET_BACK_NS:
                self._set_back(log_ns)
            self._now_ns = log_ns
            if self.paused and not latched:
                count.passed += 1
            elif self._is_throttled(topic, log_ns):
                count.throttled += 1
            elif self._end_by is not None or (self.error and self._pre_roll_ns == 0) or (
                    self._bag is not None and self.queued_bytes + len(cdr) > self._room):
                count.dropped += 1
                self._miss(_Message(channel, cdr, log_ns, latched, False))
            else:
                self.queued_bytes += len(cdr)
                self._queue.append(_Message(channel, cdr, log_ns, latched, self._split))
                self._split = False
                if self._bag is None:
                    self._pass_by()
                elif len(self._queue) == 1:
                    self._changed.notify()
                return True
            return False

    def close(self, timeout_s: float = 1.5) -> bool:
        """Writes what waits as far as the time allows, counts the rest as dropped, and finishes the bag.

        False when that failed: `error` says why. The bag is then as after a crash: without metadata.yaml, readable up to there.
        """
        path = self.path
        with self._changed:
            # The last third is for the bag's index, and for the one message that is being written when the time is up.
            self._end_by = self._end_by or time.monotonic() + timeout_s * 2 / 3
            self._until_ns = FOREVER
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.error = f"{path}: the disk did not take what was waiting within {timeout_s:g} s"
        return not self.error

    @property
    def _room(self) -> int:
        return self._config.queue_mb * MB

    def _is_throttled(self, topic: str, log_ns: int) -> bool:
        if topic not in self._throttles:
            return False
        period, due = self._throttles[topic]
        if due - period <= log_ns < due:  # earlier than that, the clock was set back
            return True
        # Whoever is late is not owed the time: rates are kept, not counts.
        self._throttles[topic][1] = due + period if log_ns < due + period else log_ns + period
        return False

    @property
    def _pre_roll_ns(self) -> float:
        return self._config.pre_roll_s * 1e9 if self._config.mode == "snapshot" else 0

    def _pass_by(self) -> None:
        """While no bag is open: what is older than the pre-roll is no snapshot's past any more. What comes after needs some room, too."""
        while self._queue and (self._queue[0].log_ns <= self._now_ns - self._pre_roll_ns or self.queued_bytes > _HELD * self._room):
            if self._queue[0].log_ns > self._now_ns - self._pre_roll_ns:
                self.short_roll_s = (self._now_ns - self._queue[0].log_ns) * 1e-9
            self._pass(self._popped())

    def _set_back(self, log_ns: int) -> None:
        """The clock went back: a snapshot's end goes with it, and what is held is of no use for one that begins now."""
        if self._until_ns < FOREVER:
            self._until_ns -= self._now_ns - log_ns
        while self._bag is None and self._queue:
            self._pass(self._popped())

    def _miss(self, message: _Message) -> None:
        if self._bag is None:  # nobody else touches what files begin with
            self._kept.see(message.channel, message.cdr, latched=message.latched)
        elif message.latched or message.channel.type_name == CALIBRATION:
            self._missed.append(message)

    def _pass(self, message: _Message) -> None:
        self._kept.see(message.channel, message.cdr, latched=message.latched)
        self.counts[message.channel.topic].passed += 1

    def _popped(self) -> _Message:
        message = self._queue.popleft()
        self.queued_bytes -= len(message.cdr)
        return message

    def _run(self) -> None:
        flush_at = sync_at = time.monotonic()
        while True:
            bag, message, ended = self._next(flush_at - time.monotonic())
            try:
                if message is not None and bag is not None:
                    self._see_missed()
                    if message.begins_file:
                        bag.split()
                    bag.write(message.channel, message.cdr, message.log_ns, latched=message.latched)
                    self._is_written()
                    message = None
                if bag is not None and not ended and (now := time.monotonic()) >= flush_at:
                    flush_at = now + self._config.flush_s
                    bag.flush()
                    if self._config.sync_s and now >= sync_at:
                        sync_at = now + self._config.sync_s
                        bag.sync()
                    self._heed_the_floor(bag)
                if ended and bag is not None:
                    bag.close(self._summary())
                    self.bags.append(bag.path)
            except Exception as error:  # a full disk, a card that was pulled out: whatever it is, it must be said
                assert bag is not None
                why = error.strerror if isinstance(error, OSError) else str(error)
                pending = bag.abandon()
                if message is not None:  # it is still in the queue, and counted there
                    pending[message.channel.topic] = max(0, pending.get(message.channel.topic, 0) - 1)
                self._give_up(f"{bag.path}: nothing more can be written ({why or type(error).__name__})", pending)
            if ended and self._end_by is not None:
                return

    def _next(self, patience_s: float) -> tuple[SplitBag | None, _Message | None, bool]:
        """The bag, its next message, which is left in the queue, and whether the bag ends here; the bag is then the caller's alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._end_by is not None or (self._bag is not None and (self._queue or self._is_over)),
                                   patience_s if self._bag is not None and patience_s > 0 else self._config.flush_s)
            if self._end_by is not None and time.monotonic() >= self._end_by:
                self._drop_all()
            bag = self._bag
            if bag is not None and self._queue and self._queue[0].log_ns <= self._until_ns:
                return bag, self._queue[0], False
            if self._end_by is not None or (bag is not None and self._is_over):
                while self._end_by is not None and self._queue:
                    self._pass(self._popped())  # held for a snapshot that nobody asked for
                self._bag = None
                return bag, None, True
            return bag, None, False

    @property
    def _is_over(self) -> bool:
        return self._now_ns >= self._until_ns or bool(self._queue and self._queue[0].log_ns > self._until_ns)

    def _is_written(self) -> None:
        with self._changed:
            message = self._popped()
            self.counts[message.channel.topic].written += 1
            self.written_bytes += len(message.cdr)

    def _heed_the_floor(self, bag: SplitBag) -> None:
        floor_gb = self._config.disk_floor_gb
        if floor_gb and (free := bag.free()) < floor_gb * GB:
            bag.close(self._summary())
            self.bags.append(bag.path)
            self._give_up(f"{bag.path}: stopped before the disk is full: {free / GB:.2f} GB are free, disk_floor_gb is {floor_gb:g}")

    def _give_up(self, sentence: str, pending: Mapping[str, int] | None = None) -> None:
        with self._changed:
            for topic, count in (pending or {}).items():  # counted as written, and never on the disk
                lost = min(count, self.counts[topic].written)  # what a file begins with is counted nowhere
                self.counts[topic].written -= lost
                self.counts[topic].dropped += lost
            self.error = sentence
            self._bag = None
            self._drop_all()

    def _see_missed(self) -> None:
        """In the thread: while a bag is open, nobody else touches what files begin with."""
        with self._changed:
            missed, self._missed = self._missed, []
        for each in missed:
            self._kept.see(each.channel, each.cdr, latched=each.latched)

    def _drop_all(self) -> None:
        while self._queue:
            message = self._popped()
            self.counts[message.channel.topic].dropped += 1
            self._miss(message)
