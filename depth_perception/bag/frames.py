"""A bag -> frames, one after the other, in constant memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from depth_perception import decode
from depth_perception.bag.reader import Bag
from depth_perception.bag.topics import COMPRESSED, TRANSFORMS, guess_topics
from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.geometry.pose import FrameTree

_JUMP_NS = 1_000_000_000
_LATE_NS = 200_000_000
_MOST_WAITING = 32
# Scans that wait for an image that is logged late: ten at least, and those of the last second of the log, as ten of a LiDAR at 10 Hz are.
# So many at most, should nothing in a bag know the time.
_FEWEST_SCANS, _MOST_SCANS, _SCANS_NS = 10, 256, 1_000_000_000
_MOST_SENTENCES = 100


class FrameReader:
    """Iterates over the frames of a bag; a message that cannot be used is skipped and counted.

    Args:
        bag_path: rosbag2 directory, .mcap or .db3.
        image_topic, info_topic, points_topic: see `guess_topics`. scans: False looks for no LiDAR, and reads none.
        calibration: YAML file (see `decode.read_calibration`) instead of CameraInfo and TF.
        pairing: "latest" as when driving (see `decode.Pairing`); "nearest" in time, before or after, for training and scoring.
        max_delay_ns: largest distance in time between an image and its scan, nanoseconds.
        base_frame: body frame; see `decode.calibration`.
        scan_offset_s: seconds added to every scan's stamp before pairing, to make the LiDAR's clock the camera's.
    Attributes:
        bag: the open Bag. topics: the Topics in use. tree: FrameTree of the static transforms.
        calibration: Calibration at the beginning of the bag. lidar_frame: frame of its first scan, or None.
        disagreements: where the bag's CameraInfo and TF differ from the calibration file, as sentences.
        skipped: sentence -> how often, over the last iteration.
        numbers: stamp of an image -> its number among all of the bag's, usable or not, from 0; over the last iteration.
        logged_ns: stamp of an image -> when it was logged, in nanoseconds of the recorder's clock; over the last iteration.
    Raises:
        BadInput: the bag, the topics or the calibration cannot be used; while iterating: not one frame could be read.
    """

    def __init__(self, bag_path: str | Path, *, image_topic: str | None = None, info_topic: str | None = None,
                 points_topic: str | None = None, calibration: str | Path | None = None,
                 pairing: Literal["latest", "nearest"] = "latest", max_delay_ns: int = 150_000_000, base_frame: str | None = None,
                 scan_offset_s: float = 0.0, scans: bool = True) -> None:
        if pairing not in ("latest", "nearest"):
            raise BadInput(f"pairing: wanted latest or nearest, got {pairing!r}")
        self._offset_ns = decode.scan_offset_ns(scan_offset_s)
        self.bag = Bag(bag_path)
        self.topics = guess_topics(self.bag, image_topic=image_topic, info_topic=info_topic, points_topic=points_topic,
                                   needs_info=calibration is None, needs_points=scans)
        self.skipped: Counter[str] = Counter()
        self.numbers: dict[int, int] = {}
        self.logged_ns: dict[int, int] = {}
        self.tree = FrameTree()
        self._pairing: Literal["latest", "nearest"] = pairing
        self._max_delay_ns, self._base_frame = max_delay_ns, base_frame
        self._is_fixed = calibration is not None
        self._read_static_transforms()
        self.lidar_frame = self._first_lidar_frame()
        self.disagreements: list[str] = []
        if calibration is not None:
            self.calibration, self._rectifier = decode.read_calibration(calibration)
            self._base_frame = self.calibration.base_frame
            self.disagreements = self._disagreements()
            self.calibration = decode.completed(self.calibration, self.tree, lidar_frame=self.lidar_frame)
        else:
            self.calibration, self._rectifier = self._first_calibration()

    @property
    def is_rectified(self) -> bool:
        """True when the bag's images need no rectification."""
        return self._rectifier.is_identity

    def rectified_labels(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) labels, or depths, of the bag's image as it comes -> of the image that is read; none is mixed with its neighbour."""
        return self._rectifier.labels(labels)

    def __iter__(self) -> Iterator[Frame]:
        self.skipped.clear()
        self.numbers.clear()
        self.logged_ns.clear()
        number = -1
        calibration, rectifier = self.calibration, self._rectifier
        pairs = _Latest(self._max_delay_ns) if self._pairing == "latest" else _Nearest(self._max_delay_ns, max(-self._offset_ns, 0))
        last_ns, came = None, False
        info_seen: Any = None
        for topic, type_name, log_ns, raw in self.bag.messages(self._wanted()):
            number += topic == self.topics.image
            try:
                message = self.bag.decode(type_name, raw)
                if topic == self.topics.points:
                    pairs.add(decode.scan(message, offset_ns=self._offset_ns), log_ns)
                elif topic == self.topics.camera_info:
                    seen = decode.camera_key(message)
                    if seen != info_seen:  # the map of a Rectifier is costly; a camera's info hardly ever changes
                        calibration, rectifier = self._camera(message)
                        info_seen = seen
                else:
                    stamp_ns = decode.stamp_ns(message.header)
                    if last_ns is not None and stamp_ns < last_ns - _JUMP_NS:
                        yield from pairs.flush()
                        pairs.reset()
                        self._count("time jumped back by more than a second: pairing begins again")
                    elif last_ns is not None and stamp_ns <= last_ns:
                        raise BadInput("image: its stamp is not later than the one before")
                    image = rectifier(decode.compressed_image(message) if type_name == COMPRESSED else decode.image(message))
                    pairs.put(Frame(image, stamp_ns, calibration), log_ns)
                    last_ns, self.numbers[stamp_ns], self.logged_ns[stamp_ns] = stamp_ns, number, log_ns
            except BadInput as error:
                self._count(f"{topic}: {error}")
            for frame in pairs.ready(log_ns):
                came = True
                yield frame
        for frame in pairs.flush():
            came = True
            yield frame
        if not came:
            reasons = [*self.skipped, *self.bag.skipped]
            raise BadInput(f"{self.bag.path}: no frame could be read from {self.topics.image}" + (f": {reasons[0]}" if reasons else ""))

    def report(self) -> list[str]:
        """What disagrees and what was skipped, as sentences: first the calibration's, then the bag's, then the messages'."""
        return [*self.disagreements, *self.bag.skipped, *(f"{count}x {sentence}" for sentence, count in self.skipped.most_common())]

    def _wanted(self) -> list[str]:
        info = None if self._is_fixed else self.topics.camera_info
        return [topic for topic in (self.topics.image, info, self.topics.points) if topic is not None]

    def _count(self, sentence: str) -> None:
        known = sentence in self.skipped or len(self.skipped) < _MOST_SENTENCES
        self.skipped[sentence if known else "further messages that cannot be used"] += 1

    def _read_static_transforms(self) -> None:
        static = [name for name, (kind, _) in self.bag.topics.items() if kind == TRANSFORMS and name.rpartition("/")[2] == "tf_static"]
        for _, type_name, _, raw in self.bag.messages(static) if static else ():
            try:
                decode.transforms(self.bag.decode(type_name, raw), self.tree)
            except BadInput as error:
                self.bag.skipped.append(f"static transforms: {error}")

    def _first_lidar_frame(self) -> str | None:
        for _, type_name, _, raw in self.bag.messages([self.topics.points]) if self.topics.points else ():
            try:
                return decode.scan(self.bag.decode(type_name, raw)).frame_id
            except BadInput:
                continue  # counted when the frames are read
        return None

    def _first_calibration(self) -> tuple[Calibration, decode.Rectifier]:
        """From the first CameraInfo that can be used, wherever in the bag: no image is lost because its info came later."""
        if self.topics.camera_info is None:
            raise BadInput(f"{self.bag.path}: no sensor_msgs/msg/CameraInfo for {self.topics.image}; give a calibration file")
        first: BadInput | None = None
        for _, type_name, _, raw in self.bag.messages([self.topics.camera_info]):
            try:
                return self._camera(self.bag.decode(type_name, raw))
            except BadInput as error:
                first = first or error
        raise BadInput(f"{self.bag.path}: {self.topics.camera_info}: {first or 'holds no message that can be read'}")

    def _disagreements(self) -> list[str]:
        """Between the calibration file and what the bag itself says, as far as it says anything."""
        given = self.calibration
        try:
            own, _ = self._first_calibration()
        except BadInput:  # that is what the file is for; TF may still know the frames that it names
            between, camera, lidar = self.tree.between, given.frame_id, self.lidar_frame
            own = replace(given, T_base_camera=between(given.base_frame, camera), T_camera_lidar=between(camera, lidar) if lidar else None)
        return decode.disagreements(own, given)

    def _camera(self, info: Any) -> tuple[Calibration, decode.Rectifier]:
        calibration = decode.calibration(info, self.tree, lidar_frame=self.lidar_frame, base_frame=self._base_frame)
        return calibration, decode.Rectifier(info)


