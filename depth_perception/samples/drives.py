"""Drives in memory, and the places in them where a training window can be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.geometry import camera, lidar
from depth_perception.geometry.registration import camera_motion
from depth_perception.samples.config import SampleConfig

# A lens outside of these is no rectified pinhole camera, but a calibration with a wrong unit or a slipped decimal.
_FIELD_OF_VIEW_DEG = (3.0, 170.0)
_SQUARE = 2.0
# How far K may differ from image to image, as a share of the focal length: a tenth of a pixel of what is stored, as figures that were
# rounded do. A lens that zooms is another camera.
_SAME_K = 1e-3
_UNKNOWN = np.full((4, 4), np.nan)
_MOST_WAITING = 32  # pairs of images whose motion is being measured: this much memory, whatever the length of a drive


class NothingToLearn(BadInput):
    """A drive that is as it should be, but parked or in the dark: by itself no training, among others none less."""


@dataclass(eq=False)
class Drive:
    """One continuous drive in memory.

    name: of its bag. images: (N, h, w, 3) uint8 RGB; K: (3, 3) of these; points: per frame (M, 3) float32 inside the view, camera
    frame, metres, far ones first; stamps: (N,) int64 ns; motions: per frame (4, 4) T_this_previous measured from the previous
    frame's points (geometry.registration), NaN where that gave no answer; travelled_m: per frame what the camera has travelled since
    the previous one by the bag's odometry, NaN where unknown; flows_px: per frame the median shift of corners since the previous
    one, pixels of `images`, NaN where nobody asked or nothing was found.
    """

    name: str
    K: np.ndarray
    images: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    motions: list[np.ndarray] = field(default_factory=list)
    travelled_m: list[float] = field(default_factory=list)
    flows_px: list[float] = field(default_factory=list)

    def has_moved(self, i: int, config: SampleConfig) -> bool:
        """Whether the camera moved between frames i - 1 and i, as far as anything tells."""
        for metres in (self.travelled_m[i], float(np.linalg.norm(self.motions[i][:3, 3]))):
            if np.isfinite(metres):
                return metres >= config.min_motion_m
        return not self.flows_px[i] < config.min_flow_px


@dataclass
class Drives:
    """Drives and the places in them where a window (previous, current, next) can be cut: (drive, frame).

    validate: this share of every drive's windows, its first ones, is held out (what a car saw last is the most like what it sees next,
    and is learned from): they go to `held_out`, and the two windows after them, which share an image with them, to neither; a drive too
    short for that is trained on as a whole. needs_scan: whether a window's middle image must have LiDAR points in view (not when
    learning from video alone). dropped: what was left out, and how often.
    """

    config: SampleConfig = field(default_factory=SampleConfig)
    validate: float = 0.0
    needs_scan: bool = True
    drives: list[Drive] = field(default_factory=list)
    windows: list[tuple[int, int]] = field(default_factory=list)
    held_out: list[tuple[int, int]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, frames: Iterable[Frame], *, name: str = "frames", travelled: Callable[[int, int], float] | None = None) -> None:
        """Reads a drive once. travelled: (stamp, stamp) ns -> metres between them by the bag's odometry, NaN = unknown.

        BadInput, and nothing added, when it has no window: three images in a row that show something and move (NothingToLearn), the
        middle one with LiDAR points in view; or when its K cannot be that of a pinhole camera.
        """
        drive, scans = self._read(frames, name, travelled)
        images = 0 if drive is None else len(drive.images)
        count = 0 if drive is None else sum(len(points) > 0 for points in drive.points)
        seen = f"{images} images, {count} with LiDAR in view"
        if drive is None or images < 3:
            raise BadInput(f"{name}: wanted three images in a row within {self.config.max_gap_s} s steps and a scan, got {seen}")
        if self.needs_scan and count == 0:
            raise BadInput(f"{name}: the LiDAR and the camera have nothing in common ({seen}): {scans.excuse()}")
        windows, dropped = self._windows(drive)
        if not windows and dropped["standing still"]:
            raise NothingToLearn(f"{name}: the car stands still in all {dropped['standing still']} windows (it moves less than "
                                 f"{self.config.min_motion_m} m from image to image): nothing can be learned from motion")
        if not windows and dropped["empty"]:
            raise NothingToLearn(f"{name}: the images show nothing (black or one colour) in all {dropped['empty']} windows")
        if not windows:
            raise BadInput(f"{name}: wanted three images in a row within {self.config.max_gap_s} s steps and a scan, got {seen}")
        place = len(self.drives)
        held = windows[: int(self.validate * len(windows))]
        trained = [i for i in windows if not held or i > held[-1] + 2]
        if not trained:  # too short to be divided
            held, trained = [], windows
        self.drives.append(drive)
        self.windows += [(place, i) for i in trained]
        self.held_out += [(place, i) for i in held]
        self.dropped += dropped

    def stretches(self, batch: int) -> list[list[int]]:
        """Per place of a batch, the indices of the windows it draws from: a stretch of every drive, each window in one of them."""
        pools: list[list[int]] = [[] for _ in range(batch)]
        counts = Counter(which for which, _ in self.windows)
        position = Counter[int]()
        for index, (which, _) in enumerate(self.windows):
            pools[(position[which] * batch // counts[which] + which) % batch].append(index)  # short drives begin at different places
            position[which] += 1
        return pools

    def keep(self, indices: Iterable[int]) -> None:
        """Forgets the images and points of windows that are neither among these nor held out. The lists of windows stay as they are."""
        wanted = {(which, j) for which, i in (*(self.windows[index] for index in indices), *self.held_out) for j in (i - 1, i, i + 1)}
        for which, drive in enumerate(self.drives):
            for j in range(len(drive.images)):
                if (which, j) not in wanted:
                    drive.images[j], drive.points[j] = drive.images[j][:0, :0].copy(), drive.points[j][:0].copy()

    @property
    def at_hand(self) -> list[tuple[int, int]]:
        """The windows whose images are in memory."""
        return [(which, i) for which, i in self.windows if all(self.drives[which].images[j].size for j in (i - 1, i, i + 1))]

    def _read(self, frames: Iterable[Frame], name: str, travelled: Callable[[int, int], float] | None) -> tuple[Drive | None, _Scans]:
        drive: Drive | None = None
        scans = _Scans()
        grey_before: np.ndarray = np.zeros((0, 0), np.uint8)
        rng = np.random.default_rng(0)
        motions: list[Future[tuple[np.ndarray, float]]] = []
        with ThreadPoolExecutor(thread_name_prefix="motions") as pool:  # OpenCV leaves the interpreter to the next frame's decoding
            for frame in frames:
                height, width = frame.image.shape[:2]
                h = min(height, self.config.storage_height)
                w = round(width * h / height)
                K = camera.resize_K(frame.calibration.K, from_size=(height, width), to_size=(h, w))
                if drive is None:
                    _check_lens(frame.calibration, name)
                    drive = Drive(name, K, motions=[_UNKNOWN], travelled_m=[np.nan], flows_px=[np.nan])
                elif drive.images[0].shape[:2] != (h, w):
                    raise BadInput(f"{name}: wanted one image size in a drive, got {drive.images[0].shape[:2]} and then {(h, w)} (scaled)")
                elif np.abs(K - drive.K).max() > _SAME_K * drive.K[0, 0]:
                    raise BadInput(f"{name}: wanted one K in a drive, got {_lens(drive.K)} and then {_lens(K)} (scaled); give the one "
                                   "that is right with --calibration")
                image = cv2.resize(frame.image, (w, h), interpolation=cv2.INTER_AREA)
                grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
                if drive.images:
                    metres = travelled(drive.stamps[-1], frame.stamp_ns) if travelled is not None else np.nan
                    motions.append(pool.submit(_moved, grey_before, grey, drive.points[-1], frame.calibration.K,
                                               None if np.isfinite(metres) else (drive.images[-1], image)))
                    drive.travelled_m.append(metres)
                    if len(motions) > _MOST_WAITING:
                        motions[-_MOST_WAITING].result()
                drive.images.append(image)
                drive.points.append(_points_in_view(frame, self.config.max_points, rng))
                drive.stamps.append(frame.stamp_ns)
                scans.add(frame)
                grey_before = grey
            if drive is not None:
                measured = [each.result() for each in motions]
                drive.motions += [motion for motion, _ in measured]
                drive.flows_px += [flow for _, flow in measured]
        return drive, scans

    def _windows(self, drive: Drive) -> tuple[list[int], Counter[str]]:
        """The middle frames of the drive's windows, and why others are none."""
        steps = np.diff(drive.stamps)
        close = (steps > 0) & (steps < self.config.max_gap_s * 1e9)  # a clock can jump back
        shows = [image.mean(2).std() >= self.config.min_contrast for image in drive.images]
        windows, dropped = [], Counter[str]()
        for i in range(1, len(drive.images) - 1):
            if not (close[i - 1] and close[i]):
                dropped["beside a gap"] += 1
            elif self.needs_scan and not len(drive.points[i]):
                dropped["without LiDAR"] += 1
            elif not all(shows[i - 1 : i + 2]):
                dropped["empty"] += 1
            elif not (drive.has_moved(i, self.config) or drive.has_moved(i + 1, self.config)):
                dropped["standing still"] += 1
            else:
                windows.append(i)
        return windows, dropped


