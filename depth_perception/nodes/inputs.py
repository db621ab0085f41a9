"""Camera, calibration, LiDAR and TF in; Frames out. Newest image only."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_perception import decode
from depth_perception.frame import BadInput, Calibration, Frame, check_positive
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree
from depth_perception.nodes.mailbox import Mailbox
from depth_perception.nodes.optional import TFMessage

SENSOR = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


@dataclass(frozen=True)
class Config:
    """Attributes:
    compressed: the image topic carries sensor_msgs/CompressedImage.
    calibration: YAML file with the camera's calibration, instead of CameraInfo and TF; empty: none.
    max_scan_delay_s: a scan older than this, seen from the image, is not paired with it.
    base_frame: name of the body frame in TF; empty: base_link, or the root above the camera.
    T_base_camera, T_camera_lidar: x y z (metres) and qx qy qz qw where TF does not tell; empty: unknown.
    """

    compressed: bool = False
    calibration: str = ""
    max_scan_delay_s: float = 0.15
    base_frame: str = ""
    T_base_camera: tuple[float, ...] = ()
    T_camera_lidar: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_positive(self, max_scan_delay_s=0)


class Inputs:
    """Subscriptions of one camera and, if it is there, one LiDAR.

    `next()` waits for an image and gives `(Frame, received, decode_ms)`; what cannot be used is skipped, counted and kept as a
    sentence in `skipped`.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self._config = config
        self._images: Mailbox[tuple[Any, float]] = Mailbox()
        if not config.calibration:
            self._images.hold()  # an image often arrives just before the CameraInfo that goes with it
        self._pairing = decode.Pairing(round(config.max_scan_delay_s * 1e9))
        self._tree = FrameTree()
        # The executor adds scans and frames while the worker reads them.
        self._lock = threading.Lock()
        self._fixed = decode.read_calibration(config.calibration) if config.calibration else None
        self._lidar_frame: str | None = None
        self._info: Any = None
        self._calibration: tuple[tuple[Any, ...], Calibration, decode.Rectifier] | None = None
        self._tree_version = 0
        self.skipped: Counter[str] = Counter()
        self.scans = 0
        image_type = CompressedImage if config.compressed else Image
        self._subscriptions = [
            node.create_subscription(image_type, "image", self._on_image, SENSOR),
            node.create_subscription(CameraInfo, "camera_info", self._on_info, SENSOR),
            node.create_subscription(PointCloud2, "points", self._on_points, SENSOR),
        ]
        if TFMessage is not None:
            self._subscriptions.append(node.create_subscription(TFMessage, "/tf_static", self._on_tf, LATCHED))
        self._node = node

    @property
    def received(self) -> int:
        """Images that arrived."""
        return self._images.put_count

    @property
    def calibrated(self) -> bool:
        """Whether the camera's calibration is known: from a file, or because a CameraInfo has come."""
        return self._fixed is not None or self._info is not None

    @property
    def dropped(self) -> int:
        """Images replaced by newer ones before anyone looked at them."""
        return self._images.dropped

    def served(self) -> None:
        """What was urgent about the last frame is done."""
        self._images.served()

    def skip(self, sentence: str) -> None:
        """Counts a message that could not be used; a hundred different sentences at most, for a node runs for months."""
        known = sentence in self.skipped or len(self.skipped) < 100
        self.skipped[sentence if known else "further messages that cannot be used"] += 1

    def close(self) -> None:
        """Ends `next()` and the subscriptions."""
        self._images.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

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

    def _frame(self, message: Any) -> Frame:
        image = decode.compressed_image(message) if self._config.compressed else decode.image(message)
        stamp_ns = decode.stamp_ns(message.header)
        with self._lock:
            calibration, rectify = self._fixed or self._calibrated()
            scan = self._pairing.newest_before(stamp_ns)
        return Frame(rectify(image), stamp_ns, calibration, scan)

    def _calibrated(self) -> tuple[Calibration, decode.Rectifier]:
        """The camera's calibration, made anew only when its CameraInfo, TF or the LiDAR's frame has changed."""
        info = self._info
        key = (*decode.camera_key(info), self._tree_version, self._lidar_frame)
        if self._calibration is None or self._calibration[0] != key:
            base_frame = self._config.base_frame or None
            calibration = decode.calibration(info, self._tree, lidar_frame=self._lidar_frame, base_frame=base_frame)
            self._calibration = (key, self._with_parameters(calibration), decode.Rectifier(info))
        return self._calibration[1], self._calibration[2]

    def _with_parameters(self, calibration: Calibration) -> Calibration:
        """Extrinsics from parameters where TF does not know them."""
        for name in ("T_base_camera", "T_camera_lidar"):
            values = getattr(self._config, name)
            if getattr(calibration, name) is None and values:
                if len(values) != 7:
                    raise BadInput(f"parameter input.{name}: wanted 7 numbers (x y z qx qy qz qw), got {len(values)}")
                calibration = replace(calibration, **{name: pose.from_quaternion(np.array(values[:3]), np.array(values[3:]))})
        return calibration

    def _on_image(self, message: Any) -> None:
        self._images.put((message, time.perf_counter()))

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message
        self._images.release()

    def _on_points(self, message: PointCloud2) -> None:
        try:
            scan = decode.scan(message)
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
        self.skip(f"internal error: {type(error).__name__}: {error}")
