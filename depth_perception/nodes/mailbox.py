"""A mailbox that holds the newest item only, and counts what it dropped."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One producer, one consumer. An item nobody fetched in time is replaced: a car wants the present, not a queue."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._ready = True
        self._closed = False
        self.put_count = 0
        self.dropped = 0

    def put(self, item: T) -> None:
        """Replaces what lies there."""
        with self._condition:
            self.put_count += 1
            self.dropped += self._item is not None
            self._item = item
            self._condition.notify()

    def hold(self) -> None:
        """Items wait inside until `release`."""
        with self._condition:
            self._ready = False

    def release(self) -> None:
        """Items may be taken."""
        with self._condition:
            self._ready = True
            self._condition.notify()

    def get(self) -> T | None:
        """Waits for an item and takes it; None when closed."""
        with self._condition:
            self._condition.wait_for(lambda: (self._ready and self._item is not None) or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Ends every wait."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
