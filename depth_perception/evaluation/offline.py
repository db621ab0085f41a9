"""Bags through the systems, without ROS: what `evaluate` prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from depth_perception import bag as bags
from depth_perception import decode, engine
from depth_perception.evaluation import odometry as odometry_evaluation
from depth_perception.evaluation import reference as references
from depth_perception.evaluation.bev import BevScore
from depth_perception.evaluation.depth import DepthScore
from depth_perception.frame import BadInput, Frame
from depth_perception.model import Model
from depth_perception.systems import odometry as odometry_system
from depth_perception.systems.bev import Bev, BevOutput
from depth_perception.systems.depth import Depth, DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import Odometry, OdometryOutput


def depth_system(model: Model, *, threads: int = 2) -> Depth:
    """The depth of a model with default parameters, its engine proven."""
    sizes: dict[str, Any] = {"height": model.height, "width": model.width, "canonical_focal_px": model.canonical_focal_px}
    return Depth(engine.load(model, "depth", threads=threads), **sizes)


def systems(model: Model, *, threads: int = 2) -> Drive:
    """The systems of a model, exactly as the node builds them with default parameters."""
    sizes: dict[str, Any] = {"height": model.height, "width": model.width, "canonical_focal_px": model.canonical_focal_px}
    return Drive(depth_system(model, threads=threads), Odometry(engine.load(model, "pose", threads=threads), **sizes), Bev())


def depth(
    bag_paths: list[str], model: Model, *, truth: str | None = None, regions: str | None = None, **options: Any
) -> dict[str, Any]:
    """Depth scores over bags; against the LiDAR, or against a topic of true depth images of the same stamps.

    regions: topic of images that say why pixels are hard (evaluation.depth.REGIONS); scores them apart, needs `truth`.
    """
    if regions and not truth:
        raise BadInput(f"--regions {regions}: wanted --truth too, for a LiDAR does not reach every pixel of a region")
    score, system = DepthScore(), systems(model)
    system.bev = None
    for path in bag_paths:
        system.reset()
        images = _Images(path, truth, decode.depth_image, "--truth") if truth else None
        hard = _Images(path, regions, _bits, "--regions") if regions else None
        for frame in _progress(bags.FrameReader(path, pairing="nearest", **options)):
            if images is None:
                score.add(frame, system)
                continue
            output = system.depth.step(frame)
            true = images.at(frame.stamp_ns)
            if true is not None:
                bits = hard.at(frame.stamp_ns) if hard else None
                for topic, found in ((f"--truth {truth}", true), (f"--regions {regions}", bits)):
                    if found is not None and found.shape != output.depth.shape:
                        raise BadInput(f"{topic}: wanted images of the camera's size {output.depth.shape}, got {found.shape}")
                if hard and bits is None:
                    raise BadInput(f"--regions {regions}: {path} has true depth, but no region image, at {frame.stamp_ns} ns")
                score.add_truth(output.in_view(output.network_metres), true, bits)
    result = score.result()
    if result["frames"] == 0:
        wanted = f"true depth on {truth}" if truth else "a LiDAR scan and known extrinsics"
        raise BadInput(f"evaluate depth: {', '.join(bag_paths)} has no image with {wanted}")
    return result


def _bits(msg: Any) -> np.ndarray:
    if msg.encoding not in ("mono8", "8UC1"):
        raise BadInput(f"--regions: wanted images of mono8, got {msg.encoding!r}")
    return decode.image(msg)[..., 0]


class _Images:
    """True images of a topic by stamp, asked for in rising order."""

    def __init__(self, path: str, topic: str, decoded: Callable[[Any], np.ndarray], flag: str) -> None:
        bag, self._decoded = bags.Bag(path), decoded
        if bag.topics.get(topic, ("", 0))[0] != "sensor_msgs/msg/Image":
            raise BadInput(f"{flag} {topic}: is no topic of images of {path} ({', '.join(bag.topics)})")
        self._messages = (bag.decode(type_name, raw) for _, type_name, _, raw in bag.messages(topics=[topic]))
        self._next: Any = next(self._messages, None)

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """(H, W) of exactly this stamp, or None."""
        while self._next is not None and decode.stamp_ns(self._next.header) < stamp_ns:
            self._next = next(self._messages, None)
        if self._next is None or decode.stamp_ns(self._next.header) != stamp_ns:
            return None
        return self._decoded(self._next)


def odometry(bag_path: str, model: Model, *, reference: str | None = None, align: bool = False, **options: Any) -> dict[str, Any]:
    """Odometry scores of one bag: of the system that drives, and beside it under "predicted_road" of the same without the plane that a scan
    shows of the road, under "network" of the pose network by itself.

    Scans are paired as when driving, for the metric scale comes from them.
    """
    drive = systems(model)
    drive.bev = None
    assert drive.odometry is not None
    sizes: dict[str, Any] = {"height": model.height, "width": model.width, "canonical_focal_px": model.canonical_focal_px}
    pose_network = engine.load(model, "pose")
    beside = {
        "predicted_road": Odometry(pose_network, **sizes),
        "network": Odometry(pose_network, **sizes, config=odometry_system.Config(refine=False)),
    }
    refined, paths = _Path(), {name: _Path() for name in beside}
    milliseconds: list[float] = []
    reader = bags.FrameReader(bag_path, pairing="latest", **options)
    for frame in _progress(reader):
        for output in (outputs := drive.step(frame)):
            if isinstance(output, DepthOutput):
                before = time.perf_counter()
                first = next(outputs, None)
                milliseconds.append((time.perf_counter() - before) * 1e3)
                refined.add(frame, first if isinstance(first, OdometryOutput) else None)
                for name, system in beside.items():
                    paths[name].add(frame, system.step(frame, output.scale, output.network_input, output.metres))
    if not refined.outputs:
        raise BadInput(f"evaluate odometry: {bag_path} has no two images within a second of each other")
    found = references.load(reference, bag_path, **options)

    def score(path: _Path) -> dict[str, Any]:
        errors = odometry_evaluation.score(path.stamps, path.poses, found, reader.calibration, reader.tree, align=align)
        nees = odometry_evaluation.nees_per_dof(path.outputs, found, reader.calibration, reader.tree)
        return errors | {"nees_per_dof": round(nees, 3)}

    return score(refined) | {
        "refined_share": round(float(np.mean([output.refined for output in refined.outputs])), 4),
        "odometry_ms": round(float(np.median(milliseconds[1:])), 2),
    } | {name: score(path) for name, path in paths.items()}


class _Path:
    """What an odometry said, image after image; odom begins at the first image."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.poses: list[np.ndarray] = []
        self.outputs: list[OdometryOutput] = []

    def add(self, frame: Frame, output: OdometryOutput | None) -> None:
        """One image and what was said of it."""
        if not self.poses:
            self.stamps, self.poses = [frame.stamp_ns], [np.eye(4)]
        elif output is not None:
            for each in (*output.belated, output):
                self.stamps.append(each.stamp_ns)
                self.poses.append(each.T_odom_base)
                self.outputs.append(each)


def bev(bag_paths: list[str], model: Model, **options: Any) -> dict[str, Any]:
    """Scores of the camera-only cloud over bags."""
    score = BevScore()
    for path in bag_paths:
        drive = systems(model)
        for frame in _progress(bags.FrameReader(path, pairing="latest", **options)):
            seen_now = drive.at_image_time(frame)
            for output in drive.step(frame):
                if isinstance(output, BevOutput):
                    score.add(output.points, seen_now)
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
