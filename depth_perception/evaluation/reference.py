"""Reference poses: from a KITTI or TUM file, a topic of the bag, a pair of its TF, or KISS-ICP on its scans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.bag import Bag, frames
from depth_perception.bag.poses import Poses, find, in_order
from depth_perception.frame import BadInput
from depth_perception.geometry import pose

Reference = Poses


def load(reference: str | None, bag_path: str, **reading: Any) -> Poses:
    """Finds the reference that a user named.

    reference: a file, a topic, PARENT:CHILD, "kiss-icp", or None: the bag's one topic of odometry or poses, else its one moving TF.
    reading: keyword arguments of `bag.frames`, for kiss-icp.
    """
    if reference == "kiss-icp":
        return _kiss_icp(bag_path, **reading)
    if reference is not None and Path(reference).is_file():
        return _file(Path(reference))
    return find(Bag(bag_path), reference)


def _file(path: Path) -> Poses:
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"reference {path}: wanted numbers, KITTI (12 a line) or TUM (8 a line): {error}") from error
    if rows.shape[1] == 12:
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows.reshape(-1, 3, 4)
        return Poses(poses, None, "camera", str(path))
    if rows.shape[1] == 8:
        parsed = [pose.from_quaternion(row[1:4], row[4:8]) for row in rows]
        return in_order([round(stamp * 1e9) for stamp in rows[:, 0]], parsed, "camera", str(path))
    raise BadInput(f"reference {path}: wanted 12 (KITTI) or 8 (TUM) numbers a line, got {rows.shape[1]}")


def _kiss_icp(bag_path: str, **reading: Any) -> Poses:
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
    return in_order(stamps, poses, "lidar", "kiss-icp")
