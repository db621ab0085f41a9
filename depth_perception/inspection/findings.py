"""`inspect(bag)`: everything that can be found in a bag, as values that JSON can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.bag import Bag, FrameReader, Topics, guess_topics, poses
from depth_perception.frame import BadInput, Calibration, Frame, check_ranges, ranged
from depth_perception.geometry import pose
from depth_perception.geometry.edge_alignment import EdgeAlignment
from depth_perception.inspection import clocks, excerpt, motion, scan_matching, timing
from depth_perception.inspection.alignment import alignment
from depth_perception.inspection.fitness import fitness
from depth_perception.inspection.looks import Looks
from depth_perception.inspection.problems import problems
from depth_perception.inspection.sync import sync
from depth_perception.inspection.turning import Turning

_LEVEL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])  # body <- camera where TF does not know better
_ALIGNED = 12
LABELS = ("vision_msgs/msg/Detection3DArray", "visualization_msgs/msg/MarkerArray")


@dataclass(frozen=True)
class Config:
    """frames: at most so many images are decoded, in stretches of 100 spread over the bag; every message's times and size are read
    whatever it says. pictures: so many frames are kept for the page."""

    frames: int = ranged(1000, 20, 1_000_000)
    pictures: int = ranged(6, 0, 100)

    def __post_init__(self) -> None:
        check_ranges(self)


def inspect(path: str | Path, *, config: Config = Config(), odometry: str | None = None, album: list[Frame] | None = None,
            image_topic: str | None = None, info_topic: str | None = None, points_topic: str | None = None,
            calibration: str | Path | None = None, progress: Any = None) -> dict[str, Any]:
    """Reads all messages once, and decodes some stretches of images and scans.

    Args:
        odometry: topic, or PARENT:CHILD of TF, that knows the car's motion (default: the bag's only one).
        album: gets frames from all over the drive, for pictures. progress: `tqdm`, or None for silence.
        The others: as for `bag.FrameReader`.
    Returns:
        bag, start_ns, end_ns, duration_s, topics (rows of `timing.row`), chosen, calibration, frames, skipped; sync, time_offset,
        alignment, motion, images, windows (None where nothing tells); problems ({kind, sentence, remedy}) and warnings, their sentences;
        fitness (see there). Raises BadInput when nothing in the bag can be read.
    """
    bag = Bag(path)
    findings: dict[str, Any] = {
        "bag": str(path), "start_ns": bag.start_ns, "end_ns": bag.end_ns, "duration_s": (bag.end_ns - bag.start_ns) * 1e-9, "topics": [],
        "chosen": None, "calibration": None, "frames": None, "skipped": [], "sync": None, "time_offset": {}, "alignment": None,
        "motion": None, "images": None, "windows": None, "labels": [], "obstacles": [], "disagreements": []}
    bars = (lambda name, total: partial(progress, total=total, desc=name, disable=None)) if progress else (lambda name, total: None)
    known = _poses(bag, odometry)
    chosen: Topics | None = None
    try:
        chosen = guess_topics(bag, image_topic=image_topic, info_topic=info_topic, points_topic=points_topic,
                              needs_info=calibration is None)
        findings["chosen"] = {"image": chosen.image, "camera_info": chosen.camera_info, "points": chosen.points}
    except BadInput as error:
        findings["obstacles"].append({"kind": "topics", "sentence": str(error)})
    topics = timing.read(bag, content_of=[chosen.image] if chosen else [], progress=bars("reading", sum(n for _, n in bag.topics.values())))
    findings["topics"] = [timing.row(topic, start_ns=bag.start_ns, end_ns=bag.end_ns) for topic in topics.values()]
    findings["labels"] = [name for name, topic in topics.items() if topic.type_name in LABELS and topic.log_ns]
    findings["skipped"] = list(bag.skipped)
    if chosen is not None:
        stamps = {name: np.frombuffer(topics[name].stamp_ns, np.int64) for name in (chosen.image, chosen.points) if name}
        findings["windows"] = _in_a_row(stamps[chosen.image])
        if chosen.points:
            findings["sync"] = sync(stamps[chosen.image], stamps[chosen.points])
        try:
            reader = FrameReader(path, image_topic=image_topic, info_topic=info_topic, points_topic=points_topic, calibration=calibration,
                                 pairing="nearest")
            findings["calibration"] = _calibration(reader)
            _look(findings, reader, topics, config, album, known, bars)
        except BadInput as error:
            kind = "no_camera_info" if chosen.camera_info is None and calibration is None else "frames"
            findings["obstacles"].append({"kind": kind, "sentence": str(error)})
    findings["problems"] = problems(findings)
    findings["warnings"] = [problem["sentence"] for problem in findings["problems"]]
    findings["fitness"] = fitness(findings)
    return findings


def _calibration(reader: FrameReader) -> dict[str, Any]:
    camera = reader.calibration
    return {"width": camera.width, "height": camera.height, "K": camera.K.tolist(), "is_rectified": reader.is_rectified,
            "frame_id": camera.frame_id, "base_frame": camera.base_frame, "lidar_frame": reader.lidar_frame,
            "T_base_camera": None if camera.T_base_camera is None else camera.T_base_camera.tolist(),
            "T_camera_lidar": None if camera.T_camera_lidar is None else camera.T_camera_lidar.tolist()}


def _in_a_row(stamps: np.ndarray, *, max_gap_s: float = 0.35) -> dict[str, int]:
    """Places for a window of three images, as samples.Drives cuts them."""
    later = stamps[np.r_[True, np.diff(np.maximum.accumulate(stamps)) > 0]] if len(stamps) else stamps
    close = np.diff(later) < max_gap_s * 1e9
    return {"images": len(stamps), "in_a_row": int((close[1:] & close[:-1]).sum())}


def _look(findings: dict[str, Any], reader: FrameReader, topics: dict[str, timing.Topic], config: Config, album: list[Frame] | None,
          known: poses.Poses | None, bars: Any) -> None:
    """Decodes the chosen stretches and adds what they show."""
    image = topics[reader.topics.image]
    parts = excerpt.spans(np.frombuffer(image.log_ns, np.int64), most=config.frames)
    of = len(image.log_ns)
    total = min(of, config.frames)
    if len(parts) > 1 or of > config.frames:
        reader.bag = excerpt.Excerpt(reader.bag.path, parts)
    seen = _Seen(reader.calibration, total, config.pictures if album is not None else 0)
    bar = bars("decoding", total)
    try:
        for frame in reader if bar is None else bar(reader):
            seen.add(frame)
    finally:
        if album is not None:
            album += seen.album
        findings["skipped"] = [sentence for sentence in reader.report() if sentence not in reader.disagreements]
        findings["disagreements"] = reader.disagreements
        if seen.count:
            findings["frames"] = {"count": seen.count, "with_scan": seen.with_scan, "of": of,
                                  "points_per_scan": seen.points / seen.with_scan if seen.with_scan else None}
            findings["images"] = {**seen.looks.findings(), "repeated": timing.repeated_content(image) / max(of - 1, 1)}
            findings["alignment"] = alignment(seen.edges)
            _motion(findings, reader, topics, seen, known)


def _motion(findings: dict[str, Any], reader: FrameReader, topics: dict[str, timing.Topic], seen: _Seen,
            known: poses.Poses | None) -> None:
    """How the car moved, and the clocks of all that saw it turn against the camera's."""
    bag, start = Bag(reader.bag.path), findings["start_ns"]
    offsets = {}
    whole = None
    if known is not None and known.stamps_ns is not None:
        whole = motion.by_poses(known, start_ns=start)
        offsets["odometry"] = _offset(seen, known.stamps_ns, motion.headings(known)) | {"source": known.source}
    name = next((name for name, topic in topics.items() if topic.type_name == motion.IMU and len(topic.log_ns) > 3), None)
    if name is not None and (turns := motion.imu_turns(bag, name, reader.tree, reader.calibration.base_frame)) is not None:
        offsets["imu"] = _offset(seen, *turns) | {"source": name}
    if seen.by_lidar.starts:
        stamps, heading = seen.by_lidar.heading(start)
        offsets["lidar"] = _offset(seen, None, heading, seconds=stamps, origin_ns=start) | {"source": reader.topics.points}
    measured = {"start_ns": start, "duration_s": findings["duration_s"]}
    findings["motion"] = (whole or motion.by_steps("LiDAR", seen.by_lidar, **measured)
                          or motion.by_steps("images", seen.by_camera, **measured))
    findings["time_offset"] = offsets


