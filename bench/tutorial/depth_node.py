"""A depth node as tutorials write one: rclpy, OpenCV, cv_bridge's conversions, ONNX Runtime with its defaults.

    python -m bench.tutorial.depth_node --model models/student/depth.onnx --report stages.json

It is what `bench.chain` compares us with, so it leaves nothing out that a tutorial has, and adds nothing slow that it has not: a reliable
subscription with a queue of ten, the callback does all the work, rclpy.spin. `from_message` and `to_message` do what cv_bridge's Python
does today (imgmsg_to_cv2, cv2_to_imgmsg of Rolling and Jazzy), which no wheel has. Messages made without cv_bridge often say
`message.data = array.tobytes()` instead; before Jazzy, rclpy then looked at every byte: `--assign`.

What a tutorial would not have is the record of its own times, by stamp, written when it is told to stop.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2


def from_message(message: Image) -> np.ndarray:
    """imgmsg_to_cv2(message, "rgb8") of a bgr8 image: a view, made contiguous, then converted."""
    channels = 3
    image: Any = np.ndarray(shape=(message.height, message.step // channels, channels), dtype=np.uint8, buffer=message.data)
    image = np.ascontiguousarray(image[: message.height, : message.width, :])
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def to_message(array: np.ndarray, *, assign: bool = False) -> Image:
    """cv2_to_imgmsg(array, "32FC1"). assign: with `data = bytes`, as without cv_bridge."""
    message = Image()
    message.height, message.width = array.shape
    message.encoding = "32FC1"
    if assign:
        message.data = array.tobytes()
    else:
        message.data.frombytes(array.tobytes())
    message.step = len(message.data) // message.height
    return message


class DepthNode(Node):
    """One callback: message -> image -> network input -> depth -> message."""

    def __init__(self, model: str, *, assign: bool, clouds: bool) -> None:
        super().__init__("tutorial_depth_node")
        self._session = onnxruntime.InferenceSession(model)
        self._input = self._session.get_inputs()[0]
        self._assign = assign
        self.stages: dict[int, dict[str, float]] = {}
        self._publisher = self.create_publisher(Image, "depth/image", 10)
        if clouds:
            self.create_subscription(PointCloud2, "points", self._on_points, 10)
        self.create_subscription(Image, "image", self._on_image, 10)

    def _on_image(self, message: Image) -> None:
        times = [time.perf_counter()]
        image = from_message(message)
        times.append(time.perf_counter())
        height, width = self._input.shape[2:]
        small = cv2.resize(image, (width, height)).astype(np.float32) / 255.0
        batch = np.expand_dims(np.transpose(small, (2, 0, 1)), 0)
        times.append(time.perf_counter())
        depth = self._session.run(None, {self._input.name: batch})[0]
        times.append(time.perf_counter())
        depth = cv2.resize(depth[0, 0], (message.width, message.height))
        times.append(time.perf_counter())
        answer = to_message(depth, assign=self._assign)
        answer.header = message.header
        self._publisher.publish(answer)
        times.append(time.perf_counter())
        stamp = message.header.stamp
        self.stages[stamp.sec * 1_000_000_000 + stamp.nanosec] = {
            name: (end - start) * 1e3
            for name, start, end in zip(("decode", "pre", "engine", "post", "publish"), times, times[1:], strict=False)
        } | {"total": (times[-1] - times[0]) * 1e3}

    def _on_points(self, message: PointCloud2) -> None:
        self._points = np.frombuffer(message.data, np.float32).reshape(-1, 4)


def main() -> None:
    """Spins until SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="ONNX file")
    parser.add_argument("--report", required=True, help="JSON: stamp -> stages in ms")
    parser.add_argument("--assign", action="store_true", help="data = bytes instead of cv_bridge's frombytes")
    parser.add_argument("--clouds", action="store_true", help="listen to points as well")
    args = parser.parse_args()
    rclpy.init()
    node = DepthNode(args.model, assign=args.assign, clouds=args.clouds)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        Path(args.report).write_text(json.dumps(node.stages))
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
