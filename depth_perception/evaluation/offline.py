"""Bags through the systems, without ROS: what `evaluate` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from depth_perception import bag as bags
from depth_perception import decode
from depth_perception.engine import Engine
from depth_perception.evaluation import odometry as odometry_evaluation
from depth_perception.evaluation import reference as references
from depth_perception.evaluation.bev import BevScore
from depth_perception.evaluation.depth import DepthScore
from depth_perception.frame import BadInput, Frame
from depth_perception.model import Model
from depth_perception.systems.bev import Bev, BevOutput
from depth_perception.systems.depth import Depth
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import Odometry, OdometryOutput


def systems(model: Model, *, threads: int = 2) -> Drive:
    """The systems of a model, exactly as the node builds them with default parameters."""
    sizes: dict[str, Any] = {"height": model.height, "width": model.width, "canonical_focal_px": model.canonical_focal_px}
    return Drive(
        Depth(Engine(model.onnx("depth"), threads=threads), **sizes), Odometry(Engine(model.onnx("pose"), threads=threads), **sizes), Bev()
    )


def depth(bag_paths: list[str], model: Model, *, truth: str | None = None, **options: Any) -> dict[str, Any]:
    """Depth scores over bags; against the LiDAR, or against a topic of true depth images of the same stamps."""
    score = DepthScore()
    for path in bag_paths:
        system = systems(model).depth
        images = _true_depth(path, truth) if truth else None
        for frame in _progress(bags.FrameReader(path, pairing="nearest", **options)):
            if images is None:
                score.add(frame, system)
                continue
            output = system.step(frame)
            true = next((d for stamp, d in images if stamp == frame.stamp_ns), None)
            if true is not None:
                score.add_truth(output.depth / np.float32(output.scale.value), true)
    result = score.result()
    if result["frames"] == 0:
        wanted = f"true depth on {truth}" if truth else "a LiDAR scan and known extrinsics"
        raise BadInput(f"evaluate depth: {', '.join(bag_paths)} has no image with {wanted}")
    return result


def _true_depth(path: str, topic: str) -> Iterator[tuple[int, np.ndarray]]:
    bag = bags.Bag(path)
    if topic not in bag.topics:
        raise BadInput(f"--truth {topic}: is no topic of {path} ({', '.join(bag.topics)})")
    for _, type_name, _, raw in bag.messages(topics=[topic]):
        message = bag.decode(type_name, raw)
        yield decode.stamp_ns(message.header), decode.depth_image(message)


def odometry(bag_path: str, model: Model, *, reference: str | None = None, align: bool = False, **options: Any) -> dict[str, Any]:
    """Odometry scores of one bag; scans are paired as when driving, for the metric scale comes from them."""
    drive = systems(model)
    drive.bev = None
    stamps: list[int] = []
    poses: list[np.ndarray] = []
    reader = bags.FrameReader(bag_path, pairing="latest", **options)
    for frame in _progress(reader):
        outputs = [output for output in drive.step(frame) if isinstance(output, OdometryOutput)]
        if not poses:  # the first image is where odom begins
            outputs, stamps, poses = [], [frame.stamp_ns], [np.eye(4)]
        stamps += [output.stamp_ns for output in outputs]
        poses += [output.T_odom_base for output in outputs]
    if len(poses) < 2:
        raise BadInput(f"evaluate odometry: {bag_path} has no two images within a second of each other")
    return odometry_evaluation.score(stamps, poses, references.load(reference, bag_path), reader.calibration, reader.tree, align=align)


def bev(bag_paths: list[str], model: Model, **options: Any) -> dict[str, Any]:
    """Scores of the camera-only cloud over bags."""
    score = BevScore()
    for path in bag_paths:
        drive = systems(model)
        for frame in _progress(bags.FrameReader(path, pairing="latest", **options)):
            for output in drive.step(frame):
                if isinstance(output, BevOutput):
                    score.add(output.points, frame)
    result = score.result()
    if result["frames"] == 0:
        raise BadInput(f"evaluate bev: {', '.join(bag_paths)} has no image with a LiDAR scan and known extrinsics")
    return result


def _progress(reader: bags.FrameReader) -> Iterator[Frame]:
    """Frames of a bag behind a progress bar; what was skipped is said at the end."""
    path = reader.bag.path
    yield from tqdm(reader, desc=str(path), unit="frame", disable=not sys.stderr.isatty())
    for sentence in reader.report():
        print(f"{path}: skipped {sentence}", file=sys.stderr)
