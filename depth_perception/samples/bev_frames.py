"""Frames in memory, for what is learned from above (S3): image, cloud, target points or labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from depth_perception.frame import BadInput, Frame, check_ranges, ranged
from depth_perception.geometry import camera, frustum, lidar, pose
from depth_perception.geometry.boxes import Box3D, beside, returns
from depth_perception.geometry.pillars import ground_of
from depth_perception.samples.targets import TargetConfig, targets

NO_SCAN = "no LiDAR scan"
Labels = Callable[[Frame, int], Sequence[Box3D] | None]


@dataclass(frozen=True)
class BevFrameConfig:
    """storage_height: of the images that are kept. every: every so many-th frame of a bag.

    leave_end: this share of every bag's time, its end, is not even read: somebody else scores on it.

    reach_m: what of a cloud is kept, from the body ahead and to the sides, behind_m: and behind it. max_points: of a cloud, at random.
    min_returns: labels with fewer returns in them are left out.
    """

    storage_height: int = ranged(176, 16, 4096)  # type: ignore[assignment]
    leave_end: float = ranged(0.0, 0, 0.9)
    every: int = ranged(1, 1, 1e6)  # type: ignore[assignment]
    reach_m: float = ranged(65.0, 1, 1000)
    behind_m: float = ranged(12.0, 0, 1000)
    max_points: int = ranged(60000, 1, 1e8)  # type: ignore[assignment]
    min_returns: int = ranged(3, 0, 1e6)  # type: ignore[assignment]
    targets: TargetConfig = field(default_factory=TargetConfig)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class BevFrame:
    """image: (h, w, 3) uint8 RGB; K: (3, 3) of it; T_base_camera: (4, 4), of a body that looks as the camera does where that looks aside
    (frustum.facing): one grid ahead serves cameras of all views (claim 14).

    points: (N, 3) float32 returns, body frame, metres, none where there was no scan; ground: (3,) plane under them (geometry.ground), or
    level, as low as the drive's labels stand.
    pixels: (M, 2) float32 target points in the image; at: (M, 3) float32 the same in the body frame; none of a frame with labels.
    labels: boxes with returns in them, body frame; None where nobody labelled the frame. around: whether what is beside the image is
    labelled, too, as some box of the drive wholly there shows.
    """

    name: str
    stamp_ns: int
    image: np.ndarray
    K: np.ndarray
    T_base_camera: np.ndarray
    points: np.ndarray
    ground: np.ndarray
    pixels: np.ndarray
    at: np.ndarray
    labels: tuple[Box3D, ...] | None = None
    around: bool = False


@dataclass
class BevFrames:
    """Frames to learn from, and those held out: the first share `validate` of every drive, two frames apart from the others. They choose
    weights; what a model is worth, other drives say.

    labelled: whether labels are what is learned from: frames without them are left out, target points are not looked for. scans: whether
    frames without a scan that the camera sees are left out, too. dropped: what was left out, and how often.
    """

    config: BevFrameConfig = field(default_factory=BevFrameConfig)
    validate: float = 0.0
    labelled: bool = False
    scans: bool = True
    frames: list[BevFrame] = field(default_factory=list)
    held_out: list[BevFrame] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, frames: Iterable[Frame], *, name: str = "frames", labels: Labels | None = None) -> None:
        """Reads a drive once. labels: (frame, its number) -> boxes in the body frame, None = not labelled (bag.labels).

        BadInput, and nothing added, when no frame of it can be used: the sentence says why.
        """
        found: list[BevFrame] = []
        dropped, count, labelled, seen, around = Counter[str](), 0, 0, 0, False
        feet: list[float] = []
        for count, frame in enumerate(frames, 1):
            if (count - 1) % self.config.every:
                continue
            boxes = labels(frame, count - 1) if labels is not None else None
            made = self._frame(frame, name, boxes)
            if isinstance(made, str):
                dropped[made] += 1
            else:
                found.append(made)
                labelled += len(boxes or ())
                inside = sum(not beside(box, frame.calibration) for box in boxes or ())
                seen += inside
                around |= inside < len(boxes or ())
                feet += [float(box.centre[2] - box.size[2] / 2) for box in boxes or ()]
        if not found:
            reason = max(dropped, key=lambda each: dropped[each]) if dropped else "no frame at all"
            needs = ["a scan that falls into it"] * self.scans + ["labels" if self.labelled else "target points"]
            hint = " (the models of a cloud, and of both, need one; that of the image, --modality image, does not)" * self.labelled
            raise BadInput(f"{name}: wanted frames with an image, {' and '.join(needs)}; none of {count} has them: "
                           f"{reason}{hint if reason == NO_SCAN else ''}")
        if labelled and not seen:
            raise BadInput(f"{name}: wanted labels of what the camera sees; all {labelled} lie outside the image")
        if around:
            found = [replace(frame, around=True) for frame in found]
        if feet:  # where no return shows the road, what stands on it does
            level = np.array([0.0, 0.0, np.median(feet)])
            found = [frame if len(frame.points) else replace(frame, ground=level) for frame in found]
        held = int(self.validate * len(found))
        trained = found[held + 2 * (held > 0):]
        if not trained:  # too short to be divided
            held, trained = 0, found
        self.held_out += found[:held]
        self.frames += trained
        self.dropped += dropped

    def fewer(self, count: int) -> None:
        """Keeps so many frames to learn from, spread evenly; BadInput where there are not as many."""
        if not 1 <= count <= len(self.frames):
            raise BadInput(f"--frames: wanted 1 to {len(self.frames)}, as many as the bags have{' labelled' if self.labelled else ''}, "
                           f"got {count}")
        places = np.floor((np.arange(count) + 0.5) * len(self.frames) / count).astype(int)
        self.frames = [self.frames[place] for place in places]

    def _frame(self, frame: Frame, name: str, boxes: Sequence[Box3D] | None) -> BevFrame | str:
        """What is kept of a frame, or why nothing is."""
        if self.labelled and boxes is None:
            return "no labels"
        if frame.calibration.T_base_camera is None:
            return "no transform between camera and body"
        T_view_base = frustum.facing(frame.calibration.T_base_camera)
        calibration = replace(frame.calibration, T_base_camera=T_view_base @ frame.calibration.T_base_camera)
        assert calibration.T_base_camera is not None
        height = min(calibration.height, self.config.storage_height)
        width = round(calibration.width * height / calibration.height)
        image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
        K = camera.resize_K(calibration.K, from_size=(calibration.height, calibration.width), to_size=(height, width))
        in_camera = _seen(frame, K, height=height, width=width)
        if isinstance(in_camera, str):
            if self.scans:
                return in_camera
            in_camera = np.zeros((0, 3), np.float32)
        pixels, which = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
        if not self.labelled:
            pixels, which = targets(image, K, in_camera, self.config.targets)
            if not len(which):
                return "no target points: no corners, or none with a return beside it"
        points = pose.transform(calibration.T_base_camera, in_camera).astype(np.float32)
        at = points[which]
        ground = ground_of(points)
        scanned = len(points) > 0
        points = points[(np.abs(points[:, :2]) < self.config.reach_m).all(1) & (points[:, 0] > -self.config.behind_m)]
        if len(points) > self.config.max_points:
            points = points[np.random.default_rng(frame.stamp_ns).choice(len(points), self.config.max_points, replace=False)]
        labels = None
        if boxes is not None:
            turned = (box.moved(T_view_base) for box in boxes)
            labels = tuple(box for box in turned if not scanned or returns(box, points) >= self.config.min_returns)
        return BevFrame(name, frame.stamp_ns, image, K, calibration.T_base_camera, points, ground, pixels, at, labels)


def _seen(frame: Frame, K: np.ndarray, *, height: int, width: int) -> np.ndarray | str:
    """(N, 3) the scan in the camera frame, metres, some of it in the image of this size; or why it is of no use."""
    if frame.scan is None:
        return NO_SCAN
    if frame.calibration.T_camera_lidar is None:
        return "no transform between camera and LiDAR"
    in_camera = lidar.in_camera(frame.scan, frame.calibration)
    pixels, z = camera.project(K, in_camera)
    inside = (z > 0.5) & (pixels >= 0).all(1) & (pixels <= [width - 1, height - 1]).all(1)
    return in_camera if inside.any() else "no return of the LiDAR in the image"


def turn(yaw: float, *, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """(4, 4) rotation about z by `yaw` radians, then a shift by x, y metres."""
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:2, 3] = x, y
    return T

