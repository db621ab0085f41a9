"""Reference poses: from a KITTI or TUM file, a topic of the bag, a pair of its TF, or KISS-ICP on its scans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.bag import Bag, frames
from depth_perception.decode import stamp_ns
from depth_perception.frame import BadInput
from depth_perception.geometry import pose


@dataclass(frozen=True, eq=False)
class Reference:
    """Attributes:
    poses: (N, 4, 4) T_world_frame, metres.
    stamps_ns: (N,) int64, or None for a KITTI file: one pose per image, in order.
    frame: "camera" (KITTI, TUM), "lidar" (KISS-ICP), or the name of the moving frame.
    source: where it came from.
    """

    poses: np.ndarray
    stamps_ns: np.ndarray | None
    frame: str
    source: str

    def at(self, stamps_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(M, 4, 4) poses interpolated at stamps, and the (M,) mask of the stamps that lie inside."""
        assert self.stamps_ns is not None
        known = self.stamps_ns
        inside = (stamps_ns >= known[0]) & (stamps_ns <= known[-1])
        upper = np.clip(np.searchsorted(known, stamps_ns), 1, len(known) - 1)
        out = np.empty((len(stamps_ns), 4, 4))
        for i, k in enumerate(upper):
            span = known[k] - known[k - 1]
            share = float(stamps_ns[i] - known[k - 1]) / span if span else 0.0
            out[i] = self.poses[k - 1] @ pose.fraction(pose.inverse(self.poses[k - 1]) @ self.poses[k], share)
        return out, inside


def load(reference: str | None, bag_path: str, **reading: Any) -> Reference:
    """Finds the reference that a user named.

    reference: a file, a topic, PARENT:CHILD, "kiss-icp", or None: the bag's one topic of odometry or poses, else its one moving TF.
    reading: keyword arguments of `bag.frames`, for kiss-icp.
    """
    if reference == "kiss-icp":
        return _kiss_icp(bag_path, **reading)
    if reference is not None and Path(reference).is_file():
        return _file(Path(reference))
    bag = Bag(bag_path)
    if reference is not None and ":" in reference:
        parent, child = reference.split(":", 1)
        return _tf(bag, parent, child)
    if reference is not None:
        if reference not in bag.topics:
            raise BadInput(
                f"reference {reference!r}: is no file, no PARENT:CHILD, not kiss-icp, and no topic of {bag_path} ({', '.join(bag.topics)})"
            )
        return _topic(bag, reference)
    topics = [
        t
        for t, (type_name, _) in bag.topics.items()
        if type_name in ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseStamped") and t != "/odometry"
    ]
    if len(topics) == 1:
        return _topic(bag, topics[0])
    pairs = _moving_pairs(bag)
    if not topics and len(pairs) == 1:
        return _tf(bag, *pairs[0])
    names = topics + [":".join(pair) for pair in pairs]
    if names:
        raise BadInput(f"reference: {bag_path} has several: {', '.join(names)}; name one with --reference")
    raise BadInput(f"reference: {bag_path} has no odometry, pose or moving TF; name a pose file or kiss-icp with --reference")


def _file(path: Path) -> Reference:
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"reference {path}: wanted numbers, KITTI (12 a line) or TUM (8 a line): {error}") from error
    if rows.shape[1] == 12:
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows.reshape(-1, 3, 4)
        return Reference(poses, None, "camera", str(path))
    if rows.shape[1] == 8:
        parsed = [pose.from_quaternion(row[1:4], row[4:8]) for row in rows]
        return _sorted([round(stamp * 1e9) for stamp in rows[:, 0]], parsed, "camera", str(path))
    raise BadInput(f"reference {path}: wanted 12 (KITTI) or 8 (TUM) numbers a line, got {rows.shape[1]}")


def _topic(bag: Bag, topic: str) -> Reference:
    type_name = bag.topics[topic][0]
    stamps, poses, frame = [], [], ""
    for _, _, _, raw in bag.messages(topics=[topic]):
        message = bag.decode(type_name, raw)
        if type_name == "nav_msgs/msg/Odometry":
            p, q, frame = message.pose.pose.position, message.pose.pose.orientation, message.child_frame_id
        elif type_name == "geometry_msgs/msg/PoseStamped":
            p, q = message.pose.position, message.pose.orientation
        else:
            raise BadInput(f"reference {topic}: wanted nav_msgs/Odometry or geometry_msgs/PoseStamped, got {type_name}")
        stamps.append(stamp_ns(message.header))
        poses.append(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))
    return _sorted(stamps, poses, frame or "base_link", topic)


def _moving_pairs(bag: Bag) -> list[tuple[str, str]]:
    if "/tf" not in bag.topics:
        return []
    pairs: dict[tuple[str, str], None] = {}
    for count, (_, type_name, _, raw) in enumerate(bag.messages(topics=["/tf"])):
        if count >= 1000:
            break
        for t in bag.decode(type_name, raw).transforms:
            pairs[(t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/"))] = None
    return list(pairs)


def _tf(bag: Bag, parent: str, child: str) -> Reference:
    stamps, poses = [], []
    for _, type_name, _, raw in bag.messages(topics=["/tf"]) if "/tf" in bag.topics else ():
        for t in bag.decode(type_name, raw).transforms:
            if (t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/")) == (parent, child):
                p, q = t.transform.translation, t.transform.rotation
                stamps.append(stamp_ns(t.header))
                poses.append(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))
    if len(poses) < 2:
        raise BadInput(
            f"reference {parent}:{child}: /tf has {len(poses)} such transforms; it has {[':'.join(pair) for pair in _moving_pairs(bag)]}"
        )
    return _sorted(stamps, poses, child, f"/tf {parent}:{child}")


def _sorted(stamps: list[int], poses: list[np.ndarray], frame: str, source: str) -> Reference:
    if len(poses) < 2:
        raise BadInput(f"reference {source}: wanted at least two poses, got {len(poses)}")
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    return Reference(np.stack(poses)[order], np.array(stamps, np.int64)[order], frame, source)


def _kiss_icp(bag_path: str, **reading: Any) -> Reference:
    try:
        from kiss_icp.config import KISSConfig
        from kiss_icp.kiss_icp import KissICP
    except ImportError as error:
        raise BadInput("reference kiss-icp: wanted the kiss-icp package, it is not installed (pip install kiss-icp)") from error
    config = KISSConfig()
    config.mapping.voxel_size = config.data.max_range / 100.0
    odometry = KissICP(config)
    stamps: list[int] = []
    poses: list[np.ndarray] = []
    for frame in frames(bag_path, pairing="nearest", **reading):
        if frame.scan is None or (stamps and frame.scan.stamp_ns <= stamps[-1]):
            continue
        odometry.register_frame(frame.scan.points.astype(np.float64), np.zeros(0))
        stamps.append(frame.scan.stamp_ns)
        poses.append(np.array(odometry.last_pose))
    return _sorted(stamps, poses, "lidar", "kiss-icp")