@dataclass
class _Scans:
    """How far the scans of a drive got towards the image."""

    paired: int = 0
    placed: int = 0

    def add(self, frame: Frame) -> None:
        self.paired += frame.scan is not None
        self.placed += frame.scan is not None and frame.calibration.T_camera_lidar is not None

    def excuse(self) -> str:
        if not self.paired:
            return "no scan was taken within reach of any image; is there a LiDAR, and is its clock the camera's?"
        if not self.placed:
            return "the transform between their frames is not known; give a calibration file"
        return f"not one point of {self.placed} scans falls into its image; are the extrinsics right?"


def _moved(before: np.ndarray, after: np.ndarray, points: np.ndarray, K: np.ndarray, images: tuple[np.ndarray, np.ndarray] | None
           ) -> tuple[np.ndarray, float]:
    """The motion and the flow of a `Drive` between two grey images; the flow of two smaller ones, only if they are given, and only where
    the motion gave no answer."""
    motion = camera_motion(before, after, points, K)
    flow = corner_flow(*images) if motion is None and images is not None else np.nan
    return _UNKNOWN if motion is None else motion, flow


def corner_flow(before: np.ndarray, after: np.ndarray) -> float:
    """Median shift of corners between two (H, W, 3) uint8 images of one size, pixels; NaN when hardly any is found again."""
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, after))
    corners = cv2.goodFeaturesToTrack(a, 300, 0.003, 5)
    if corners is None:
        return float("nan")
    there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, None, winSize=(11, 11), maxLevel=3)  # type: ignore[call-overload]
    shifts = np.linalg.norm(there - corners, axis=2)[found == 1]
    return float(np.median(shifts)) if len(shifts) >= 10 else float("nan")


