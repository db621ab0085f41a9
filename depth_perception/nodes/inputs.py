"""Camera, calibration, LiDAR and TF in; Frames out. Newest image only."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_perception import decode
from depth_perception.frame import BadInput, Calibration, Frame, Scan, check_ranges, ranged
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree
from depth_perception.nodes.listener import Listener
from depth_perception.nodes.mailbox import Mailbox
from depth_perception.nodes.optional import TFMessage
from depth_perception.nodes.watch import Watch
from depth_perception.systems.odometry import T_BODY_OPTICAL

EXTRINSICS = ("T_base_camera", "T_camera_lidar")


@dataclass(frozen=True)
class Config:
    """Attributes:
    compressed: the image topic carries sensor_msgs/CompressedImage.
    calibration: YAML file with the camera's calibration, instead of CameraInfo and of what TF says about its frames; empty: none.
    max_scan_delay_s: a scan older than this, seen from the image, is not paired with it.
    scan_offset_s: seconds to add to a scan's stamp to have it in the camera's time.
    base_frame: name of the body frame in TF; empty: base_link, or the root above the camera.
    T_base_camera, T_camera_lidar: x y z (metres) and qx qy qz qw, instead of what TF says; empty: what TF says.
    """

    compressed: bool = False
    calibration: str = ""
    max_scan_delay_s: float = ranged(0.15, 0, 10)
    scan_offset_s: float = ranged(0.0, -10, 10)
    base_frame: str = ""
    T_base_camera: tuple[float, ...] = ()
    T_camera_lidar: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in EXTRINSICS:
            self.transform(name)

    def transform(self, name: str) -> np.ndarray | None:
        """(4, 4) of T_base_camera or T_camera_lidar; None when it is not given."""
        values = getattr(self, name)
        if not values:
            return None
        if len(values) != 7 or not np.isfinite(values).all():
            raise BadInput(f"input.{name}: wanted 7 numbers (x y z qx qy qz qw), got {list(values)}")
        try:
            return pose.from_quaternion(np.array(values[:3]), np.array(values[3:]))
        except BadInput as error:
            raise BadInput(f"input.{name}: {error}") from None


def _sensor_qos() -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def _latched_qos() -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


class OneSource:
    """The sensor that a topic carries: the frame that spoke first, until it has been silent for a second.

    Two sensors on one topic (a missing remapping) would otherwise take turns, each with the other's calibration.
    """

    def __init__(self, topic: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic, self._clock = topic, clock
        self.frame_id: str | None = None
        self._heard_at = 0.0

    def check(self, frame_id: str) -> None:
        """BadInput for a message of another sensor than the one that is followed."""
        now = self._clock()
        if self.frame_id not in (None, frame_id) and now - self._heard_at < 1.0:
            raise BadInput(f"{self._topic}: messages of {frame_id!r} among those of {self.frame_id!r}; one node takes one sensor")
        self.frame_id, self._heard_at = frame_id, now


class Inputs:
    """Subscriptions of one camera and, if it is there, one LiDAR.

    `next()` waits for an image and gives `(Frame, received, decode_ms)`; what cannot be used is skipped, counted and kept as a
    sentence in `skipped`.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._config = node, config
        self._latched_info: Any = None
        self._images: Mailbox[tuple[Any, float]] = Mailbox()
        if not config.calibration:
            self._images.hold()  # an image often arrives just before the CameraInfo that goes with it
        self._pairing = decode.Pairing(round(config.max_scan_delay_s * 1e9))
        self._scan_offset_ns = decode.scan_offset_ns(config.scan_offset_s)
        self._tree = FrameTree()
        # The listener's thread adds scans and frames while the worker reads them.
        self._lock = threading.Lock()
        self._fixed = decode.read_calibration(config.calibration) if config.calibration else None
        self._lidar_frame: str | None = None
        self._info: Any = None
        self._calibration: tuple[tuple[Any, ...], Calibration, decode.Rectifier] | None = None
        self._tree_version = 0
        self.skipped: Counter[str] = Counter()
        self.scans = 0
        # Served in this order when several wait at the same time: an image comes after the scan and the calibration before it.
        self._watches: list[Watch] = []
        self._listener: Listener | None = None
        try:
            if TFMessage is not None:
                self._watch(TFMessage, "/tf_static", self._on_tf, qos=_latched_qos())
            self._camera_info = self._watch(CameraInfo, "camera_info", self._on_info)
            self._points = self._watch(PointCloud2, "points", self._on_points, serialized=True)
            if config.compressed:
                self._image = self._watch(CompressedImage, "image", self._on_image)
            else:
                self._image = self._watch(Image, "image", self._on_serialized_image, serialized=True)
        except BadInput:
            self.close()
            raise
        self._cameras, self._lidars = OneSource(self._image.topic), OneSource(self._points.topic)
        self._listener = Listener(node, [(watch.subscription, watch.take) for watch in self._watches], failed=self._defect)

    def _watch(
        self, message_type: Any, topic: str, callback: Callable[[Any], None], *, qos: QoSProfile | None = None, serialized: bool = False
    ) -> Watch:
        self._watches.append(Watch(self._node, message_type, topic, callback, qos or _sensor_qos(), apart=True, serialized=serialized))
        return self._watches[-1]

    @property
    def received(self) -> int:
        """Images that were sent to this node, as far as anyone can tell."""
        return self._images.put_count + self._image.gaps.missed

    @property
    def calibrated(self) -> bool:
        """Whether the camera's calibration is known: from a file, or because a CameraInfo has come."""
        return self._fixed is not None or self._info is not None

    @property
    def dropped(self) -> int:
        """Images replaced by newer ones before anyone looked at them, or lost on the way."""
        return self._images.dropped + self._image.gaps.missed

    def served(self) -> None:
        """What was urgent about the last frame is done."""
        self._images.served()

    def wait_until_served(self) -> None:
        """Keeps still while an image is under way: what is not urgent would take the interpreter from it."""
        self._images.wait_until_served()

    def skip(self, sentence: str) -> None:
        """Counts a message that could not be used; a hundred different sentences at most, for a node runs for months."""
        known = sentence in self.skipped or len(self.skipped) < 100
        self.skipped[sentence if known else "further messages that cannot be used"] += 1

    def close(self) -> None:
        """Ends `next()` and the subscriptions."""
        self._images.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for watch in self._watches:
            watch.close()
        self._watches = []
        if self._latched_info is not None:
            self._node.destroy_subscription(self._latched_info)

    def start_anew(self) -> None:
        """Time has jumped back: scans of the old time belong to no image of the new one."""
        with self._lock:
            self._pairing.reset()

    def ask_for_latched(self) -> None:
        """Some drivers tell a CameraInfo once and leave it latched: only a subscription that asks for that hears it.

        Made when somebody offers it: to all other drivers it would be an incompatible one, of which they warn.
        """
        if self.calibrated or self._latched_info is not None:
            return
        offers = self._node.get_publishers_info_by_topic(self._camera_info.topic)
        if any(offer.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers):
            self._latched_info = self._node.create_subscription(CameraInfo, "camera_info", self._on_info, _latched_qos())

    def notes(self, silence_s: float, *, wants_points: bool) -> list[str]:
        """What about the inputs is not as it should be: silent or crowded topics, links that TF lacks, calibrations that disagree."""
        watches = [self._image] + [self._camera_info] * (not self.calibrated) + [self._points] * (wants_points or self.scans > 0)
        found: list[str | None] = [watch.silence(silence_s) for watch in watches]
        if self.received and not self.calibrated:
            found.insert(0, f"images come, but no CameraInfo on {self._camera_info.topic}")
        found += [watch.crowd() for watch in (self._image, self._points)]
        found.append(self._names())
        with self._lock:
            found += self._links()
        return [sentence for sentence in found if sentence]

    def _names(self) -> str | None:
        """One sentence when image and CameraInfo do not tell one and the same frame, which TF is asked for."""
        if self._info is None or self._fixed is not None:
            return None
        told, image = self._info.header.frame_id, self._cameras.frame_id
        if not told:
            return f"CameraInfo on {self._camera_info.topic} has no frame_id: nobody can tell where the camera is"
        if image is not None and image.lstrip("/") != told.lstrip("/"):
            return f"{self._image.topic} is of {image!r}, its CameraInfo of {told!r}, which is taken"
        return None

    def _links(self) -> list[str]:
        """Sentences about extrinsics: missing ones, and those that TF and the user tell differently."""
        if self._info is None:
            return []
        try:
            from_tf = self._from_messages()
        except BadInput as error:
            return [str(error)] if self._fixed is None else []
        if self._fixed is not None:
            return decode.disagreements(from_tf, self._fixed[0])
        found: list[str | None] = []
        links = [("T_base_camera", from_tf.base_frame, from_tf.frame_id), ("T_camera_lidar", from_tf.frame_id, self._lidar_frame)]
        for name, target, source in links:
            told, given = getattr(from_tf, name), self._config.transform(name)
            if source is None:
                continue
            if told is not None and given is not None:
                found.append(decode.disagreement(f"input.{name}", told, given))
            elif told is None and given is None and target != source:
                found.append(self._tree.gap(target, source))
        return [sentence for sentence in found if sentence]

    def next(self) -> tuple[Frame, float, float] | None:
        """The newest image as a Frame, with the time it arrived and the milliseconds of decoding; None when closed."""
        while (item := self._images.get()) is not None:
            message, received = item
            started = time.perf_counter()
            try:
                frame = self._frame(message)
            except BadInput as error:
                self.skip(str(error))
            except Exception as error:  # a defect of ours costs a frame, not the drive
                self._defect(error)
            else:
                return frame, received, (time.perf_counter() - started) * 1e3
            self._images.served()
        return None

    def newest_scan(self) -> tuple[Scan, Calibration] | None:
        """The newest scan and where its LiDAR stands: as the camera's calibration has it, or without a camera as TF has it.

        None before the first scan. Raises BadInput where nothing says where the LiDAR stands.
        """
        with self._lock:
            scan = self._pairing.newest
            if scan is None:
                return None
            if self.calibrated:
                return scan, self._calibrated()[0]
            body = self._config.base_frame or ("base_link" if "base_link" in self._tree else self._tree.root(scan.frame_id))
            T_base_lidar = np.eye(4) if body == scan.frame_id else self._tree.between(body, scan.frame_id)
            if T_base_lidar is None:
                raise BadInput(self._tree.gap(body, scan.frame_id) or f"{self._points.topic}: TF does not say where {scan.frame_id} is")
        # A camera that nobody looks through, in the body's middle: only the way from the LiDAR to the body counts.
        T_camera_lidar = pose.inverse(T_BODY_OPTICAL) @ T_base_lidar
        return scan, Calibration(np.diag([100.0, 100.0, 1.0]), 100, 100, "none", T_BODY_OPTICAL, T_camera_lidar, body)

    def _frame(self, message: Any) -> Frame:
        image = decode.compressed_image(message) if self._config.compressed else decode.image(message)
        stamp_ns = decode.stamp_ns(message.header)
        if stamp_ns == 0:  # taken as a time, it would be a jump back to 1970
            raise BadInput("image: its header has no stamp")
        with self._lock:
            calibration, rectify = self._calibrated()
            scan = self._pairing.newest_before(stamp_ns)
        return Frame(rectify(image), stamp_ns, calibration, scan)

    def _calibrated(self) -> tuple[Calibration, decode.Rectifier]:
        """The camera's calibration, made anew only when its CameraInfo, TF or the LiDAR's frame has changed."""
        camera = () if self._fixed else decode.camera_key(self._info)
        key, before = (camera, self._tree_version, self._lidar_frame), self._calibration
        if before is None or before[0] != key:
            if self._fixed is not None:
                calibration, rectifier = self._fixed
                calibration = decode.completed(calibration, self._tree, lidar_frame=self._lidar_frame)
            else:
                given = {name: T for name in EXTRINSICS if (T := self._config.transform(name)) is not None}
                calibration = replace(self._from_messages(), **given)
                # Its map takes ten milliseconds, and some publish TF static ten times a second.
                rectifier = before[2] if before is not None and before[0][0] == camera else decode.Rectifier(self._info)
            self._calibration = before = (key, calibration, rectifier)
        return before[1], before[2]

    def _from_messages(self) -> Calibration:
        """What CameraInfo and TF say."""
        return decode.calibration(self._info, self._tree, lidar_frame=self._lidar_frame, base_frame=self._config.base_frame or None)

    def _on_serialized_image(self, serialized: bytes) -> None:
        try:
            message = decode.serialized_image(serialized)
        except BadInput as error:
            self.skip(str(error))
        else:
            self._on_image(message)

    def _on_image(self, message: Any) -> None:
        try:
            self._cameras.check(message.header.frame_id)
        except BadInput as error:
            self.skip(str(error))
        else:
            self._images.put((message, time.perf_counter()))

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message
        self._images.release()

    def _on_points(self, serialized: bytes) -> None:
        try:
            message = decode.serialized_cloud(serialized)
            self._lidars.check(message.header.frame_id)
            scan = decode.scan(message, offset_ns=self._scan_offset_ns)
        except BadInput as error:
            self.skip(str(error))
        except Exception as error:
            self._defect(error)
        else:
            with self._lock:
                self.scans += 1
                self._lidar_frame = scan.frame_id
                self._pairing.add(scan)

    def _on_tf(self, message: Any) -> None:
        with self._lock:
            try:
                decode.transforms(message, self._tree)
            except BadInput as error:
                self.skip(str(error))
            except Exception as error:
                self._defect(error)
            self._tree_version += 1

    def _defect(self, error: Exception) -> None:
        self._node.get_logger().error(traceback.format_exc())
        self.skip(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
