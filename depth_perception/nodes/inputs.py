"""Camera, calibration, LiDAR and TF in; Frames out. Newest image only."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_perception import decode
from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.nodes.input_config import Config
from depth_perception.nodes.listener import Listener
from depth_perception.nodes.mailbox import Mailbox
from depth_perception.nodes.one_source import OneSource
from depth_perception.nodes.optional import TFMessage
from depth_perception.nodes.sensor_geometry import SensorGeometry
from depth_perception.nodes.watch import Watch


def _sensor_qos() -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def _latched_qos() -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


class Inputs:
    """Subscriptions of one camera and, if it is there, one LiDAR.

    `next()` waits for an image and gives `(Frame, received, decode_ms)`; what cannot be used is skipped, counted and kept as a
    sentence in `skipped`. scans: that came; scan_ms: what decoding the newest one took, beside the images, on the listener's thread.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._config = node, config
        self._latched_info: Any = None
        self._images: Mailbox[tuple[Any, float]] = Mailbox()
        if not config.calibration:
            self._images.hold()  # an image often arrives just before the CameraInfo that goes with it
        self._pairing = decode.Pairing(round(config.max_scan_delay_s * 1e9))
        self._scan_offset_ns = decode.scan_offset_ns(config.scan_offset_s)
        self._geometry = SensorGeometry(config)
        # The listener's thread adds scans and frames while the worker reads them.
        self._lock = threading.Lock()
        self.skipped: Counter[str] = Counter()
        self.scans = 0
        self.scan_ms: float | None = None
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
        self._cameras, self._lidars, self._infos = (OneSource(watch.topic) for watch in (self._image, self._points, self._camera_info))
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
        return self._geometry.is_known

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

        Made when somebody offers it: to all other drivers it would be an incompatible one, of which they warn. Ended when it has done its
        duty: a driver that repeats CameraInfo would wake the executor with every image.
        """
        if self.calibrated and self._latched_info is not None:
            self._node.destroy_subscription(self._latched_info)
            self._latched_info = None
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
        found += [watch.crowd() for watch in (self._image, self._camera_info, self._points)]
        found.append(self._names())
        with self._lock:
            found += self._geometry.findings()
        return [sentence for sentence in found if sentence]

    def _names(self) -> str | None:
        """One sentence when image and CameraInfo do not tell one and the same frame, which TF is asked for."""
        info = self._geometry.info
        if info is None or self._geometry.is_fixed:
            return None
        told, image = info.header.frame_id, self._cameras.frame_id
        if not told:
            return f"CameraInfo on {self._camera_info.topic} has no frame_id: nobody can tell where the camera is"
        if image is not None and image.lstrip("/") != told.lstrip("/"):
            return f"{self._image.topic} is of {image!r}, its CameraInfo of {told!r}, which is taken"
        return None

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
            return scan, self._geometry.calibration()[0] if self.calibrated else self._geometry.without_camera(scan.frame_id)

    def _frame(self, message: Any) -> Frame:
        image = decode.compressed_image(message) if self._config.compressed else decode.image(message)
        stamp_ns = decode.stamp_ns(message.header)
        if stamp_ns == 0:  # taken as a time, it would be a jump back to 1970
            raise BadInput("image: its header has no stamp")
        with self._lock:
            calibration, rectify = self._geometry.calibration()
            scan = self._pairing.newest_before(stamp_ns)
        return Frame(rectify(image), stamp_ns, calibration, scan)

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
        """From the listener's thread, and from the executor's where it is latched."""
        try:
            with self._lock:
                self._infos.check(message.header.frame_id)
                self._geometry.info = message
        except BadInput as error:
            self.skip(str(error))
        else:
            self._images.release()

    def _on_points(self, serialized: bytes) -> None:
        started = time.perf_counter()
        try:
            message = decode.serialized_cloud(serialized)
            self._lidars.check(message.header.frame_id)
            scan = decode.scan(message, offset_ns=self._scan_offset_ns)
        except BadInput as error:
            self.skip(str(error))
        except Exception as error:
            self._defect(error)
        else:
            scan_ms = (time.perf_counter() - started) * 1e3
            with self._lock:
                self.scans += 1
                self.scan_ms = scan_ms
                self._geometry.lidar_frame = scan.frame_id
                self._pairing.add(scan)

    def _on_tf(self, message: Any) -> None:
        try:
            with self._lock:
                self._geometry.add_transforms(message)
        except BadInput as error:
            self.skip(str(error))
        except Exception as error:
            self._defect(error)

    def _defect(self, error: Exception) -> None:
        self._node.get_logger().error(traceback.format_exc())
        self.skip(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
