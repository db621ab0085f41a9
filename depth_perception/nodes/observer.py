"""Listens to everything a drive publishes, from a process of its own: what really arrived, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32MultiArray
from visualization_msgs.msg import Marker, MarkerArray

from depth_perception import decode
from depth_perception.geometry import pose
from depth_perception.geometry.boxes import Box3D

RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Observer(Node):
    """What came out, by stamp.

    folder: every `keep_every`-th depth image, confidence, cloud and grid is kept there as NAME_STAMP.npy, so that a drive of any length
        fits in memory; 0 keeps nothing.
    namespace, node: of the node that is listened to. systems: whose topics; what nobody listens to is not made.
    depth_ages_ms: by image, the time from its stamp to the arrival of its depth: the latency if it was stamped when it was sent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_every: int,
        namespace: str = "",
        node: str = "drive",
        systems: Sequence[str] = ("depth", "odometry", "bev"),
    ) -> None:
        super().__init__("observer")
        self._folder, self._keep_every = folder, keep_every
        self.depth_stamps: list[int] = []
        self.depth_ages_ms: list[float] = []
        self.cloud_stamps: list[int] = []
        self.confidence_count = 0
        self.grid_count = 0
        self.trajectory: list[tuple[int, np.ndarray]] = []
        self.objects: list[tuple[int, list[Box3D]]] = []
        self.mask_stamps: list[int] = []
        self.polygons: list[tuple[int, list[tuple[str, np.ndarray]]]] = []
        self.defects: list[tuple[int, list[str]]] = []
        self.base_frame = ""
        # They have no stamp of their own: that of the newest depth goes with them.
        self.latencies: list[dict[str, float]] = []
        self.latency_stamps: list[int] = []
        self.scales: list[dict[str, float]] = []
        self.scale_stamps: list[int] = []
        self.status: dict[str, str] = {}
        self.level, self.message = DiagnosticStatus.OK, ""
        self._status_name = f"{namespace}/{node}: perception"
        heard: dict[str, list[tuple[Any, str, Callable[[Any], None]]]] = {
            "depth": [
                (Image, "depth/image", self._on_depth),
                (Image, "depth/confidence", self._on_confidence),
                (Float32MultiArray, "depth/scale", self._on_scale),
            ],
            "odometry": [(Odometry, "odometry", self._on_odometry)],
            "bev": [(PointCloud2, "bev/points", self._on_cloud), (OccupancyGrid, "bev/grid", self._on_grid)],
            "objects": [(MarkerArray, "objects", self._on_objects)],
            "markings": [
                (Image, "markings/mask", self._on_mask),
                (MarkerArray, "markings/polygons", self._on_polygons),
                (MarkerArray, "markings/defects", self._on_defects),
            ],
        }
        for type_, topic, callback in [
            *(each for system in systems for each in heard[system]),
            (Float32MultiArray, f"{node}/latency_ms", self._on_latency),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        ]:
            absolute = topic if topic.startswith("/") else f"{namespace}/{topic}"
            self.create_subscription(type_, absolute, callback, RELIABLE)

    @property
    def active(self) -> bool:
        """Whether the observed node has said that it is active."""
        return self.status.get("active") == "True"

    def kept(self, name: str) -> dict[int, np.ndarray]:
        """Stamp -> array of what was kept under a name (depth, confidence, cloud, grid); loaded lazily, memory-mapped."""
        return {int(file.stem.rsplit("_", 1)[1]): np.load(file, mmap_mode="r") for file in sorted(self._folder.glob(f"{name}_*.npy"))}

    def _keep(self, name: str, count: int, stamp_ns: int, values: np.ndarray) -> None:
        if self._keep_every and count % self._keep_every == 0:
            np.save(self._folder / f"{name}_{stamp_ns}.npy", values)

    def _on_depth(self, message: Image) -> None:
        stamp_ns = decode.stamp_ns(message.header)
        self.depth_ages_ms.append((time.time_ns() - stamp_ns) * 1e-6)
        self._keep("depth", len(self.depth_stamps), stamp_ns, decode.depth_image(message))
        self.depth_stamps.append(stamp_ns)

    def _on_confidence(self, message: Image) -> None:
        confidence = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        self._keep("confidence", self.confidence_count, decode.stamp_ns(message.header), confidence)
        self.confidence_count += 1

    def _on_cloud(self, message: PointCloud2) -> None:
        stamp_ns = decode.stamp_ns(message.header)
        self._keep("cloud", len(self.cloud_stamps), stamp_ns, decode.scan(message).points)
        self.cloud_stamps.append(stamp_ns)

    def _on_grid(self, message: OccupancyGrid) -> None:
        cells = np.frombuffer(message.data, np.int8).reshape(message.info.height, message.info.width)
        self._keep("grid", self.grid_count, decode.stamp_ns(message.header), cells)
        self.grid_count += 1

    def _on_odometry(self, message: Odometry) -> None:
        self.base_frame = message.child_frame_id
        self.trajectory.append((decode.stamp_ns(message.header), pose_of(message)))

    def _on_objects(self, message: MarkerArray) -> None:
        stamp_ns = decode.stamp_ns(message.markers[0].header)
        cubes = [marker for marker in message.markers if marker.action == Marker.ADD and marker.type == Marker.CUBE]
        self.objects.append((stamp_ns, [box_of(cube) for cube in cubes]))

    def _on_mask(self, message: Image) -> None:
        stamp_ns = decode.stamp_ns(message.header)
        self._keep("mask", len(self.mask_stamps), stamp_ns, np.frombuffer(message.data, np.uint8).reshape(message.height, message.width))
        self.mask_stamps.append(stamp_ns)

    def _on_polygons(self, message: MarkerArray) -> None:
        lines = [marker for marker in message.markers if marker.action == Marker.ADD]
        rings = [(line.ns, np.array([(p.x, p.y, p.z) for p in line.points])) for line in lines]
        self.polygons.append((decode.stamp_ns(message.markers[0].header), rings))

    def _on_defects(self, message: MarkerArray) -> None:
        found = [marker.text for marker in message.markers if marker.action == Marker.ADD and marker.text]
        self.defects.append((decode.stamp_ns(message.markers[0].header), found))

    def _on_latency(self, message: Float32MultiArray) -> None:
        self.latencies.append(named(message))
        self.latency_stamps.append(self._newest())

    def _newest(self) -> int:
        return self.depth_stamps[-1] if self.depth_stamps else 0

    def _on_scale(self, message: Float32MultiArray) -> None:
        self.scales.append(named(message))
        self.scale_stamps.append(self._newest())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._status_name:
                self.status = {value.key: value.value for value in status.values}
                self.level, self.message = status.level, status.message


def pose_of(message: Odometry) -> np.ndarray:
    """(4, 4) T_odom_base of an Odometry."""
    p, q = message.pose.pose.position, message.pose.pose.orientation
    return pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def box_of(cube: Marker) -> Box3D:
    """The box that a cube of `objects` stands for."""
    p, q, size = cube.pose.position, cube.pose.orientation, cube.scale
    yaw = 2 * float(np.arctan2(q.z, q.w))
    score = (cube.color.a - 0.25) / 0.5
    return Box3D(cube.ns, float(np.clip(score, 0, 1)), np.array([p.x, p.y, p.z]), np.array([size.x, size.y, size.z]), yaw)


def named(message: Any) -> dict[str, float]:
    """A labelled Float32MultiArray as a dict."""
    return dict(zip((dimension.label for dimension in message.layout.dim), message.data, strict=True))
