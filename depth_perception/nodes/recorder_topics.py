"""What a recorder subscribes to: whatever is published, with the QoS that it is offered with, as bytes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from depth_perception.frame import BadInput
from depth_perception.nodes.message_types import definition, message_class
from depth_perception.record import Recording
from depth_perception.record.health import TopicHealth
from depth_perception.record.pace import begins_with_header, stamp_ns

# How many messages of a topic DDS keeps for this node while it is busy: half a second of images, seconds of what is small.
LARGE = {f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "PointCloud2")}
_LARGE_DEPTH, _DEPTH = 20, 1000
_PATIENCE_S, _PERIODS = 2.0, 5.0


class _Topic(NamedTuple):
    type_name: str
    reliable: bool
    latched: bool
    has_stamp: bool
    subscription: Any


class Topics:
    """Subscribes to what appears, and anew where publishers now offer something else; counts what comes.

    Args:
        listed: resolved names of the topics to record; empty: every topic but hidden ones.
        exclude: a regular expression for whole names that are not recorded.
        clock: log time in ns.
    Attributes:
        health: topic -> counts, losses and pace.
    """

    def __init__(self, node: Node, recording: Recording, *, listed: Sequence[str], exclude: str, clock: Callable[[], int]) -> None:
        self._node, self._recording, self._listed, self._clock = node, recording, list(listed), clock
        try:
            self._exclude = re.compile(exclude)
        except re.error as error:
            raise BadInput(f"exclude: {exclude!r} is no regular expression ({error})") from None
        self.health: dict[str, TopicHealth] = {}
        self._topics: dict[str, _Topic] = {}
        self._numbers: dict[str, int] = {}
        self._publishers: dict[str, int] = {}
        self._named: set[str] = set()
        self._since_s = time.monotonic()

    def __len__(self) -> int:
        return len(self._topics)

    def look(self) -> None:
        """Follows what is published now."""
        for topic, _ in self._node.get_topic_names_and_types():
            hidden = "/_" in topic
            if (topic in self._listed if self._listed else not hidden) and not self._exclude.fullmatch(topic):
                self._follow(topic)

    def notes(self) -> list[str]:
        """Which topics should come and do not, and why, as far as that can be told."""
        now_s = time.monotonic()
        unpublished = [topic for topic in self._listed if topic not in self._topics]
        found = [f"nobody publishes {', '.join(unpublished)}"] if unpublished and now_s - self._since_s > _PATIENCE_S else []
        for topic, health in self.health.items():
            silent_s = now_s - health.heard_s
            regular = health.pace.period_s is not None
            unheard = topic in self._listed and not health.counts.received and not self._topics[topic].latched
            if silent_s > max(_PATIENCE_S, _PERIODS * (health.pace.period_s or 0.0)) and (regular or unheard):
                found.append(f"no message on {topic} for {int(silent_s)} s: {self._reason(topic)}")
        return found

    def stalled(self, longer_than_s: float) -> list[str]:
        """Topics that came regularly and have not for so long."""
        now_s = time.monotonic()
        return [topic for topic, health in self.health.items() if health.pace.period_s and now_s - health.heard_s > longer_than_s]

    def once(self, sentence: str) -> None:
        """Says something once, however its numbers go on."""
        kind = re.sub(r"\d+(\.\d+)?", "N", sentence)
        if kind not in self._named:
            self._named.add(kind)
            self._node.get_logger().warning(sentence)

    def _reason(self, topic: str) -> str:
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return "nobody publishes it any more"
        names = sorted({f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in publishers})
        return (f"{', '.join(names)} still offers it: paused, or large messages are lost on the way "
                "(both ends need config/fastdds.xml)?")

    def _follow(self, topic: str) -> None:
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return
        offers = [info.qos_profile for info in publishers]
        types = sorted({info.topic_type for info in publishers})  # of who publishes: who listens, we too, may mean another one
        if self._publishers.get(topic) != len(publishers):
            self._publishers[topic] = len(publishers)
            self._numbers.pop(topic, None)  # another publisher counts by itself
        if len(types) > 1:
            self.once(f"{topic} has several types, {', '.join(types)}: not recorded")
            return
        # A subscription that asks for more than a publisher offers gets nothing from it.
        reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
        latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
        known = self._topics.get(topic)
        if known is not None and known[:3] == (types[0], reliable, latched):
            return
        message_type = message_class(types[0])
        if message_type is None:
            self.once(f"{topic} is {types[0]}, which is not installed: not recorded")
            return
        text = definition(types[0])
        try:
            self._recording.add_topic(topic, types[0], definition=text, reliable=reliable, latched=latched)
        except BadInput as error:
            self.once(f"{error}: not recorded")
            return
        if known is not None:
            self._node.destroy_subscription(known.subscription)
            self._numbers.pop(topic, None)
        self.health.setdefault(topic, TopicHealth(self._recording.counts[topic], heard_s=time.monotonic()))
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_LARGE_DEPTH if types[0] in LARGE else _DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        subscription = self._node.create_subscription(message_type, topic, partial(self._on_message, topic), qos, raw=True)
        self._topics[topic] = _Topic(types[0], reliable, latched, begins_with_header(text), subscription)

    def _on_message(self, topic: str, cdr: bytes, info: dict[str, Any]) -> None:
        log_ns, health, known = self._clock(), self.health[topic], self._topics[topic]
        self._recording.put(topic, cdr, log_ns)
        health.heard_s = time.monotonic()
        if not known.latched:
            health.pace.see((stamp_ns(cdr) if known.has_stamp else None) or log_ns)
        # Publishers count what they send. With one of them, a gap is what DDS lost, or overwrote before this node came to take it.
        number = info["publication_sequence_number"]
        if number is not None:
            missing = number - self._numbers.get(topic, number - 1) - 1
            if missing > 0 and known.subscription.get_publisher_count() == 1:
                health.lost += missing
            self._numbers[topic] = number
