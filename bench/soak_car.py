"""The camera and the LiDAR of `bench.soak`, a process of its own.

    python -m bench.soak_car BAG RATE SECONDS MINUTE_S REPORT
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# When in a minute the sensors are silent, as shares of it: [from, to).
CAMERA_SILENT, LIDAR_SILENT = (0.30, 0.38), (0.60, 0.70)
SETTLE_S = 1.0
# A driver's topics, and when it is silent.
DRIVERS = ((("camera_info", "image"), CAMERA_SILENT), (("points",), LIDAR_SILENT))


def yardstick(values: np.ndarray) -> float:
    """How long the same few milliseconds of work take now, ms: a machine whose speed wanders makes a node's latency wander as well."""
    begun = time.perf_counter()
    np.sort(values)
    return (time.perf_counter() - begun) * 1e3


def is_there(minute: float, share: float, silent: tuple[float, float]) -> bool:
    """Whether a driver runs at this share of a minute. In every second of its silences it ends, and another one starts halfway through:
    what that sent before the node has found it would be lost, and nobody's fault."""
    return not (minute % 2 and silent[0] <= share < sum(silent) / 2)


def follow(minute: float, share: float, publishers: dict[str, Any], *, make: Callable[[str], Any], end: Callable[[Any], object]) -> int:
    """Ends and makes the publishers of drivers that end and start now; how many drivers ended."""
    ended = 0
    for names, silent in DRIVERS:
        runs = is_there(minute, share, silent)
        ended += not runs and names[0] in publishers
        for name in names:
            if not runs and name in publishers:
                end(publishers.pop(name))
            elif runs and name not in publishers:
                publishers[name] = make(name)
    return ended


def play(bag: str, *, rate: float, seconds: float, minute_s: float, report: Path) -> None:
    """The sensors; writes {"images": [stamp ns], "scans", "restarts", "begun_ns", "late_ms_p99", "yardstick": [[ns, ms]]} when it
    ends, and stays until SIGINT.

    minute_s: how long a minute is, in whose course the sensors fall silent; 0: they never do. While the camera is silent the yardstick is
    laid to the machine instead, as often as images would come.
    """
    import rclpy
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from rclpy.signals import SignalHandlerOptions

    from depth_perception.bag import Bag, guess_topics
    from depth_perception.nodes.interrupt import Interrupt
    from depth_perception.nodes.message_types import message_class
    from depth_perception.nodes.player import LATCHED

    source = Bag(bag)
    topics = guess_topics(source)
    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    sensor = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    node, latched = rclpy.create_node("car"), {}
    names = {str(topics.image): "image", str(topics.camera_info): "camera_info", str(topics.points): "points"}
    kinds = {name: message_class(source.topics[topic][0]) for topic, name in names.items()}

    def make(name: str) -> Any:
        return node.create_publisher(kinds[name], name, sensor)

    publishers = {name: make(name) for name in kinds}
    said: dict[str, list[bytearray]] = {name: [] for name in publishers}
    for topic, _, _, raw in source.messages(list(names)):
        said[names[topic]].append(bytearray(raw))
    for topic, kind, _, raw in source.messages([topic for topic in source.topics if topic.rpartition("/")[2] == "tf_static"]):
        if topic not in latched:
            latched[topic] = node.create_publisher(message_class(kind), "/tf_static", LATCHED)
        latched[topic].publish(bytes(raw))
    while not interrupt.came and not all(publisher.get_subscription_count() for publisher in publishers.values()):
        time.sleep(0.05)
    time.sleep(SETTLE_S)  # the node may have met us before we have met it
    stamps, late, scans, restarts, number, lengths = [], [], 0, 0, 0, []
    values = np.random.default_rng(0).random(60_000)
    begun, begun_ns = time.monotonic(), time.time_ns()
    while not interrupt.came and (due := number / rate) < seconds:
        time.sleep(max(begun + due - time.monotonic(), 0))
        minute, share = divmod(due / minute_s, 1) if minute_s else (0.0, 0.0)
        now_ns = time.time_ns()

        def send(name: str, i: int, now_ns: int = now_ns) -> None:
            raw = said[name][i % len(said[name])]
            struct.pack_into("<iI", raw, 4, *divmod(now_ns, 10**9))  # CDR: the stamp comes after four bytes of encapsulation
            publishers[name].publish(bytes(raw))

        restarts += follow(minute, share, publishers, make=make, end=node.destroy_publisher)
        if number % 3 == 0 and not LIDAR_SILENT[0] <= share < LIDAR_SILENT[1]:
            send("points", number // 3)
            scans += 1
        if not CAMERA_SILENT[0] <= share < CAMERA_SILENT[1]:
            send("camera_info", number)
            now_ns = time.time_ns()
            send("image", number, now_ns)
            stamps.append(now_ns)
            late.append((time.monotonic() - begun - due) * 1e3)
        else:
            lengths.append([now_ns, yardstick(values)])
        number += 1
    report.write_text(json.dumps({"images": stamps, "scans": scans, "restarts": restarts, "begun_ns": begun_ns,
                                  "late_ms_p99": float(np.percentile(late, 99)), "yardstick": lengths}))
    while not interrupt.came:  # who stays is not missed: the last images are still on their way
        time.sleep(0.05)
    rclpy.try_shutdown()


if __name__ == "__main__":
    bag, rate, seconds, minute_s, report = sys.argv[1:]
    play(bag, rate=float(rate), seconds=float(seconds), minute_s=float(minute_s), report=Path(report))
