"""Poses that a bag holds: topics of odometry or poses, and the moving pairs of its TF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.bag.reader import Bag
from depth_perception.decode import stamp_ns
from depth_perception.frame import BadInput
from depth_perception.geometry import pose


@dataclass(frozen=True, eq=False)
class Poses:
    """Attributes:
    poses: (N, 4, 4) T_world_frame, metres.
    stamps_ns: (N,) int64, or None for a KITTI file: one pose per image, in order.
    frame: "camera" (KITTI, TUM), "lidar" (KISS-ICP), or the name of the moving frame.
    source: where it came from.
    world: name of the frame that the poses are in; empty where nobody says.
    """

    poses: np.ndarray
    stamps_ns: np.ndarray | None
    frame: str
    source: str
    world: str = ""

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


def find(bag: Bag, name: str | None = None) -> Poses:
    """The poses of a topic, of PARENT:CHILD of the bag's TF, or (None) of its one topic of odometry or poses, else its one moving TF."""
    if name is not None and ":" in name:
        return _tf(bag, *name.split(":", 1))
    if name is not None:
        if name not in bag.topics:
            topics = ", ".join(bag.topics)
            raise BadInput(f"reference {name!r}: is no file, no PARENT:CHILD, not kiss-icp, and no topic of {bag.path} ({topics})")
        return _topic(bag, name)
    known = ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseStamped")
    found = [topic for topic, (type_name, _) in bag.topics.items() if type_name in known and topic != "/odometry"]
    if len(found) == 1:
        return _topic(bag, found[0])
    pairs = _moving_pairs(bag)
    if not found and len(pairs) == 1:
        return _tf(bag, *pairs[0])
    names = found + [":".join(pair) for pair in pairs]
    if names:
        raise BadInput(f"reference: {bag.path} has several: {', '.join(names)}; name one with --reference")
    raise BadInput(f"reference: {bag.path} has no odometry, pose or moving TF; name a pose file or kiss-icp with --reference")


def _topic(bag: Bag, topic: str) -> Poses:
    type_name = bag.topics[topic][0]
    stamps, poses, frame, world = [], [], "", ""
    for _, _, _, raw in bag.messages(topics=[topic]):
        message = bag.decode(type_name, raw)
        if type_name == "nav_msgs/msg/Odometry":
            p, q, frame = message.pose.pose.position, message.pose.pose.orientation, message.child_frame_id
        elif type_name == "geometry_msgs/msg/PoseStamped":
            p, q = message.pose.position, message.pose.orientation
        else:
            raise BadInput(f"reference {topic}: wanted nav_msgs/Odometry or geometry_msgs/PoseStamped, got {type_name}")
        world = message.header.frame_id.lstrip("/")
        stamps.append(stamp_ns(message.header))
        poses.append(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))
    return in_order(stamps, poses, frame or "base_link", topic, world)


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


def _tf(bag: Bag, parent: str, child: str) -> Poses:
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
    return in_order(stamps, poses, child, f"/tf {parent}:{child}", parent)


def in_order(stamps: list[int], poses: list[np.ndarray], frame: str, source: str, world: str = "") -> Poses:
    if len(poses) < 2:
        raise BadInput(f"reference {source}: wanted at least two poses, got {len(poses)}")
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    return Poses(np.stack(poses)[order], np.array(stamps, np.int64)[order], frame, source, world)
