"""`ros2 run depth_perception viewer`: the sensors and the answers of running nodes, in a browser, without any ROS tool.

A process of its own with the least priority, that takes the newest of each and misses what it has no time for: nobody waits for it.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32MultiArray
from visualization_msgs.msg import Marker, MarkerArray

from depth_perception import decode
from depth_perception.frame import BadInput, Frame, check_ranges, ranged
from depth_perception.geometry import lidar, pose
from depth_perception.nodes import input_config
from depth_perception.nodes.inputs import Inputs
from depth_perception.nodes.interrupt import Interrupt, leave_at_once
from depth_perception.nodes.observer import box_of, named, pose_of
from depth_perception.nodes.parameters import NEVER, Configs
from depth_perception.systems.odometry import T_BODY_OPTICAL
from depth_perception.view.scene import Scene
from depth_perception.view.serving import Recording, Server

NICE = 19
LEVELS = {DiagnosticStatus.OK: "INFO", DiagnosticStatus.WARN: "WARN"}
_PATIENCE_S = 4.0
# Large messages: the newest few, and none is sent again. Small ones: all.
NEWEST = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
EVERY = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class Config:
    """Attributes:
    serve: serve the page; otherwise only `save`.
    port: of the page, on 127.0.0.1, which reads from the next one; 0: any two that are free.
    browser: open a browser on the page.
    save: an .rrd file that everything is written into as well; empty: none.
    memory_mb: so much of what was shown is kept for a browser that comes late.
    nodes: names of the nodes whose latencies are shown, separated by spaces.
    """

    serve: bool = True
    port: int = ranged(0, 0, 65534)
    browser: bool = True
    save: str = ""
    memory_mb: int = ranged(1000, 50, 100_000)
    nodes: str = "drive"

    def __post_init__(self) -> None:
        check_ranges(self)
        if not (self.serve or self.save):
            raise BadInput("save: wanted a file, for nothing is served")
        if not self.nodes.split() or not all(re.fullmatch(r"(/?[A-Za-z_]\w*)+", name, re.ASCII) for name in self.nodes.split()):
            raise BadInput(f"nodes: wanted names of nodes, separated by spaces, got {self.nodes!r}")


class Viewer(Node):
    """Subscribes to the sensors and to every topic of the perception nodes, relative to its namespace, and shows them."""

    def __init__(self) -> None:
        super().__init__("viewer")
        configs = Configs(self, {"": (Config, NEVER), "input": (input_config.Config, NEVER)}, lambda prefix, config: None)
        self.config: Config = configs[""]
        self.server = Server(port=self.config.port, memory_mb=self.config.memory_mb) if self.config.serve else None
        try:
            file = Path(self.config.save).expanduser() if self.config.save else None
            self._recording = Recording(server=self.server, file=file, nodes=self.config.nodes.split())
            self._scene = Scene(self._recording.stream)
            self._newest_ns = 0
            self._levels: dict[str, tuple[bytes, str]] = {}
            self._listen()
            self._inputs = Inputs(self, configs["input"])
        except BaseException:
            if self.server is not None:
                self.server.close()
            raise
        self._worker = threading.Thread(target=self._show_sensors, name="pictures", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Stops listening, finishes the file and ends the server. Raises BadInput where the file could not be written."""
        try:
            self._inputs.close()
            self._worker.join(2.0)
            self._recording.close()
        finally:
            if self.server is not None:
                self.server.close()

    def _listen(self) -> None:
        # markings/overlay is not asked for: the mask is drawn over the image that is here already.
        heard: list[tuple[Any, str, Callable[[Any], None], QoSProfile]] = [
            (Image, "depth/image", self._on_depth, NEWEST),
            (Image, "depth/confidence", self._on_confidence, NEWEST),
            (Float32MultiArray, "depth/scale", functools.partial(self._on_figures, "scale"), EVERY),
            (Odometry, "odometry", self._on_odometry, EVERY),
            (PointCloud2, "bev/points", self._on_cloud, NEWEST),
            (OccupancyGrid, "bev/grid", self._on_grid, NEWEST),
            (MarkerArray, "objects", self._on_objects, EVERY),
            (Image, "markings/mask", self._on_mask, NEWEST),
            (MarkerArray, "markings/polygons", self._on_polygons, EVERY),
            (MarkerArray, "markings/defects", self._on_defects, EVERY),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, EVERY),
        ]
        for name in self.config.nodes.split():
            heard.append((Float32MultiArray, f"{name}/latency_ms", functools.partial(self._on_figures, f"latency/{name}"), EVERY))
        for type_, topic, show, qos in heard:
            self.create_subscription(type_, topic, self._shown(topic, show), qos)

    def _shown(self, topic: str, show: Callable[[Any], None]) -> Callable[[Any], None]:
        """A message that does not fit is said once a while, and not shown."""

        def on_message(message: Any) -> None:
            try:
                show(message)
            except Exception as error:  # whoever it was that sent it: the rest is shown
                self.get_logger().warning(f"{topic}: {error}", throttle_duration_sec=5.0)

        return on_message

    def _stamp(self, message: Any) -> int:
        stamp_ns = decode.stamp_ns(message.header)
        self._newest_ns = max(self._newest_ns, stamp_ns)
        return stamp_ns

    def _show_sensors(self) -> None:
        """The worker: image after image, each with the newest scan before it."""
        while (item := self._inputs.next()) is not None:
            try:
                self._show_frame(item[0])
            except Exception as error:  # it costs a picture, not those that follow
                self.get_logger().warning(f"image: {error}", throttle_duration_sec=5.0)
            self._inputs.served()

    def _show_frame(self, frame: Frame) -> None:
        self._scene.camera(frame.stamp_ns, frame.image, frame.calibration)
        if frame.scan is not None and frame.calibration.T_camera_lidar is not None:
            T = T_BODY_OPTICAL if frame.calibration.T_base_camera is None else frame.calibration.T_base_camera
            self._scene.scan(frame.stamp_ns, pose.transform(T, lidar.in_camera(frame.scan, frame.calibration)))

    def _on_depth(self, message: Image) -> None:
        self._scene.depth(self._stamp(message), decode.depth_image(message))

    def _on_confidence(self, message: Image) -> None:
        confidence = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        self._scene.confidence(self._stamp(message), confidence)

    def _on_odometry(self, message: Odometry) -> None:
        self._scene.pose(self._stamp(message), pose_of(message))

    def _on_cloud(self, message: PointCloud2) -> None:
        self._scene.cloud(self._stamp(message), decode.scan(message).points)

    def _on_grid(self, message: OccupancyGrid) -> None:
        cells = np.frombuffer(message.data, np.int8).reshape(message.info.height, message.info.width)
        corner = message.info.origin.position.x, message.info.origin.position.y
        self._scene.grid(self._stamp(message), cells, corner=corner, cell_m=message.info.resolution)

    def _on_objects(self, message: MarkerArray) -> None:
        cubes = [marker for marker in _shown_of(message) if marker.type == Marker.CUBE]
        self._scene.boxes(self._stamp(_first(message)), [box_of(cube) for cube in cubes])

    def _on_mask(self, message: Image) -> None:
        self._scene.mask(self._stamp(message), np.frombuffer(message.data, np.uint8).reshape(message.height, message.width))

    def _on_polygons(self, message: MarkerArray) -> None:
        self._scene.polygons(self._stamp(_first(message)), _outlines(message))

    def _on_defects(self, message: MarkerArray) -> None:
        words = [marker.text for marker in _shown_of(message) if marker.text]
        self._scene.defects(self._stamp(_first(message)), _outlines(message), words)

    def _on_figures(self, path: str, message: Float32MultiArray) -> None:
        """They have no stamp of their own: they come with their image's answers."""
        if self._newest_ns:
            self._scene.figures(self._newest_ns, path, named(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """What a node says of itself, when it is news."""
        for status in message.status:
            if status.name.endswith(": perception") and self._newest_ns:
                news = status.level, status.message
                if self._levels.get(status.name) != news:
                    self._levels[status.name] = news
                    self._scene.said(self._newest_ns, LEVELS.get(status.level, "ERROR"), f"{status.name.split(':')[0]}: {status.message}")


def _first(message: MarkerArray) -> Marker:
    """The one whose stamp is that of all."""
    if not message.markers:
        raise BadInput("wanted markers with a stamp, got none (to clear them, one that says DELETEALL)")
    return message.markers[0]


def _shown_of(message: MarkerArray) -> list[Marker]:
    return [marker for marker in message.markers if marker.action == Marker.ADD]


def _outlines(message: MarkerArray) -> list[tuple[str, np.ndarray]]:
    lines = [marker for marker in _shown_of(message) if marker.type == Marker.LINE_STRIP]
    return [(line.ns, np.array([(p.x, p.y, p.z) for p in line.points])) for line in lines]


def main(argv: list[str] | None = None) -> int:
    """Shows until a signal comes. 0: ended by it; 1: the server died, or the end took too long; 2: bad input."""
    leave_at_once()
    os.nice(NICE)
    interrupt = Interrupt(patience_s=_PATIENCE_S, last_resort=1)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)  # a closed terminal: Interrupt hears of every signal with a handler
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        viewer = Viewer()
    except (BadInput, ParameterException, InvalidParameterTypeException, rcl.RCLError) as error:
        print(f"viewer: {' '.join(str(error).split())}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    if viewer.server is not None:
        print(f"view: {viewer.server.url}", flush=True)
        if viewer.config.browser and not viewer.server.open_browser():
            viewer.get_logger().warning(f"there is no browser here that could be opened; the page is {viewer.server.url}")
    else:
        print(f"view: into {viewer.config.save}", flush=True)
    executor = SingleThreadedExecutor()
    executor.add_node(viewer)
    code = 0
    try:
        while not interrupt.came:
            executor.spin_once(timeout_sec=0.2)
            if viewer.server is not None and not viewer.server.runs and not interrupt.came:
                print("viewer: its server has ended", file=sys.stderr)
                code = 1
                break
    finally:
        try:
            viewer.close()
        except BadInput as error:
            print(f"viewer: {error}", file=sys.stderr)
            return 2
        finally:
            rclpy.try_shutdown()
    return 0 if interrupt.came else code


if __name__ == "__main__":
    raise SystemExit(main())