def _check_lens(calibration: Calibration, name: str) -> None:
    fx, fy = calibration.K[0, 0], calibration.K[1, 1]
    least, most = _FIELD_OF_VIEW_DEG
    for focal, size, axis in ((fx, calibration.width, "horizontally"), (fy, calibration.height, "vertically")):
        angle = np.degrees(2 * np.arctan(size / (2 * focal)))
        if not least <= angle <= most:
            raise BadInput(f"{name}: K: a focal length of {focal:g} px for {size} px sees {angle:.2f} degrees {axis}; "
                           f"wanted {least:g} to {most:g}, as a pinhole camera has")
    if not 1 / _SQUARE <= fx / fy <= _SQUARE:
        raise BadInput(f"{name}: K: wanted about the same focal length both ways, got fx={fx:g} fy={fy:g}")


def _lens(K: np.ndarray) -> str:
    return f"fx={K[0, 0]:g} fy={K[1, 1]:g} cx={K[0, 2]:g} cy={K[1, 2]:g}"


def _points_in_view(frame: Frame, limit: int, rng: np.random.Generator) -> np.ndarray:
    if frame.scan is None or frame.calibration.T_camera_lidar is None:
        return np.zeros((0, 3), np.float32)
    points = lidar.in_camera(frame.scan, frame.calibration)
    points = points[points[:, 2] > 0.5]
    u, v = camera.project(frame.calibration.K, points)[0].T
    points = points[(u >= 0) & (v >= 0) & (u <= frame.calibration.width - 1) & (v <= frame.calibration.height - 1)]
    if len(points) > limit:
        points = points[rng.choice(len(points), limit, replace=False)]
    # Far ones first: a plain assignment then leaves the nearest point in a pixel.
    return np.ascontiguousarray(points[np.argsort(-points[:, 2])], np.float32)
