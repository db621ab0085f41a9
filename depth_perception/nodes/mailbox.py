"""A mailbox that holds the newest item only, and counts what it dropped."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One producer, one consumer. An item nobody fetched in time is replaced: a car wants the present, not a queue."""

    def __init__(self, *, patience_s: float = 0.03) -> None:
        self._patience_s = patience_s
        self._condition = threading.Condition()
        self._item: T | None = None
        self._ready = True
        self._quiet = True
        self._closed = False
        self.put_count = 0
        self.dropped = 0

    def put(self, item: T) -> None:
        """Replaces what lies there, and keeps still until the consumer says `served`, for `patience_s` at most.

        The producer takes messages: were it to go on at once, both threads would want the interpreter, and the newest image would wait
        a millisecond or two for the next scan.
        """
        with self._condition:
            self.put_count += 1
            self.dropped += self._item is not None
            self._item = item
            self._quiet = False
            self._condition.notify()
            if self._ready:
                self._condition.wait_for(lambda: self._quiet or self._closed, timeout=self._patience_s)

    def hold(self) -> None:
        """Items wait inside until `release`."""
        with self._condition:
            self._ready = False

    def release(self) -> None:
        """Items may be taken."""
        with self._condition:
            self._ready = True
            self._condition.notify()

    @property
    def closed(self) -> bool:
        """Whether every wait has ended for good."""
        return self._closed

    def get(self, timeout_s: float | None = None) -> T | None:
        """Waits for an item and takes it; None when closed, or when none came in time."""
        with self._condition:
            self._condition.wait_for(lambda: (self._ready and self._item is not None) or self._closed, timeout_s)
            item, self._item = self._item, None
            return None if self._closed else item

    def served(self) -> None:
        """The consumer's urgent part is done: the producer may go on, unless the next item waits already, whose urgent part is to come."""
        with self._condition:
            self._quiet = self._item is None
            self._condition.notify_all()

    def wait_until_served(self) -> None:
        """Waits while the consumer is at its urgent part, for `patience_s` at most."""
        with self._condition:
            self._condition.wait_for(lambda: self._quiet or self._closed, timeout=self._patience_s)

    def close(self) -> None:
        """Ends every wait."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
