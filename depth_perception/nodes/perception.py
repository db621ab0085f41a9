"""The node around `systems.Drive`: a lifecycle node that publishes what its systems say about each image."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Odometry as OdometryMessage
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float32MultiArray

from depth_perception import engine as engines
from depth_perception import model as models
from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory, spare_the_collector
from depth_perception.nodes import encode, inputs, optional
from depth_perception.nodes.optional import TFMessage
from depth_perception.nodes.parameters import declare_config
from depth_perception.systems import bev, depth, odometry
from depth_perception.systems.bev import BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import OdometryOutput

OUTPUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
SYSTEMS = ("depth", "odometry", "bev")


class Perception(LifecycleNode):
    """Depth, odometry and bird's-eye view of one camera.

    Args:
        publishes: which of SYSTEMS this node publishes. Odometry needs depth's scale and bev needs both, so a node runs the
            systems up to the last one it publishes; run `drive` to share them in one process.
    """

    def __init__(self, name: str, publishes: tuple[str, ...]) -> None:
        super().__init__(name)
        self._publishes = publishes
        self._runs = SYSTEMS[: max(SYSTEMS.index(system) for system in publishes) + 1]
        self.declare_parameter("model", "", _described("Model directory; empty: the shipped one."))
        self.declare_parameter("engine_threads", 2, _described("CPU threads of each engine."))
        self.declare_parameter("odom_frame", "odom", _described("Name of the odometry frame."))
        self.declare_parameter("publish_tf", True, _described("Publish TF from the odometry frame to the body."))
        self.declare_parameter("autostart", True, _described("Configure and activate at start; false: wait for a lifecycle manager."))
        self._input_config = declare_config(self, "input", inputs.Config)
        self._depth_config = declare_config(self, "depth", depth.Config)
        self._odometry_config = declare_config(self, "odometry", odometry.Config)
        self._bev_config = declare_config(self, "bev", bev.Config)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._drive: Drive | None = None
        self._inputs: inputs.Inputs | None = None
        self._worker: threading.Thread | None = None
        self._error = ""
        self._frames = 0
        self._start_to_active_s = 0.0
        self._published: dict[str, int] = dict.fromkeys(SYSTEMS, 0)
        self._recent_ms: deque[float] = deque(maxlen=100)
        self._scale = depth.scales.Scale(1.0, self._depth_config.scale.prior_sigma)
        self._skipped_before: Counter[str] = Counter()
        self._received_before = 0
        self.create_timer(1.0, self._report)

    # --- lifecycle -----------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the model, proves its engines and makes the publishers."""
        try:
            model = models.load(self.get_parameter("model").value or models.shipped())
            threads = self.get_parameter("engine_threads").value
            sizes = {"height": model.height, "width": model.width, "canonical_focal_px": model.canonical_focal_px}
            # Proven before they drive; the self-test also warms them up, so that the first image is not the slow one.
            self._engines = {"depth": engines.load(model, "depth", threads=threads)}
            if "odometry" in self._runs:
                self._engines["pose"] = engines.load(model, "pose", threads=threads)
        except BadInput as error:
            return self._refuse(error)
        self._error = ""
        self._drive = Drive(
            depth.Depth(self._engines["depth"], **sizes, config=self._depth_config),
            odometry.Odometry(self._engines["pose"], **sizes, config=self._odometry_config) if "odometry" in self._runs else None,
            bev.Bev(self._bev_config) if "bev" in self._runs else None,
        )
        self._drive.warm_up()
        types = {"latency": (Float32MultiArray, "~/latency_ms")}
        if "depth" in self._publishes:
            types |= {
                "depth": (Image, "depth/image"),
                "info": (CameraInfo, "depth/camera_info"),
                "confidence": (Image, "depth/confidence"),
                "scale": (Float32MultiArray, "depth/scale"),
            }
        if "odometry" in self._publishes:
            types |= {"odometry": (OdometryMessage, "odometry")}
            if TFMessage is not None and self.get_parameter("publish_tf").value:
                types |= {"tf": (TFMessage, "/tf")}
        if "bev" in self._publishes:
            types |= {"cloud": (PointCloud2, "bev/points"), "grid": (OccupancyGrid, "bev/grid")}
        # Plain publishers: a lifecycle publisher's gate would cost a Python call per message, and nothing is published while
        # inactive anyway, for then there is no worker.
        self._outputs = {name: self.create_publisher(type_, topic, OUTPUT) for name, (type_, topic) in types.items()}
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes and starts working."""
        assert self._drive is not None
        self._drive.reset()
        try:
            self._inputs = inputs.Inputs(self, self._input_config)
        except BadInput as error:
            return self._refuse(error)
        self._worker = threading.Thread(target=self._work, name="systems", daemon=True)
        self._worker.start()
        spare_the_collector()
        self._start_to_active_s = time.time() - psutil.Process().create_time()
        for sentence in optional.MISSING:
            self.get_logger().warning(sentence)
        self.get_logger().info(f"active after {self._start_to_active_s:.2f} s, engine {self._engines['depth'].name}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops working and unsubscribes."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lets the engines go."""
        for publisher in self._outputs.values():
            self.destroy_publisher(publisher)
        self._outputs, self._engines, self._drive = {}, {}, None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops, from any state."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def _refuse(self, error: BadInput) -> TransitionCallbackReturn:
        self._error = str(error)
        self.get_logger().error(self._error)
        return TransitionCallbackReturn.FAILURE

    def _stop(self) -> None:
        if self._inputs is not None and self._worker is not None:
            self._inputs.close()
            self._worker.join()  # a frame's work at most
            self._inputs, self._worker = None, None

    # --- work ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """The worker thread: one frame after another through the systems, each output published as soon as it is there."""
        source, drive = self._inputs, self._drive
        assert source is not None and drive is not None
        while (item := source.next()) is not None:
            frame, received, decode_ms = item
            latency = {"decode": decode_ms}
            try:
                before = time.perf_counter()
                for output in drive.step(frame):
                    if isinstance(output, DepthOutput):
                        self._publish_depth(output)
                        source.served()
                        done = time.perf_counter()
                        publish_ms = (done - before) * 1e3 - sum(output.timing_ms.values())
                        latency |= output.timing_ms | {"publish": publish_ms, "total": (done - received) * 1e3}
                    elif isinstance(output, OdometryOutput):
                        self._publish_odometry(output)
                        latency |= {
                            "odometry": (time.perf_counter() - before) * 1e3,
                            "odometry_total": (time.perf_counter() - received) * 1e3,
                        }
                    else:
                        self._publish_bev(output)
                        latency |= {"bev": (time.perf_counter() - before) * 1e3, "bev_total": (time.perf_counter() - received) * 1e3}
                    before = time.perf_counter()
                self._outputs["latency"].publish(encode.labelled(latency))
            except BadInput as error:
                source.skip(str(error))
            except Exception as error:  # a defect of ours costs a frame, not the drive
                if not rclpy.ok():
                    return  # told to stop in the middle of a frame
                self.get_logger().error(traceback.format_exc())
                source.skip(f"internal error: {type(error).__name__}: {error}")
            else:
                self._frames += 1
                self._recent_ms.append(latency["total"])
            source.served()

    def _publish_depth(self, output: DepthOutput) -> None:
        self._scale = output.scale
        if "depth" not in self._publishes:
            return
        self._published["depth"] += self._send("depth", lambda: encode.depth_image(output))
        self._send("info", lambda: encode.camera_info(output.calibration, output.stamp_ns))
        self._send("confidence", lambda: encode.confidence_image(output))
        scale = output.scale
        self._send(
            "scale", lambda: encode.labelled({"scale": scale.value, "sigma": scale.sigma, "inliers": scale.inliers, "points": scale.points})
        )

    def _publish_odometry(self, output: OdometryOutput) -> None:
        if "odometry" not in self._publishes:
            return
        odom_frame = self.get_parameter("odom_frame").value
        self._published["odometry"] += self._send("odometry", lambda: encode.odometry(output, odom_frame))
        self._send("tf", lambda: encode.transform(output, odom_frame))

    def _publish_bev(self, output: BevOutput) -> None:
        if "bev" not in self._publishes:
            return
        self._published["bev"] += self._send("cloud", lambda: encode.cloud(output))
        self._send("grid", lambda: encode.occupancy_grid(output))

    def _send(self, name: str, message: Callable[[], Any]) -> bool:
        """Makes and publishes a message only if somebody listens; whether it did."""
        publisher = self._outputs.get(name)
        if publisher is None or publisher.get_subscription_count() == 0:
            return False
        publisher.publish(message())
        return True

    # --- diagnostics ---------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Once a second: what came, what was dropped or skipped and why, and how the engine and the scale do."""
        source = self._inputs
        status = DiagnosticStatus(
            name=f"{self.get_fully_qualified_name()}: perception", hardware_id="camera", level=DiagnosticStatus.OK, message="running"
        )
        values: dict[str, object] = {"active": source is not None, "start_to_active_s": f"{self._start_to_active_s:.3f}"}
        if self._error:
            status.level, status.message = DiagnosticStatus.ERROR, self._error
        elif source is None:
            status.level, status.message = DiagnosticStatus.WARN, "not active"
        else:
            status.level, status.message = self._judge(source)
            values |= {
                "images": source.received,
                "scans": source.scans,
                "frames": self._frames,
                "dropped": source.dropped,
                "skipped": sum(dict(source.skipped).values()),
                "engine": self._engines["depth"].name,
                "scale": f"{self._scale.value:.4f}",
                "scale_sigma": f"{self._scale.sigma:.4f}",
                "scale_inliers": self._scale.inliers,
                "rss_mb": f"{psutil.Process().memory_info().rss / 1e6:.1f}",
            }
            values |= {f"published_{system}": self._published[system] for system in self._publishes}
            if self._recent_ms:
                values["latency_ms_p50"] = f"{np.median(self._recent_ms):.2f}"
            for sentence, count in Counter(dict(source.skipped)).most_common(5):
                values[f"skipped: {sentence}"] = count
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._diagnostics.publish(DiagnosticArray(header=encode.header(self.get_clock().now().nanoseconds, ""), status=[status]))

    def _judge(self, source: inputs.Inputs) -> tuple[bytes, str]:
        """Level and one sentence for an active node, about the time since the last report."""
        skipped = Counter(dict(source.skipped))
        lately = skipped - self._skipped_before
        came = source.received - self._received_before
        self._skipped_before, self._received_before = skipped, source.received
        if came == 0:
            return DiagnosticStatus.WARN, f"no image on {self.resolve_topic_name('image')} for a second"
        if not source.calibrated:
            return DiagnosticStatus.WARN, f"images come, but no CameraInfo on {self.resolve_topic_name('camera_info')}"
        if lately:
            sentence, count = lately.most_common(1)[0]
            return DiagnosticStatus.WARN, f"{count} skipped: {sentence}"
        if self._scale.inliers == 0:
            points = self.resolve_topic_name("points")
            return DiagnosticStatus.WARN, f"no LiDAR return fits the images ({points}): depth has the network's own scale"
        return DiagnosticStatus.OK, "running"


def run(name: str, publishes: tuple[str, ...]) -> int:
    """The main of every perception node: start, spin, stop cleanly on SIGINT or SIGTERM."""
    # The worker gives the interpreter to the executor and back many times per frame; 5 ms a turn would be the latency.
    sys.setswitchinterval(5e-4)
    keep_freed_memory()
    try:
        rclpy.init()
        node = Perception(name, publishes)
    except (BadInput, ParameterException, InvalidParameterTypeException) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    code = 0
    try:
        if node.get_parameter("autostart").value:
            for trigger in (node.trigger_configure, node.trigger_activate):
                # A node that refuses to start, with nobody there to try again, ends: its reason has been logged.
                if code == 0 and trigger() != TransitionCallbackReturn.SUCCESS:
                    code = 2
        if code == 0:
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node._stop()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return code


def _described(text: str) -> ParameterDescriptor:
    return ParameterDescriptor(description=text)