def frames(bag_path: str | Path, **options: Any) -> Iterator[Frame]:
    """The frames of a bag; the arguments are those of `FrameReader`, which also tells what was skipped."""
    return iter(FrameReader(bag_path, **options))


def _with_scan(frame: Frame, scan: Scan | None) -> Frame:
    return frame if scan is None else Frame(frame.image, frame.stamp_ns, frame.calibration, scan)


class _Latest:
    """Every frame leaves at once, with the newest scan that came before it."""

    def __init__(self, max_delay_ns: int) -> None:
        self._pairing = decode.Pairing(max_delay_ns)
        self._ready: deque[Frame] = deque()
        self.reset = self._pairing.reset

    def add(self, scan: Scan, log_ns: int) -> None:
        self._pairing.add(scan)

    def put(self, frame: Frame, log_ns: int) -> None:
        self._ready.append(_with_scan(frame, self._pairing.newest_before(frame.stamp_ns)))

    def ready(self, log_ns: int) -> Iterator[Frame]:
        while self._ready:
            yield self._ready.popleft()

    def flush(self) -> Iterator[Frame]:
        return self.ready(0)


class _Nearest:
    """A frame waits for the first scan after it, or until none can come any more; a few frames at most."""

    def __init__(self, max_delay_ns: int, lateness_ns: int = 0) -> None:
        self._max_delay_ns, self._late_ns = max_delay_ns, _LATE_NS + lateness_ns
        self._scans: deque[tuple[Scan, int]] = deque(maxlen=_MOST_SCANS)
        self._waiting: deque[tuple[Frame, int]] = deque()

    def add(self, scan: Scan, log_ns: int) -> None:
        self._scans.append((scan, log_ns))
        while len(self._scans) > _FEWEST_SCANS and self._scans[0][1] < log_ns - _SCANS_NS:
            self._scans.popleft()

    def reset(self) -> None:
        self._scans.clear()

    def put(self, frame: Frame, log_ns: int) -> None:
        self._waiting.append((frame, log_ns))

    def ready(self, log_ns: int) -> Iterator[Frame]:
        newest = max((scan.stamp_ns for scan, _ in self._scans), default=-1)
        while self._waiting:
            frame, put_ns = self._waiting[0]
            if newest < frame.stamp_ns and log_ns <= put_ns + self._max_delay_ns + self._late_ns and len(self._waiting) <= _MOST_WAITING:
                return
            yield self._leave()

    def flush(self) -> Iterator[Frame]:
        while self._waiting:
            yield self._leave()

    def _leave(self) -> Frame:
        frame, _ = self._waiting.popleft()
        nearest = min((scan for scan, _ in self._scans), key=lambda scan: abs(scan.stamp_ns - frame.stamp_ns), default=None)
        return _with_scan(frame, nearest if nearest is not None and abs(nearest.stamp_ns - frame.stamp_ns) <= self._max_delay_ns else None)
