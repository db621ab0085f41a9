"""True boxes of a bag's frames: from a topic of the bag, or from KITTI label files; all in the body frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.bag import kitti_labels, poses
from depth_perception.bag.frames import FrameReader
from depth_perception.bag.reader import Bag
from depth_perception.decode import stamp_ns
from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.geometry import pose
from depth_perception.geometry.boxes import NAMES, Box3D, class_of

MARKERS, DETECTIONS = "visualization_msgs/msg/MarkerArray", "vision_msgs/msg/Detection3DArray"
TRUTH = "/truth/boxes"  # where simulated drives have them
_CUBE, _ADD = 1, 0
_APART_NS = 50_000_000  # a label that far from an image is another moment's

# (frame, its number among those that the reader gives) -> its boxes; None: nobody labelled it.
Labels = Callable[[Frame, int], "tuple[Box3D, ...] | None"]


def labels(reader: FrameReader, source: str | None = None) -> Labels:
    """What asks for the boxes of a frame of this reader, while it is read.

    Args:
        source: a topic of MarkerArray (cubes whose ns is the class) or Detection3DArray, whose boxes belong to the image nearest in
            time, at most 50 ms off; or a folder of label_2 style files, itself or its label_2, named by stamp in ns or by the image's
            number, with the folder calib beside them where the labels are another camera's; or one tracking style file.
            None: /truth/boxes.
    Raises:
        BadInput: there is no such thing, a message or file cannot be used, a class is unknown, or TF does not lead to the body.
    """
    path = Path(source or TRUTH)
    if source and (path.is_dir() or path.is_file()):
        of = _folder(path) if path.is_dir() else _drive(path)
        # An image that cannot be used has a number, too, or all labels after it would be another moment's.
        return lambda frame, number: of(frame, reader.numbers.get(frame.stamp_ns, number))
    topic = source or TRUTH
    there = {name: kind for name, (kind, _) in reader.bag.topics.items() if kind in (MARKERS, DETECTIONS)}
    if topic not in there:
        listing = ", ".join(there) or "none"
        raise BadInput(f"labels {topic}: wanted a folder or file of KITTI labels, or a topic of {MARKERS} or {DETECTIONS} in "
                       f"{reader.bag.path}; it has {listing}")
    found = _topic(reader, topic)
    stamps = np.array(sorted(found), np.int64)

    def near(frame: Frame, number: int) -> tuple[Box3D, ...] | None:
        if not len(stamps):
            return None
        nearest = int(stamps[np.abs(stamps - frame.stamp_ns).argmin()])
        return found[nearest] if abs(nearest - frame.stamp_ns) <= _APART_NS else None

    return near


def _topic(reader: FrameReader, topic: str) -> dict[int, tuple[Box3D, ...]]:
    """Stamp -> boxes of every message of a topic."""
    bag, to_body = reader.bag, _ToBody(reader)
    found = {}
    for _, type_name, log_ns, raw in bag.messages([topic]):
        message = bag.decode(type_name, raw)
        try:
            marked = list(_cubes(message) if type_name == MARKERS else _detections(message))
        except BadInput as error:
            raise BadInput(f"labels {topic}: {error}") from None
        # An empty MarkerArray has no header, and says by its time in the bag of which moment it is.
        boxed = [marker for marker in message.markers if _is_box(marker)] if type_name == MARKERS else [message]
        own = stamp_ns(boxed[0].header) if boxed else log_ns
        boxes = []
        for frame, name, score, at, size in marked:
            if name.lower() not in NAMES:
                raise BadInput(f"labels {topic}: unknown class {name!r}; known are {', '.join(NAMES)}")
            label = class_of(name)
            if label is None:
                continue
            T_base_frame, sides = to_body(frame, own), np.array([size.x, size.y, size.z])
            try:
                T = T_base_frame @ _matrix(at)
                boxes.append(Box3D(label, score, T[:3, 3], sides, float(np.arctan2(T[1, 0], T[0, 0]))))
            except BadInput as error:
                raise BadInput(f"labels {topic}: {error}") from None
        found[own] = tuple(boxes)
    return found


def _cubes(message: Any) -> Iterable[tuple[str, str, float, Any, Any]]:
    """(frame, class, score, pose, size) of each box."""
    for marker in filter(_is_box, message.markers):
        yield marker.header.frame_id, marker.ns, 1.0, marker.pose, marker.scale


def _is_box(marker: Any) -> bool:
    return bool(marker.type == _CUBE and marker.action == _ADD)


def _detections(message: Any) -> Iterable[tuple[str, str, float, Any, Any]]:
    for detection in message.detections:
        if not detection.results:
            raise BadInput("wanted detections with a class, got one without results")
        # Releases of vision_msgs differ: the hypothesis is a part of the result, or is the result.
        said = [getattr(result, "hypothesis", result) for result in detection.results]
        best = max(said, key=lambda hypothesis: hypothesis.score)
        name = best.class_id if hasattr(best, "class_id") else best.id
        yield detection.header.frame_id or message.header.frame_id, str(name), float(best.score), detection.bbox.center, detection.bbox.size


def _matrix(at: Any) -> np.ndarray:
    p, q = at.position, at.orientation
    return pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


class _ToBody:
    """(frame, stamp) -> (4, 4) T_base_frame, by the static transforms, or over one link that moves."""

    def __init__(self, reader: FrameReader) -> None:
        self._bag, self._tree, self._base = reader.bag, reader.tree, reader.calibration.base_frame
        self._moving: dict[str, tuple[poses.Poses, np.ndarray]] = {}

    def __call__(self, frame: str, stamp: int) -> np.ndarray:
        frame = frame.lstrip("/")
        if frame == self._base:
            return np.eye(4)
        fixed = self._tree.between(self._base, frame)
        if fixed is not None:
            return fixed
        if frame not in self._moving:
            self._moving[frame] = self._link(frame)
        path, T_child_base = self._moving[frame]
        T_frame_child, inside = path.at(np.array([stamp], np.int64))
        if not inside[0]:
            raise BadInput(f"labels: TF does not say where {self._base} is in {frame} at {stamp} ns")
        return pose.inverse(T_frame_child[0] @ T_child_base)

    def _link(self, frame: str) -> tuple[poses.Poses, np.ndarray]:
        """The link of the bag's TF that leads from a frame to something fixed to the body, and T_child_base."""
        for child in _children(self._bag, frame):
            T_child_base = np.eye(4) if child == self._base else self._tree.between(child, self._base)
            if T_child_base is not None:
                return poses.find(self._bag, f"{frame}:{child}", whose="labels"), T_child_base
        raise BadInput(f"labels: {self._tree.gap(self._base, frame) or f'TF does not connect {self._base} with {frame}'}")


