"""Poses that a bag holds: topics of odometry or poses, and the moving pairs of its TF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.bag.reader import Bag
from depth_perception.decode import stamp_ns
from depth_perception.frame import BadInput
from depth_perception.geometry import pose

# GPS, the slowest that is worth following, says where it is once a second, not to the millisecond. Over two, a car can have stopped and
# started again: what lies between is invented.
GAP_NS = 2_000_000_000


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
        """(M, 4, 4) poses interpolated at stamps, and the (M,) mask of the stamps that lie inside, and in no gap between poses."""
        assert self.stamps_ns is not None
        known = self.stamps_ns
        upper = np.clip(np.searchsorted(known, stamps_ns), 1, len(known) - 1)
        before, after = known[upper - 1], known[upper]
        close = (after - before <= GAP_NS) | (stamps_ns == before) | (stamps_ns == after)
        inside = (stamps_ns >= known[0]) & (stamps_ns <= known[-1]) & close
        out = np.empty((len(stamps_ns), 4, 4))
        for i, k in enumerate(upper):
            span = known[k] - known[k - 1]
            share = float(stamps_ns[i] - known[k - 1]) / span if span else 0.0
            out[i] = self.poses[k - 1] @ pose.fraction(pose.inverse(self.poses[k - 1]) @ self.poses[k], share)
        return out, inside


def find(bag: Bag, name: str | None = None, *, whose: str = "reference", option: str = "--reference") -> Poses:
    """The poses of a topic, of PARENT:CHILD of the bag's TF, or (None) of its one topic of odometry or poses, else its one moving TF.

    A topic with one pose alone, as of a goal, is no path, and none of the candidates. whose, option: how sentences call the poses, and what
    names others; --reference may be a file or kiss-icp as well (evaluation.reference).
    """
    is_reference = option == "--reference"
    if name is not None and ":" in name:
        return _tf(bag, *name.split(":", 1), whose=whose)
    if name is not None:
        if name not in bag.topics:
            topics, others = ", ".join(bag.topics), "no file, not kiss-icp, " * is_reference
            raise BadInput(f"{whose} {name!r}: is {others}no PARENT:CHILD, and no topic of {bag.path} ({topics})")
        return _topic(bag, name, whose=whose)
    known = ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseStamped")
    found = [topic for topic, (type_name, count) in bag.topics.items() if type_name in known and count > 1 and topic != "/odometry"]
    if len(found) == 1:
        return _topic(bag, found[0], whose=whose)
    pairs = _moving_pairs(bag)
    if not found and len(pairs) == 1:
        return _tf(bag, *pairs[0], whose=whose)
    names = found + [":".join(pair) for pair in pairs]
    if names:
        raise BadInput(f"{whose}: {bag.path} has several: {', '.join(names)}; name one with {option}")
    hint = "; name a pose file or kiss-icp with --reference" * is_reference
    raise BadInput(f"{whose}: {bag.path} has no odometry, pose or moving TF{hint}")


def _topic(bag: Bag, topic: str, *, whose: str) -> Poses:
    type_name = bag.topics[topic][0]
    stamps, poses, frame, world = [], [], "", ""
    for _, _, _, raw in bag.messages(topics=[topic]):
        message = bag.decode(type_name, raw)
        if type_name == "nav_msgs/msg/Odometry":
            p, q, frame = message.pose.pose.position, message.pose.pose.orientation, message.child_frame_id
        elif type_name == "geometry_msgs/msg/PoseStamped":
            p, q = message.pose.position, message.pose.orientation
        else:
            raise BadInput(f"{whose} {topic}: wanted nav_msgs/Odometry or geometry_msgs/PoseStamped, got {type_name}")
        world = message.header.frame_id.lstrip("/")
        stamps.append(stamp_ns(message.header))
        poses.append(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))
    return in_order(stamps, poses, frame or "base_link", topic, world, whose=whose)


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


def _tf(bag: Bag, parent: str, child: str, *, whose: str) -> Poses:
    stamps, poses = [], []
    for _, type_name, _, raw in bag.messages(topics=["/tf"]) if "/tf" in bag.topics else ():
        for t in bag.decode(type_name, raw).transforms:
            if (t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/")) == (parent, child):
                p, q = t.transform.translation, t.transform.rotation
                stamps.append(stamp_ns(t.header))
                poses.append(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))
    if len(poses) < 2:
        raise BadInput(
            f"{whose} {parent}:{child}: /tf has {len(poses)} such transforms; it has {[':'.join(pair) for pair in _moving_pairs(bag)]}"
        )
    return in_order(stamps, poses, child, f"/tf {parent}:{child}", parent, whose=whose)


def in_order(stamps: list[int], poses: list[np.ndarray], frame: str, source: str, world: str = "", *,
             whose: str = "reference") -> Poses:
    if len(poses) < 2:
        raise BadInput(f"{whose} {source}: wanted at least two poses, got {len(poses)}")
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    return Poses(np.stack(poses)[order], np.array(stamps, np.int64)[order], frame, source, world)
