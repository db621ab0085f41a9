"""Sensors on a thread of their own.

rclpy's executor gathers every timer, service and parameter of a node anew before each message, and the image waits for that. Here one
wait set holds a few subscriptions, as `rclpy.wait_for_message` has one, and what comes is handed on at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.node import Node
from rclpy.subscription import Subscription

LOOK_UP_NS = 500_000_000  # how often it looks whether ROS has been shut down under it


class Apart(ReentrantCallbackGroup):
    """What the executor leaves alone: messages, and events as well. An event waits on its subscription, which is ready as long as a message
    lies there that the executor does not take: it would turn round and round."""

    def can_execute(self, entity: object) -> bool:
        """Never."""
        return False


class Listener:
    """Takes messages and events of some subscriptions, made in a group `Apart`, until `close`.

    Args:
        takes: each subscription, and what takes one message out of it and deals with it; of those that are ready at the same time the
            first comes first.
        failed: told of what a `take` raises; the thread goes on.
    """

    def __init__(
        self, node: Node, takes: Sequence[tuple[Subscription, Callable[[], None]]], *, failed: Callable[[Exception], None]
    ) -> None:
        self._context, self._takes, self._failed = node.context, takes, failed
        self._events: list[Any] = [event for subscription, _ in takes for event in subscription.event_handlers]  # type: ignore[attr-defined]
        self._closed, self._pause = False, threading.Event()
        self._guard = GuardCondition(None, None, context=node.context)
        self._thread = threading.Thread(target=self._listen, name="sensors", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, after the message at hand."""
        self._closed = True
        self._pause.set()
        self._guard.trigger()
        self._thread.join()
        self._guard.destroy()

    def _listen(self) -> None:
        while not self._closed and self._context.ok():
            try:
                self._serve()
            except Exception as error:  # whatever it is, a car that has gone deaf is worse
                if self._closed or not self._context.ok():
                    return
                self._failed(error)
                self._pause.wait(0.1)

    def _serve(self) -> None:
        """Waits and takes, with one wait set, until closed or shut down."""
        with self._context.handle:
            wait_set = rcl.WaitSet(len(self._takes), 1, 0, 0, 0, len(self._events), self._context.handle)
        while not self._closed and self._context.ok():
            wait_set.clear_entities()
            for subscription, _ in self._takes:
                wait_set.add_subscription(subscription.handle)
            wait_set.add_guard_condition(self._guard.handle)
            for event in self._events:
                event.add_to_wait_set(wait_set)
            wait_set.wait(LOOK_UP_NS)
            ready = wait_set.get_ready_entities("subscription")
            happened = [event for event in self._events if event.is_ready(wait_set)]
            for subscription, take in self._takes:
                if subscription.handle.pointer in ready and not self._closed:
                    self._guarded(take)
            for event in happened:
                self._guarded(lambda event=event: self._tell(event))  # type: ignore[misc]

    @staticmethod
    def _tell(event: Any) -> None:
        if (said := event.take_data()) is not None:
            event.callback(said)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # a defect of ours costs a message, not the drive
            if self._context.ok():
                self._failed(error)