def _children(bag: Bag, parent: str) -> list[str]:
    children: dict[str, None] = {}
    for _, type_name, _, raw in bag.messages(["/tf"]) if "/tf" in bag.topics else ():
        for link in bag.decode(type_name, raw).transforms:
            if link.header.frame_id.lstrip("/") == parent:
                children[link.child_frame_id.lstrip("/")] = None
    return list(children)


def _folder(path: Path) -> Labels:
    folder = path / "label_2" if (path / "label_2").is_dir() else path
    files = {int(file.stem): file for file in folder.glob("*.txt") if file.stem.isdigit()}
    if not files:
        raise BadInput(f"labels {folder}: wanted KITTI label files NAME.txt, named by stamp or number, there are none")
    calib = folder.parent / "calib"

    def of(frame: Frame, number: int) -> tuple[Box3D, ...] | None:
        file = files.get(frame.stamp_ns) or files.get(number)
        if file is None:
            return None
        return kitti_labels.read(file, frame.calibration, T_camera_label=_reference(calib / file.name) if calib.is_dir() else None)

    return of


def _drive(path: Path) -> Labels:
    # KITTI's own layout: label_02/0009.txt beside calib/0009.txt.
    calib = path.parent.parent / "calib" / path.name
    known: dict[int, tuple[Calibration, dict[int, tuple[Box3D, ...]]]] = {}

    def of(frame: Frame, number: int) -> tuple[Box3D, ...] | None:
        if id(frame.calibration) not in known:
            T = _reference(calib) if calib.is_file() else None
            known[id(frame.calibration)] = frame.calibration, kitti_labels.read_tracking(path, frame.calibration, T_camera_label=T)
        # A drive's file has no lines for a frame without anything: such a frame is labelled, too.
        frames = known[id(frame.calibration)][1]
        return frames.get(number, ()) if frames and number <= max(frames) else None

    return of


def _reference(file: Path) -> np.ndarray:
    return kitti_labels.reference_camera(file)
