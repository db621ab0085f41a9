"""The thread of the drive: one frame after another through its systems, each output published as soon as it is there."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import rclpy
from rclpy.node import Node

from depth_perception.frame import BadInput, Calibration
from depth_perception.nodes import encode
from depth_perception.nodes.beside import Beside, Seen
from depth_perception.nodes.inputs import Inputs
from depth_perception.nodes.outputs import SYSTEMS, Outputs
from depth_perception.nodes.perception_config import Config
from depth_perception.systems.bev import BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import OdometryOutput
from depth_perception.systems.scale import Scale

# TF static comes piece by piece, from several publishers: so long the topmost frame above the camera has to be the same one before it gets
# a link above it. TF keeps one parent for each frame: the robot's own link above it, which is sent once, would be lost for good.
GUESS_STANDS_S = 2.0


class Worker:
    """What anyone wants of the systems (a reset, another network) waits, as an order, until the frame at hand is done.

    Args:
        node: whose log it writes to.
        config: gives the node's Config as the parameters have it.
        scale: to be told before the first frame.
    Attributes:
        frames: that went through since it began. published: outputs that somebody took, by system, in all.
        recent_ms: from an image's arrival to its depth's publication, the last hundred.
        scale: the last frame's. notes: sentences on what it holds back at present.
    """

    def __init__(self, node: Node, config: Callable[[], Config], *, scale: Scale) -> None:
        self._node, self._config, self.scale = node, config, scale
        self.frames = 0
        self.published: dict[str, int] = dict.fromkeys(SYSTEMS, 0)
        self.recent_ms: deque[float] = deque(maxlen=100)
        self.notes: list[str] = []
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._guess: tuple[str, int] | None = None  # the body's name, and since when it is guessed, nanoseconds of the node's clock

    @property
    def latency_ms(self) -> float | None:
        """Median of the last images; None before the first."""
        return float(np.median(self.recent_ms)) if self.recent_ms else None

    def later(self, order: Callable[[], None]) -> None:
        """Something to be done between two frames. In the executor's thread only: it alone begins and ends the work."""
        self._orders.put(order)
        if self._thread is None:
            self._follow_orders()

    def start(self, drive: Drive, source: Inputs, outputs: Outputs, beside: Sequence[Beside]) -> None:
        """Begins to work, until `source` is closed; what runs beside gets each frame after the drive."""
        self.frames = 0
        self.recent_ms.clear()
        self.notes, self._guess = [], None
        self._thread = threading.Thread(target=self._work, args=(drive, source, outputs, beside), name="systems", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits for the frame at hand, after its source was closed."""
        if self._thread is not None:
            self._thread.join()  # a frame's work at most
            self._thread = None
        self._follow_orders()

    def _follow_orders(self) -> None:
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            order()

    def _work(self, drive: Drive, source: Inputs, outputs: Outputs, beside: Sequence[Beside]) -> None:
        while (item := source.next()) is not None:
            frame, received, decode_ms = item
            latency = {"decode": decode_ms}
            try:
                self._follow_orders()
                before = time.perf_counter()
                depth_output, odometry_output = None, None
                for output in drive.step(frame):
                    if isinstance(output, DepthOutput):
                        depth_output = output
                        self._publish_depth(outputs, output)
                        source.served()
                        done = time.perf_counter()
                        publish_ms = (done - before) * 1e3 - sum(output.timing_ms.values())
                        latency |= output.timing_ms | {"publish": publish_ms, "total": (done - received) * 1e3}
                    elif isinstance(output, OdometryOutput):
                        odometry_output = output
                        self._publish_odometry(outputs, output)
                        self._publish_tf(outputs, output, frame.calibration)
                        latency |= {
                            "odometry": (time.perf_counter() - before) * 1e3,
                            "odometry_total": (time.perf_counter() - received) * 1e3,
                        }
                    else:
                        self._publish_bev(outputs, output)
                        latency |= {"bev": (time.perf_counter() - before) * 1e3, "bev_total": (time.perf_counter() - received) * 1e3}
                    before = time.perf_counter()
                assert drive.frame is not None
                road = None if drive.depth is None else drive.depth.road
                for each in beside:
                    each.put(Seen(drive.frame, received, depth_output, odometry_output, road))
                if source.scan_ms is not None:
                    latency["scan"] = source.scan_ms
                outputs.send("latency", lambda latency=latency: encode.labelled(latency))  # type: ignore[misc]
            except BadInput as error:
                source.skip(str(error))
            except Exception as error:  # a defect of ours costs a frame, not the drive
                if not rclpy.ok():
                    return  # told to stop in the middle of a frame
                self._node.get_logger().error(traceback.format_exc())
                source.skip(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
            else:
                self.frames += 1
                if "total" in latency:
                    self.recent_ms.append(latency["total"])
            source.served()

    def _publish_depth(self, outputs: Outputs, output: DepthOutput) -> None:
        self.scale = scale = output.scale
        self.published["depth"] += outputs.send("depth", lambda: encode.depth_image(output))
        outputs.send("info", lambda: encode.depth_info(output))
        outputs.send("confidence", lambda: encode.confidence_image(output))
        values = {"scale": scale.value, "sigma": scale.sigma, "inliers": scale.inliers, "points": scale.points}
        outputs.send("scale", lambda: encode.labelled(values))

    def _publish_odometry(self, outputs: Outputs, output: OdometryOutput) -> None:
        odom = self._config().odom_frame
        self.published["odometry"] += outputs.send("odometry", lambda: encode.odometry(output, odom))

    def _publish_tf(self, outputs: Outputs, output: OdometryOutput, calibration: Calibration) -> None:
        config = self._config()
        if not config.publish_tf:
            return
        self.notes = [] if self._has_stood(calibration) else [
            f"TF {config.odom_frame} -> {output.base_frame} waits a moment: this body is only the topmost frame above the camera so far, "
            "and input.base_frame is empty"]
        if not self.notes:
            outputs.send("tf", lambda: encode.transform(output, config.odom_frame))

    def _has_stood(self, calibration: Calibration) -> bool:
        """Whether the body is named, or has been the same guess for long enough by the node's clock."""
        if not calibration.is_guess:
            self._guess = None
            return True
        now_ns = self._node.get_clock().now().nanoseconds
        if self._guess is None or self._guess[0] != calibration.base_frame or now_ns < self._guess[1]:
            self._guess = (calibration.base_frame, now_ns)
        return now_ns - self._guess[1] >= GUESS_STANDS_S * 1e9

    def _publish_bev(self, outputs: Outputs, output: BevOutput) -> None:
        self.published["bev"] += outputs.send("cloud", lambda: encode.cloud(output))
        outputs.send("grid", lambda: encode.occupancy_grid(output))
