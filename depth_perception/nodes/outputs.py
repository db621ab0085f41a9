"""What a node publishes: topics, their QoS, and nothing that nobody listens to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float32MultiArray
from visualization_msgs.msg import MarkerArray

from depth_perception.nodes.optional import Detection3DArray, TFMessage
from depth_perception.nodes.watch import overridable

SYSTEMS = ("depth", "odometry", "bev", "objects", "markings")

TOPICS: dict[str, dict[str, tuple[Any, str]]] = {
    "depth": {
        "depth": (Image, "depth/image"),
        "info": (CameraInfo, "depth/camera_info"),
        "confidence": (Image, "depth/confidence"),
        "scale": (Float32MultiArray, "depth/scale"),
    },
    "odometry": {"odometry": (Odometry, "odometry")} | ({"tf": (TFMessage, "/tf")} if TFMessage else {}),
    "bev": {"cloud": (PointCloud2, "bev/points"), "grid": (OccupancyGrid, "bev/grid")},
    "objects": {"objects": (MarkerArray, "objects"), "features": (PointCloud2, "bev/features")}
    | ({"detections": (Detection3DArray, "objects/detections")} if Detection3DArray else {}),
    "markings": {
        "mask": (Image, "markings/mask"),
        "mask_confidence": (Image, "markings/confidence"),
        "overlay": (Image, "markings/overlay"),
        "polygons": (MarkerArray, "markings/polygons"),
        "marking_grid": (OccupancyGrid, "markings/grid"),
        "defects": (MarkerArray, "markings/defects"),
    },
}


def _qos(name: str) -> QoSProfile:
    """Reliable, for every subscriber may ask for that; a grid is a map, which late comers get as well (REP 2003)."""
    is_map = name == "grid"
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1 if is_map else 5,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_map else DurabilityPolicy.VOLATILE,
    )


class Outputs:
    """The publishers of some systems, and of `~/latency_ms`.

    They are plain publishers: a lifecycle publisher's gate would cost a Python call per message, and an inactive node has no worker
    that could publish.
    """

    def __init__(self, node: Node, systems: tuple[str, ...]) -> None:
        self._node = node
        topics = {"latency": (Float32MultiArray, "~/latency_ms")}
        for system in systems:
            topics |= TOPICS[system]
        self._publishers = {name: overridable(node.create_publisher, type_, topic, _qos(name)) for name, (type_, topic) in topics.items()}

    def wanted(self, names: Iterable[str]) -> bool:
        """Whether somebody listens to any of these."""
        return any(name in self._publishers and self._publishers[name].get_subscription_count() > 0 for name in names)

    def send(self, name: str, message: Callable[[], Any]) -> bool:
        """Makes and publishes a message only if somebody listens; whether it did."""
        publisher = self._publishers.get(name)
        if publisher is None or publisher.get_subscription_count() == 0:
            return False
        publisher.publish(message())
        return True

    def close(self) -> None:
        """Ends the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers = {}
