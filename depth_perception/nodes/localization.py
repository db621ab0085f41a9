"""Where the car is on the map, from whoever knows: the topic `localization` (nav_msgs/Odometry), asked for the time of an image."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node

from depth_perception import decode
from depth_perception.frame import BadInput
from depth_perception.geometry import pose
from depth_perception.nodes.watch import Watch
from depth_perception.systems.missing_markings import Pose

KEPT = 200


class Localization:
    """The last poses that came, of the body in `header.frame_id`."""

    def __init__(self, node: Node) -> None:
        self._poses: deque[Pose] = deque(maxlen=KEPT)
        self._moves = ""
        self._lock = threading.Lock()  # the executor adds poses while a system's thread asks
        self._bad = ""
        self._watch = Watch(node, Odometry, "localization", self._on_pose, 10)

    def close(self) -> None:
        """Ends the subscription."""
        self._watch.close()

    def at(self, stamp_ns: int, *, body: str) -> tuple[Pose | None, list[str]]:
        """The pose of the body frame at a time, and what is wrong with what comes.

        Between the two poses around the time; outside of them the nearest one, of its own time; None before the first, and where what is
        localized is no body: a receiver on the roof is not there.
        """
        with self._lock:
            poses, moves = list(self._poses), self._moves
        if moves not in ("", body):
            return None, [f"{self._watch.topic}: wanted poses of {body!r}, they are of {moves!r}"]
        return self._between(poses, stamp_ns), [self._bad] if self._bad else []

    @staticmethod
    def _between(poses: list[Pose], stamp_ns: int) -> Pose | None:
        if not poses:
            return None
        before = max((p for p in poses if p.stamp_ns <= stamp_ns), key=lambda p: p.stamp_ns, default=None)
        after = min((p for p in poses if p.stamp_ns >= stamp_ns), key=lambda p: p.stamp_ns, default=None)
        if before is None or after is None or before.frame != after.frame:
            return before or after
        if before.stamp_ns == after.stamp_ns:
            return before
        share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        step = pose.fraction(pose.inverse(before.T_map_base) @ after.T_map_base, share)
        return Pose(before.T_map_base @ step, stamp_ns, before.frame)

    def _on_pose(self, message: Odometry) -> None:
        p, q = message.pose.pose.position, message.pose.pose.orientation
        try:
            T = pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))
        except BadInput as error:
            self._bad = f"{self._watch.topic}: {error}"
            return
        self._bad = ""
        with self._lock:
            if self._poses and decode.stamp_ns(message.header) < self._poses[-1].stamp_ns:
                self._poses.clear()  # time has jumped back: a bag starts again
            self._moves = message.child_frame_id.lstrip("/")
            self._poses.append(Pose(T, decode.stamp_ns(message.header), message.header.frame_id.lstrip("/")))
