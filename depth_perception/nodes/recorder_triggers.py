"""What makes a snapshot by itself: a topic's message, motion, a scene that the depth network does not know, a topic that stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu
from std_msgs.msg import Float32MultiArray

from depth_perception.nodes.message_types import message_class
from depth_perception.record.triggers import Acceleration, Config, Novelty, Rising

_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Triggers:
    """Watches its own few topics, decoded; `fire(reason)` is called in the executor's thread."""

    def __init__(self, node: Node, config: Config, fire: Callable[[str], None]) -> None:
        self._node, self._config, self._fire = node, config, fire
        self._speed = Rising("a speed", "m/s", config.speed_mps, config.quiet_s) if config.speed_mps else None
        self._force = Rising("an acceleration", "m/s2", config.acceleration_mps2, config.quiet_s) if config.acceleration_mps2 else None
        self._novelty = Novelty(config.novelty_sigma, config.quiet_s) if config.novelty_sigma else None
        self._acceleration = Acceleration()
        self._stalled: set[str] = set()
        self._fired_s = float("-inf")
        self._wrong: list[str] = []
        self._waiting: dict[str, Callable[[Any], None]] = {}
        if config.topic:
            self._waiting[node.resolve_topic_name(config.topic)] = self._on_topic
        if self._speed or self._force:
            self._waiting[node.resolve_topic_name(config.motion_topic)] = self._on_motion
        if self._novelty:
            self._waiting[node.resolve_topic_name(config.residual_topic)] = self._on_residual

    def look(self, stalled: list[str]) -> None:
        """Subscribes to the triggers' topics as they appear. stalled: recorded topics that have stopped."""
        for topic in list(self._waiting):
            for type_name in sorted({info.topic_type for info in self._node.get_publishers_info_by_topic(topic)}):
                if (message_type := message_class(type_name)) is not None:
                    self._watch(topic, message_type, type_name)
                    break
        for topic in stalled:
            if topic not in self._stalled:
                self._fire(f"{topic} has stopped")
        self._stalled = set(stalled)

    def notes(self) -> list[str]:
        """Which triggers cannot fire, and why."""
        unpublished = sorted(self._waiting)
        return [*([f"nobody publishes {', '.join(unpublished)}, which a trigger wants"] if unpublished else []), *self._wrong]

    def _watch(self, topic: str, message_type: Any, type_name: str) -> None:
        on_message = self._waiting.pop(topic)
        wanted = {self._on_motion: (Odometry, Imu), self._on_residual: (Float32MultiArray,)}.get(on_message)
        if wanted and message_type not in wanted:
            names = " or ".join(each.__name__ for each in wanted)
            self._wrong.append(f"{topic} is {type_name}: a trigger wants {names} there")
            return
        self._node.create_subscription(message_type, topic, on_message, _QOS, raw=wanted is None)

    def _on_topic(self, cdr: bytes) -> None:
        if time.monotonic() - self._fired_s >= self._config.quiet_s:
            self._fired_s = time.monotonic()
            self._fire(f"a message on {self._node.resolve_topic_name(self._config.topic)}")

    def _on_motion(self, message: Any) -> None:
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        force: float | None = None
        if isinstance(message, Odometry):
            linear = message.twist.twist.linear
            if self._speed:
                self._see(self._speed, (linear.x**2 + linear.y**2 + linear.z**2) ** 0.5)
            force = self._acceleration.of((linear.x, linear.y, linear.z), message.twist.twist.angular.z, stamp_s)
        elif isinstance(message, Imu):
            force = (message.linear_acceleration.x**2 + message.linear_acceleration.y**2) ** 0.5  # level enough: gravity is z
        if self._force and force is not None:
            self._see(self._force, force)

    def _on_residual(self, message: Any) -> None:
        assert self._novelty is not None
        values = dict(zip((dim.label for dim in message.layout.dim), message.data, strict=False))
        if values.get("points", 0) > 0:
            self._see(self._novelty, 1 - values.get("inliers", 0.0) / values["points"])

    def _see(self, trigger: Rising | Novelty, value: float) -> None:
        if reason := trigger.see(value, time.monotonic()):
            self._fire(reason)