def _poses(bag: Bag, odometry: str | None) -> poses.Poses | None:
    """The poses that were named, else the bag's only ones, else None."""
    try:
        return poses.find(bag, odometry, whose="odometry", option="--odometry")
    except BadInput:
        if odometry is not None:
            raise
        return None


def _offset(seen: _Seen, stamps_ns: np.ndarray | None, heading: np.ndarray, *, seconds: np.ndarray | None = None,
            origin_ns: int | None = None) -> dict[str, Any]:
    """One entry of time_offset: the fields of `clocks.Offset`, or cannot: why not."""
    steps = seen.by_camera
    origin = origin_ns if origin_ns is not None else steps.starts[0] if steps.starts else 0
    starts, ends = ((np.array(v, np.int64) - origin) * 1e-9 for v in (steps.starts, steps.ends))
    other = seconds if seconds is not None else (np.asarray(stamps_ns) - origin) * 1e-9
    found = clocks.offset(starts, ends, np.array(steps.radians), other, heading)
    return {"cannot": found} if isinstance(found, str) else asdict(found)


@dataclass
class _Seen:
    """What decoded frames leave behind."""

    calibration: Calibration
    total: int
    pictures: int
    count: int = 0
    with_scan: int = 0
    points: int = 0
    looks: Looks = field(default_factory=Looks)
    edges: EdgeAlignment = field(default_factory=EdgeAlignment)
    by_camera: motion.Steps = field(default_factory=motion.Steps)
    by_lidar: motion.Steps = field(default_factory=motion.Steps)
    album: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        T = _LEVEL if self.calibration.T_base_camera is None else self.calibration.T_base_camera
        self._turning = Turning(up=T[2, :3], ahead=T[0, :3])
        self._T_level_camera = np.eye(4)
        self._T_level_camera[:3, :3] = T[:3, :3]
        self._image_ns: int | None = None
        self._plan: tuple[int, np.ndarray] | None = None
        self._guess = np.zeros(3)

    def add(self, frame: Frame) -> None:
        """One frame; those of another stretch begin anew."""
        if self.pictures and self.count >= len(self.album) * self.total / self.pictures:
            self.album.append(Frame(frame.image.copy(), frame.stamp_ns, frame.calibration, frame.scan))
        self.looks.add(frame.image)
        if self.count >= len(self.edges.edges) * self.total / _ALIGNED and len(self.edges.edges) < _ALIGNED and self.looks.last_shows():
            self.edges.add(frame)
        self.count += 1
        joins = self._image_ns is not None and 0 < frame.stamp_ns - self._image_ns < 0.5e9
        if not joins:
            self._turning.forget()
        radians, pixels = self._turning(frame.image, frame.calibration.K)
        if joins and self._image_ns is not None:
            self.by_camera.add(self._image_ns, frame.stamp_ns, radians=radians, pixels=pixels)
        self._image_ns = frame.stamp_ns
        if frame.scan is not None:
            self.with_scan += 1
            self.points += len(frame.scan.points)
            self._scan(frame)

    def _scan(self, frame: Frame) -> None:
        scan = frame.scan
        assert scan is not None
        # A sweep that knows when each point was taken tells of its middle.
        stamp = scan.stamp_ns + (0 if scan.time_s is None else int(float(np.median(scan.time_s)) * 1e9))
        if frame.calibration.T_camera_lidar is None or (self._plan is not None and stamp == self._plan[0]):
            return
        plan = scan_matching.plan(pose.transform(self._T_level_camera @ frame.calibration.T_camera_lidar, scan.points))
        if self._plan is not None and 0 < stamp - self._plan[0] < 0.5e9:
            moved = scan_matching.motion(self._plan[1], plan, guess=self._guess)
            self._guess = np.zeros(3) if moved is None else moved
            if moved is not None:
                self.by_lidar.add(self._plan[0], stamp, metres=float(np.hypot(*moved[:2])), radians=float(moved[2]))
        self._plan = stamp, plan
