"""`ros2 run depth_perception player --bag B`: plays a bag over DDS as a car would have said it: the bag's own bytes, topics and order.

Bytes go from the bag to DDS without being decoded. Its last line on stdout is JSON: how many messages of which topic were published, and
which topics were left out because their type is not installed. Remap topics as usual: `--ros-args -r /camera/image_raw:=/front/image`.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock

from depth_perception.bag import Bag, guess_topics
from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory, spare_the_collector
from depth_perception.nodes.interrupt import Interrupt, leave_at_once
from depth_perception.nodes.message_types import message_class
from depth_perception.nodes.optional import TFMessage

# A reliable publisher also reaches subscribers that ask for best effort.
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
SETTLE_S = 0.5  # see Player.settle
_LONGEST_NAP_S = 0.05
_LAST_S = 0.2
_A_MOMENT = Duration(nanoseconds=100_000_000)


class Player(Node):
    """Publishers for some topics of a bag, and `play()`.

    topics: the topics to play, besides TF static, which is always played; None: every topic. Those whose message type is not
        installed are left out and named in `missing`.
    exclude: topics that are left out, as a regular expression for their whole name.
    clock_hz: publish the bag's time on /clock so often; 0: not at all. The bag's own /clock is left out then.
    rate: how many times as fast as recorded.
    stamp_now: write the time of publication into the header, for measuring latency; off: the bag's bytes unchanged.
    stopped: asked between any two steps; play ends early when it says so.
    """

    def __init__(
        self,
        bag: Bag,
        topics: Iterable[str] | None,
        *,
        exclude: str = "",
        clock_hz: float = 0.0,
        rate: float = 1.0,
        stamp_now: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__("player")
        self._bag, self._rate, self._stamp_now, self._stopped = bag, rate, stamp_now, stopped
        self._static = [topic for topic in bag.topics if topic.rpartition("/")[2] == "tf_static"]
        self._outputs: dict[str, Any] = {}
        self._stamped: set[str] = set()
        self.published: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        asked = list(bag.topics if topics is None else topics)
        for topic in (*(topic for topic in asked if topic not in self._static), *self._static):  # these last: see `settle`
            if topic not in bag.topics:
                raise BadInput(f"{bag.path}: has no topic {topic} to play, only {', '.join(bag.topics)}")
            if not (topic in self._outputs or re.fullmatch(exclude, topic) or (clock_hz and topic == "/clock")):
                self._offer(topic)
        self._timed = [topic for topic in self._outputs if topic not in self._static]
        self._clock_output = self.create_publisher(Clock, "/clock", QoSProfile(depth=1)) if clock_hz else None
        self._tick_s, self._next_tick = 1 / clock_hz if clock_hz else float("inf"), 0.0
        # Bag time stands at `_start_ns` until `_begun`, a monotonic time, is set.
        self._start_ns, self._begun = bag.start_ns, float("inf")

    def _offer(self, topic: str) -> None:
        type_name, _ = self._bag.topics[topic]
        message_type = message_class(type_name)
        if message_type is None:
            self.missing[topic] = type_name
            return
        is_static = topic in self._static
        latched = is_static or topic in self._bag.latched
        self._outputs[topic] = self.create_publisher(message_type, "/tf_static" if is_static else topic, LATCHED if latched else RELIABLE)
        self.published[topic] = 0
        if self._stamp_now and next(iter(message_type.get_fields_and_field_types().values()), "") == "std_msgs/Header":
            self._stamped.add(topic)

    def wait_for_subscribers(self, topics: Iterable[str], count: int, timeout_s: float) -> None:
        """Returns when so many listen to each of these topics; a message sent before that would be lost. Raises BadInput."""
        for topic in topics:
            if topic not in self._outputs:
                raise BadInput(f"--wait-for: {topic} is not among the topics played, {', '.join(self._outputs) or 'none'}")
        end = time.monotonic() + timeout_s
        while silent := [topic for topic in topics if self._outputs[topic].get_subscription_count() < count]:
            if time.monotonic() > end:
                who = "nobody" if count == 1 else f"fewer than {count}"
                raise BadInput(f"{who} subscribed to {', '.join(silent)} within {timeout_s:g} s")
            if self._stopped():
                return
            self.wait(_LONGEST_NAP_S)

    def wait_for_nodes(self, topics: Iterable[str], nodes: Iterable[str], timeout_s: float) -> None:
        """Returns when a node of each of these names listens to each of these topics, whoever else does. Raises BadInput."""
        end = time.monotonic() + timeout_s
        while deaf := [f"{node} to {topic}" for topic in topics for node in set(nodes) - self._listeners(topic)]:
            if time.monotonic() > end:
                raise BadInput(f"not listening after {timeout_s:g} s: {', '.join(sorted(deaf))}")
            if self._stopped():
                return
            self.wait(_LONGEST_NAP_S)

    def _listeners(self, topic: str) -> set[str]:
        return {info.node_name for info in self.get_subscriptions_info_by_topic(topic)}

    def prepare(self, *, start_offset_s: float = 0.0) -> None:
        """Finds where to begin and sends TF static; the clock stands there from now on, as often as something waits."""
        first_ns = next((log_ns for _, _, log_ns, _ in self._bag.messages(self._timed)), None)
        if first_ns is not None:
            self._start_ns = first_ns + round(start_offset_s * 1e9)
        if first_ns is None or self._start_ns > self._bag.end_ns:
            raise BadInput(f"{self._bag.path}: nothing to play on {', '.join(self._timed) or 'any topic'} from {start_offset_s:g} s on")
        self._send_static()

    def settle(self) -> None:
        """Until those who listen know all outputs, so that the first image overtakes neither TF static nor their discovery of this process.

        DDS does not tell who knows a best-effort output. But outputs become known in the order in which they were made, and TF static, made
        last, is acknowledged. A bag without TF static has nothing but time.
        """
        acknowledged = [self._outputs[topic] for topic in self._static if topic in self._outputs]
        self.wait(SETTLE_S if acknowledged else 2 * SETTLE_S)
        end = time.monotonic() + 2.0
        for output in acknowledged:
            while not self._stopped() and time.monotonic() < end and not output.wait_for_all_acked(_A_MOMENT):
                pass

    def play(self, *, duration_s: float = float("inf")) -> None:
        """All messages at their time, once, from where `prepare` put the beginning."""
        self._begun, self._next_tick = time.monotonic(), 0.0
        for topic, _, stamp_ns, raw in self._bag.messages(self._timed, self._start_ns):
            since_s = (stamp_ns - self._start_ns) * 1e-9
            if since_s > duration_s:
                break
            self.wait(self._begun + since_s / self._rate - time.monotonic(), stamp_ns)
            if self._stopped():
                break
            self._send(topic, raw)
        else:
            self._tell(self._bag.end_ns)
        self._begun = float("inf")

    def wait(self, seconds: float, next_ns: int | None = None) -> None:
        """Until so much later, or stopped; the clock runs on, but never past the next message."""
        end = time.monotonic() + seconds
        while not self._stopped():
            now = time.monotonic()
            if now >= self._next_tick:
                now_ns = self._start_ns + round(max(0.0, now - self._begun) * self._rate * 1e9)
                self._tell(now_ns if next_ns is None else min(now_ns, next_ns))
                self._next_tick = now + self._tick_s
            if now >= end:
                return
            time.sleep(min(end - now, max(self._next_tick - now, 0.0), _LONGEST_NAP_S))

    def finish(self) -> None:
        """Gives subscribers a moment to take what was sent last. Those that ask for best effort acknowledge nothing, and shared memory
        goes with this process: for them it stays a little longer."""
        end = time.monotonic() + 2.0
        for output in self._outputs.values():
            while not self._stopped() and time.monotonic() < end and not output.wait_for_all_acked(_A_MOMENT):
                pass
        time.sleep(0.0 if self._stopped() else _LAST_S)

    def _tell(self, time_ns: int) -> None:
        if self._clock_output is not None:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(time_ns, 1_000_000_000)
            self._clock_output.publish(message)

    def _send_static(self) -> None:
        topics = [topic for topic in self._static if topic in self._outputs]
        messages = [(topic, raw) for topic, _, _, raw in self._bag.messages(topics)]
        if len(messages) > 1:
            messages = [(messages[0][0], self._merged([raw for _, raw in messages]))]
        for topic, raw in messages:
            self._outputs[topic].publish(raw)
            self.published[topic] += 1

    def _merged(self, messages: list[bytes]) -> bytes:
        """All links in one message; a link that is told again replaces what was told before."""
        links: dict[str, Any] = {}
        for raw in messages:
            try:
                links |= {link.child_frame_id: link for link in deserialize_message(raw, TFMessage).transforms}
            except Exception as error:  # whatever damaged bytes do to the deserialiser
                self.get_logger().warning(f"a message of TF static cannot be read ({type(error).__name__})")
        return serialize_message(TFMessage(transforms=list(links.values())))

    def _send(self, topic: str, raw: bytes) -> None:
        if topic in self._stamped:
            # CDR: four bytes of encapsulation, then the header's stamp (seconds, nanoseconds).
            order = "<" if raw[1] & 1 else ">"
            stamp = struct.pack(f"{order}iI", *divmod(time.time_ns(), 1_000_000_000))
            raw = b"".join((raw[:4], stamp, memoryview(raw)[12:]))
        self._outputs[topic].publish(bytes(raw))
        self.published[topic] += 1


def summary(bag: Bag) -> dict[str, Any]:
    """What a launch file wants to know of a bag: its camera, CameraInfo and LiDAR (None where it has none), and all its topics."""
    topics = guess_topics(bag)
    return {
        "image": topics.image,
        "compressed": bag.topics[topics.image][0].endswith("CompressedImage"),
        "camera_info": topics.camera_info,
        "points": topics.points,
        "start_ns": bag.start_ns,
        "end_ns": bag.end_ns,
        "topics": bag.topics,
    }


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="player", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", required=True, help="rosbag2 directory, .mcap or .db3")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="only these (and TF static); default: every topic")
    parser.add_argument("--exclude", default="", metavar="REGEX", help="not these: matches the whole name")
    parser.add_argument("--clock", type=float, nargs="?", const=100.0, default=0.0, metavar="HZ", help="publish /clock (default 100 Hz)")
    parser.add_argument("--rate", type=float, default=1.0, help="how many times as fast as recorded")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until interrupted")
    parser.add_argument("--start-offset", type=float, default=0.0, metavar="S", help="begin so long after the first message, seconds")
    parser.add_argument("--duration", type=float, default=float("inf"), metavar="S", help="end so long after that, seconds of the bag")
    parser.add_argument("--delay", type=float, default=0.0, metavar="S", help="wait before the first message, seconds")
    parser.add_argument("--wait-for", nargs="+", default=[], metavar="TOPIC", help="start when somebody listens to each of these topics")
    parser.add_argument("--wait-count", type=int, default=1, metavar="N", help="when so many listen to each of them")
    parser.add_argument("--wait-for-nodes", nargs="+", default=[], metavar="NODE", help="when each of these nodes listens to each of them")
    parser.add_argument("--wait-timeout", type=float, default=30.0, metavar="S", help="how long to wait for them, seconds")
    parser.add_argument("--stamp-now", action="store_true", help="headers carry the time of publication, for measuring latency")
    parser.add_argument("--list", action="store_true", help="play nothing: print as JSON what the bag holds")
    args = parser.parse_args(remove_ros_args(["player", *(sys.argv[1:] if argv is None else argv)])[1:])
    for name, least in (("clock", 0), ("rate", 1e-3), ("start_offset", 0), ("delay", 0), ("wait_count", 1), ("wait_timeout", 0)):
        if not least <= getattr(args, name) <= 1e6:
            raise BadInput(f"--{name.replace('_', '-')}: wanted a number from {least:g} to 1e6, got {getattr(args, name):g}")
    if not args.duration > 0:
        raise BadInput(f"--duration: wanted seconds above 0, got {args.duration:g}")
    try:
        re.compile(args.exclude)
    except re.error as error:
        raise BadInput(f"--exclude: {args.exclude!r} is no regular expression ({error})") from None
    return args


def main(argv: list[str] | None = None) -> int:
    """Plays, then prints one JSON line of what was published. 0: played, or interrupted; 2: bad input."""
    leave_at_once()
    keep_freed_memory()
    try:
        args = _arguments(argv)
        bag = Bag(args.bag)
        if args.list:
            print(json.dumps(summary(bag)), flush=True)
            return 0
        interrupt = Interrupt()
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        player = Player(
            bag,
            args.topics,
            exclude=args.exclude,
            clock_hz=args.clock,
            rate=args.rate,
            stamp_now=args.stamp_now,
            stopped=lambda: interrupt.came,
        )
        for sentence in (*bag.skipped, *_left_out(player.missing)):
            player.get_logger().warning(sentence)
        player.prepare(start_offset_s=args.start_offset)
        player.wait_for_subscribers(args.wait_for, args.wait_count, args.wait_timeout)
        player.wait_for_nodes(args.wait_for, args.wait_for_nodes, args.wait_timeout)
        spare_the_collector()
        player.settle()
        player.wait(args.delay)
        player.play(duration_s=args.duration)
        while args.loop and not interrupt.came:
            player.play(duration_s=args.duration)
        player.finish()
        print(json.dumps({"published": player.published, "missing": player.missing}), flush=True)
        return 0
    except (BadInput, ParameterException, InvalidParameterTypeException, rcl.RCLError) as error:
        print(f"player: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()


def _left_out(missing: dict[str, str]) -> list[str]:
    listing = ", ".join(f"{topic} ({type_name})" for topic, type_name in missing.items())
    return [f"left out, for their types are not installed: {listing}"] if missing else []


if __name__ == "__main__":
    raise SystemExit(main())
