"""Plays a bag over DDS as a car would have said it: the bag's own bytes, topics and order, honouring stamps and rate.

Bytes go from the bag to DDS without being decoded. Run as its own process: `python -m depth_perception.nodes.player --bag B`.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Iterable
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from depth_perception.bag import Bag
from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory, spare_the_collector
from depth_perception.nodes.optional import TFMessage

RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class Player(Node):
    """Publishers for some topics of a bag, and `play()`.

    topics: the topics to play, besides TF static, which is always played; those whose message type is not installed
        are left out and named in `missing`.
    stamp_now: write the time of publication into the header, for measuring latency; off: the bag's bytes unchanged.
    """

    def __init__(self, bag: Bag, topics: Iterable[str], *, stamp_now: bool = False) -> None:
        super().__init__("player")
        self._bag, self._stamp_now = bag, stamp_now
        self._outputs: dict[str, Any] = {}
        self.published: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        self._static = [name for name, (type_name, _) in bag.topics.items() if name.rpartition("/")[2] == "tf_static"]
        for topic in (*topics, *self._static):
            if topic not in bag.topics:
                raise BadInput(f"{bag.path}: has no topic {topic} to play, only {', '.join(bag.topics)}")
            type_name, _ = bag.topics[topic]
            message_type = _message_type(type_name)
            if message_type is None:
                self.missing[topic] = type_name
                continue
            is_static = topic in self._static
            name, qos = ("/tf_static", LATCHED) if is_static else (topic, RELIABLE)
            self._outputs[topic] = self.create_publisher(message_type, name, qos)
            self.published[topic] = 0

    def wait_for_subscriber(self, topic: str, timeout_s: float) -> bool:
        """Whether somebody listens to `topic` within the time; a message sent before that would be lost."""
        end = time.monotonic() + timeout_s
        while self._outputs[topic].get_subscription_count() == 0:
            if time.monotonic() > end:
                return False
            rclpy.spin_once(self, timeout_sec=0.05)
        return True

    def play(self, *, rate: float) -> None:
        """All messages at their time: TF static first, the rest `rate` times as fast as recorded."""
        static = [topic for topic in self._outputs if topic in self._static]
        for topic, _, _, raw in self._bag.messages(topics=static) if static else ():
            self._send(topic, raw)
        # The first image must not overtake TF static, nor the subscribers' own discovery of this process, which DDS does not tell.
        time.sleep(0.5)
        begun, first_ns = time.monotonic(), None
        for topic, _, stamp_ns, raw in self._bag.messages(topics=[topic for topic in self._outputs if topic not in static]):
            first_ns = stamp_ns if first_ns is None else first_ns
            wait = begun + (stamp_ns - first_ns) * 1e-9 / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self._send(topic, raw)

    def _send(self, topic: str, raw: bytes) -> None:
        if self._stamp_now and topic not in self._static:
            # CDR: four bytes of encapsulation, then the header's stamp (seconds, nanoseconds).
            order = "<" if raw[1] & 1 else ">"
            stamp = struct.pack(f"{order}iI", *divmod(time.time_ns(), 1_000_000_000))
            raw = b"".join((raw[:4], stamp, memoryview(raw)[12:]))
        self._outputs[topic].publish(bytes(raw))
        self.published[topic] += 1


def _message_type(type_name: str) -> Any:
    """The Python class of `package/msg/Name`, or None where its package is not installed."""
    import importlib

    package, _, name = type_name.split("/")
    if type_name == "tf2_msgs/msg/TFMessage":
        return TFMessage
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name, None)
    except ImportError:
        return None


def main(argv: list[str] | None = None) -> int:
    """Plays, then prints one JSON line of what was published."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bag", required=True)
    parser.add_argument("--topics", nargs="+", required=True)
    parser.add_argument("--wait-for", help="start when somebody listens to this topic")
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--stamp-now", action="store_true")
    args = parser.parse_args(argv)
    keep_freed_memory()
    rclpy.init()
    try:
        player = Player(Bag(args.bag), args.topics, stamp_now=args.stamp_now)
        if args.wait_for and not player.wait_for_subscriber(args.wait_for, 30.0):
            raise BadInput(f"nobody subscribed to {args.wait_for} within 30 s")
        spare_the_collector()
        player.play(rate=args.rate)
        for output in player._outputs.values():
            output.wait_for_all_acked(rclpy.duration.Duration(seconds=2))
        print(json.dumps({"published": player.published, "missing": player.missing}), flush=True)
        return 0
    except BadInput as error:
        print(f"player: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    raise SystemExit(main())
