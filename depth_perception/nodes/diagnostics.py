"""/diagnostics: once a second, how a node does, as level, sentences and values. What makes the sentences is `health`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from depth_perception.memory import given_out_mb
from depth_perception.nodes import encode, health
from depth_perception.nodes.beside import Beside
from depth_perception.nodes.inputs import Inputs
from depth_perception.nodes.worker import Worker


class Diagnostics:
    """Counts from one report to the next; sentences that are new go into the log as well.

    config: gives the health.Config as the parameters have it.
    """

    def __init__(self, node: Node, config: Callable[[], health.Config]) -> None:
        self._node, self._config = node, config
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._warned: set[str] = set()
        self._before = self._worked = health.Counts(time.monotonic())

    def start(self) -> None:
        """Counts begin anew."""
        self._before = self._worked = health.Counts(time.monotonic())

    def driving(
        self, source: Inputs, worker: Worker, beside: Sequence[Beside], *, has_depth: bool
    ) -> tuple[bytes, str, dict[str, Any]]:
        """Level, sentences and values of a node that drives, about the time since the last report. has_depth: whether depth runs in it."""
        before = self._before
        now = health.Counts(time.monotonic(), source.received, source.dropped, worker.frames, Counter(dict(source.skipped)))
        self._before = now
        if now.work_since(before) or not source.calibrated:
            self._worked = now
        level, message = self._judge(source, worker, beside, before, now, has_depth)
        elapsed_s = max(now.at_s - before.at_s, 1e-6)
        values: dict[str, Any] = {
            "images": now.images,
            "scans": source.scans,
            "frames": now.frames,
            "dropped": now.dropped,
            "skipped": sum(now.skipped.values()),
            "images_per_s": f"{(now.images - before.images) / elapsed_s:.2f}",
            "frames_per_s": f"{(now.frames - before.frames) / elapsed_s:.2f}",
            "rss_mb": f"{psutil.Process().memory_info().rss / 1e6:.1f}",
        }
        if (given_out := given_out_mb()) is not None:
            values["given_out_mb"] = f"{given_out:.2f}"
        if has_depth:
            scale = worker.scale
            values |= {"scale": f"{scale.value:.4f}", "scale_sigma": f"{scale.sigma:.4f}", "scale_inliers": scale.inliers}
        if worker.recent_ms:
            values |= {"latency_ms_p50": f"{worker.latency_ms:.2f}", "latency_ms_max": f"{max(worker.recent_ms):.2f}"}
        for sentence, count in now.skipped.most_common(5):
            values[f"skipped: {sentence}"] = count
        return level, message, values

    def publish(self, level: bytes, message: str, values: Mapping[str, Any]) -> None:
        """One status of this node."""
        status = DiagnosticStatus(
            name=f"{self._node.get_fully_qualified_name()}: perception",
            hardware_id="camera",
            level=level,
            message=message,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        self._publisher.publish(DiagnosticArray(header=encode.header(self._node.get_clock().now().nanoseconds, ""), status=[status]))

    def _judge(
        self, source: Inputs, worker: Worker, beside: Sequence[Beside], before: health.Counts, now: health.Counts, has_depth: bool
    ) -> tuple[bytes, str]:
        config = self._config()
        found = health.findings(
            config,
            before,
            now,
            worked=self._worked,
            notes=source.notes(config.silence_s, wants_points=config.min_scale_inliers > 0)
            + worker.notes
            + [sentence for each in beside for sentence in each.said],
            latency_ms=worker.latency_ms,
            scale_sigma=worker.scale.sigma,
            scale_inliers=worker.scale.inliers if has_depth else None,
        )
        # Figures change every second; the words tell whether it is news.
        words = {"".join(letter for letter in sentence if not letter.isdigit()): sentence for sentence in found}
        if news := [sentence for key, sentence in words.items() if key not in self._warned]:
            self._node.get_logger().warning("; ".join(news))
        self._warned = set(words)
        return (DiagnosticStatus.WARN, "; ".join(found)) if found else (DiagnosticStatus.OK, "running")
