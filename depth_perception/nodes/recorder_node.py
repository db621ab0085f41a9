"""`ros2 run depth_perception recorder_node`: topics -> a rosbag2 directory, as serialised bytes, with every drop counted."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory
from depth_perception.nodes import encode
from depth_perception.nodes.interrupt import Interrupt, leave_at_once
from depth_perception.nodes.message_types import definition, message_class
from depth_perception.nodes.parameters import NEVER, described_as
from depth_perception.record import QueuedWriter

_LOOK_S, _REPORT_S, _PATIENCE_S, _CLOSE_S = 0.2, 1.0, 2.0, 1.2
# How many messages of a topic DDS keeps for this node while it is busy.
_DEPTH = 100


class _Topic(NamedTuple):
    type_name: str
    reliable: bool
    latched: bool
    subscription: Any


class Recorder(Node):
    """Subscribes to what is published, hands the bytes to a `QueuedWriter`, and says once a second how it goes.

    Messages are stamped by the node's clock; under sim time recording begins with the first /clock, so that a bag has one time.

    Attributes:
        failed: nothing can be written any more.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        path = self._declare("path", "", "Directory of the new bag; empty: drive_ and the time, in the current directory.")
        topics = self._declare("topics", [""], "Topics to record; none, or an empty name: every topic whose type is installed.")
        self._exclude = self._declare("exclude", "", "Topics that are not recorded: a regular expression for the whole name.")
        queue_mb = self._declare("queue_mb", 256, "Megabytes that may wait for the disk; what comes on top is dropped.", (1, 65536))
        try:
            re.compile(self._exclude)
        except re.error as error:
            raise BadInput(f"exclude: {self._exclude!r} is no regular expression ({error})") from None
        self._listed = [self.resolve_topic_name(topic) for topic in topics if topic]
        self._topics: dict[str, _Topic] = {}
        self._lost: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._named: set[str] = set()
        self._gone_before = 0
        self._begun = time.monotonic()
        folder = Path(path or time.strftime("drive_%Y_%m_%d-%H_%M_%S")).expanduser()
        self._writer = QueuedWriter(folder, queue_bytes=queue_mb * 1_000_000)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # sim time may stand still; looking and reporting must not
        self.create_timer(_LOOK_S, self._look, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)
        self.get_logger().info(f"recording into {folder}")

    @property
    def failed(self) -> bool:
        return bool(self._writer.error)

    def close(self) -> bool:
        """Finishes the bag within the time that a signal leaves, and says what became of it; False: it could not be finished."""
        whole = self._writer.close(_CLOSE_S)
        counts = self._writer.counts
        written = sum(count.written for count in counts.values())
        dropped = {topic: count.dropped + self._lost[topic] for topic, count in counts.items()}
        gone = ", ".join(f"{count} of {topic}" for topic, count in dropped.items() if count) or "none"
        say = self.get_logger().info if whole and gone == "none" else self.get_logger().warning
        say(f"{self._writer.error or self._writer.path}: {written} messages of {len(counts)} topics written; not recorded: {gone}")
        return whole

    def _declare(self, name: str, default: Any, meaning: str, limits: tuple[float, float] | None = None) -> Any:
        return self.declare_parameter(name, default, described_as(meaning, NEVER, limits, default)).value

    def _look(self) -> None:
        """Subscribes to what has appeared, and anew where publishers now offer something else."""
        if self._now() == 0:
            return
        for topic, types in self.get_topic_names_and_types():
            if self._is_wanted(topic):
                self._follow(topic, types)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _is_wanted(self, topic: str) -> bool:
        hidden = "/_" in topic
        return (topic in self._listed if self._listed else not hidden) and not re.fullmatch(self._exclude, topic)

    def _follow(self, topic: str, types: list[str]) -> None:
        offers = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
        if not offers:
            return
        if len(types) > 1:
            self._name(f"{topic} has several types, {', '.join(types)}: not recorded")
            return
        # A subscription that asks for more than a publisher offers gets nothing from it.
        reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
        latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
        known = self._topics.get(topic)
        if known is not None and known[:3] == (types[0], reliable, latched):
            return
        message_type = message_class(types[0])
        if message_type is None:
            self._name(f"{topic} is {types[0]}, which is not installed: not recorded")
            return
        try:
            self._writer.add_topic(topic, types[0], definition=definition(types[0]), reliable=reliable, latched=latched)
        except BadInput as error:
            self._name(f"{error}: not recorded")
            return
        if known is not None:
            self.destroy_subscription(known.subscription)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        subscription = self.create_subscription(message_type, topic, partial(self._on_message, topic), qos, raw=True)
        self._topics[topic] = _Topic(types[0], reliable, latched, subscription)

    def _on_message(self, topic: str, cdr: bytes, info: dict[str, Any]) -> None:
        self._writer.put(topic, cdr, self._now())
        # Publishers count what they send. With one of them, a gap is what DDS lost, or overwrote before this node came to take it.
        number = info["publication_sequence_number"]
        if number is not None:
            missing = number - self._numbers.get(topic, number - 1) - 1
            if missing > 0 and self._topics[topic].subscription.get_publisher_count() == 1:
                self._lost[topic] += missing
            self._numbers[topic] = number

    def _name(self, sentence: str) -> None:
        """Says something once."""
        if sentence not in self._named:
            self._named.add(sentence)
            self.get_logger().warning(sentence)

    def _report(self) -> None:
        counts = dict(self._writer.counts)
        gone = sum(count.dropped for count in counts.values()) + self._lost.total()
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name()}: recording", level=DiagnosticStatus.WARN)
        silent = [topic for topic in self._listed if topic not in self._topics]
        if self._writer.error:
            status.level, status.message = DiagnosticStatus.ERROR, self._writer.error
        elif gone > self._gone_before:
            status.message = f"{gone - self._gone_before} messages not recorded since the last report"
        elif self._now() == 0:
            status.message = "waiting for /clock, use_sim_time is true"
        elif silent and time.monotonic() - self._begun > _PATIENCE_S:
            status.message = f"nobody publishes {', '.join(silent)}"
        else:
            status.level, status.message = DiagnosticStatus.OK, f"recording {len(counts)} topics"
        if status.level == DiagnosticStatus.WARN:
            self._name(status.message)
        self._gone_before = gone
        values = {
            "path": self._writer.path,
            "queue_mb": f"{self._writer.queued_bytes / 1e6:.1f}",
            "disk_free_gb": f"{shutil.disk_usage(self._writer.path).free / 1e9:.1f}",
        }
        for topic, count in counts.items():
            values |= {
                f"{topic} received": count.received,
                f"{topic} written": count.written,
                f"{topic} dropped": count.dropped,
                f"{topic} lost": self._lost[topic],
            }
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._diagnostics.publish(DiagnosticArray(header=encode.header(self._now(), ""), status=[status]))


def main(argv: list[str] | None = None) -> int:
    """Records until a signal comes. 0: the bag is whole; 1: it could not be finished, what is in it can be read; 2: bad input."""
    leave_at_once()
    keep_freed_memory()
    interrupt = Interrupt(last_resort=1)
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        recorder = Recorder()
    except (BadInput, ParameterException, InvalidParameterTypeException, rcl.RCLError) as error:
        print(f"recorder_node: {' '.join(str(error).split())}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    try:
        while not (interrupt.came or recorder.failed):
            executor.spin_once(timeout_sec=_LOOK_S)
    finally:
        whole = recorder.close()
        rclpy.try_shutdown()
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
