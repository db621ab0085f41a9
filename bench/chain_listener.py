"""The far end of `bench.chain`, a process of its own: when which image came, as an ordinary rclpy subscriber has it, deserialised.

A node that publishes ~/latency_ms says what each image cost it; these rows carry no stamp, so each belongs to the depth that came last.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32MultiArray

from depth_perception.decode import stamp_ns
from depth_perception.memory import keep_freed_memory, spare_the_collector


class Listener(Node):
    """Attributes:
    arrivals, clouds: stamp -> time of arrival, both ns.
    stages: stamp -> what ~/latency_ms said of it.
    """

    def __init__(self, topic: str, latency: str | None, *, best_effort: bool, points: str | None = None) -> None:
        super().__init__("listener")
        self.arrivals: dict[int, int] = {}
        self.clouds: dict[int, int] = {}
        self.stages: dict[int, dict[str, float]] = {}
        self._last = 0
        sensor = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        # The image's first: what waits at the same time is served in this order.
        self.create_subscription(Image, topic, self._on_image, sensor if best_effort else 10)
        if points:
            self.create_subscription(PointCloud2, points, self._on_cloud, sensor if best_effort else 10)
        if latency:
            self.create_subscription(Float32MultiArray, latency, self._on_latency, 10)

    def _on_image(self, message: Image) -> None:
        now = time.time_ns()
        self._last = stamp_ns(message.header)
        self.arrivals.setdefault(self._last, now)

    def _on_cloud(self, message: PointCloud2) -> None:
        self.clouds.setdefault(stamp_ns(message.header), time.time_ns())

    def _on_latency(self, message: Any) -> None:
        self.stages.setdefault(self._last, dict(zip((each.label for each in message.layout.dim), message.data, strict=True)))


def main() -> None:
    """Listens until SIGINT, then writes what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topic", default="depth/image")
    parser.add_argument("--points", help="topic of clouds to time as well")
    parser.add_argument("--latency", help="topic of ~/latency_ms")
    parser.add_argument("--best-effort", action="store_true", help="a queue of one, best effort: our QoS for images; else reliable, ten")
    parser.add_argument("--report", required=True, help="JSON: arrivals, clouds, stages")
    args = parser.parse_args()
    keep_freed_memory()
    rclpy.init()
    node = Listener(args.topic, args.latency, best_effort=args.best_effort, points=args.points)
    spare_the_collector()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        Path(args.report).write_text(json.dumps({"arrivals": node.arrivals, "clouds": node.clouds, "stages": node.stages}))
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
