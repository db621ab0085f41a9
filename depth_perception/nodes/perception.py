"""The node around `systems.Drive`: a lifecycle node that publishes what its systems say about each image."""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory, return_freed_memory, spare_the_collector
from depth_perception.nodes import encode, health, inputs, markings_beside, objects_beside, optional, parameters, services
from depth_perception.nodes.beside import Beside, Seen
from depth_perception.nodes.interrupt import Interrupt
from depth_perception.nodes.networks import Networks
from depth_perception.nodes.outputs import SYSTEMS, Outputs
from depth_perception.nodes.perception_config import CONFIGS, Config
from depth_perception.systems import bev, depth, odometry
from depth_perception.systems.bev import BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import OdometryOutput
from depth_perception.systems.scale import Scale

# What a system is made of, itself among it.
NEEDS = {
    "depth": {"depth"},
    "odometry": {"depth", "odometry"},
    "bev": {"depth", "odometry", "bev"},
    "objects": {"objects"},
    "markings": {"depth", "odometry", "markings"},
}
BESIDE: dict[str, Callable[..., Beside]] = {"objects": objects_beside.ObjectsBeside, "markings": markings_beside.MarkingsBeside}


class Perception(LifecycleNode):
    """Depth, odometry, bird's-eye view, objects and markings of one camera and one LiDAR.

    The executor's thread takes services and parameters, a listener's thread messages (`listener.py`), and a worker thread runs the systems.
    What anyone wants of the systems (a reset, another network) waits in `_orders` until the frame at hand is done. Objects and markings
    run beside, each on a thread of its own.

    Args:
        publishes: which of SYSTEMS this node publishes, where its parameter `systems` does not say. A node runs what these need (NEEDS);
            run `drive` to share that in one process.
    Attributes:
        drive: the systems, made anew by each configuration; None while unconfigured.
    """

    def __init__(self, name: str, publishes: tuple[str, ...]) -> None:
        super().__init__(name)
        self._own = self._publishes = publishes
        self.drive: Drive | None = None
        self._networks: dict[str, Networks] = {}
        self._beside: dict[str, Beside] = {}
        self._outputs: Outputs | None = None
        self._inputs: inputs.Inputs | None = None
        self._worker: threading.Thread | None = None
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._error = ""
        self._warned: set[str] = set()
        self._told: set[str] = set()
        self._configs = parameters.Configs(self, CONFIGS, self._on_changed)
        self._frames = 0
        self._start_to_active_s = 0.0
        self._published: dict[str, int] = dict.fromkeys(SYSTEMS, 0)
        self._recent_ms: deque[float] = deque(maxlen=100)
        self._scale = Scale(1.0, self._configs["depth"].scale.prior_sigma)
        self._seen = health.Seen(time.monotonic())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A clock of its own: under sim time the node's clock stands still until somebody publishes /clock.
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        services.offer(self)
        backward = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._jump_handle = self.get_clock().create_jump_callback(backward, post_callback=self._on_clock_jump)

    # --- lifecycle -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """unconfigured, inactive, active or finalized."""
        return str(self._state_machine.current_state[1])

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the model, proves its engines and makes the publishers."""
        configs = self._configs
        self._publishes = tuple(configs[""].systems.split()) or self._own
        try:
            loaded = self.load_networks()
            for name in (name for name in BESIDE if name in loaded):
                self._beside[name] = beside = BESIDE[name](name, self, lambda name=name: configs[name])
                beside.use(loaded[name], beside.made(loaded[name]))
            self._outputs = Outputs(self, self._publishes)
        except BadInput as error:
            self._beside = {}
            return self._refuse(error)
        self._error = ""
        self._drive_with(loaded)
        self.drive = drive = Drive(None, deskew=configs["deskew"])
        if seeing := loaded.get("depth"):
            drive.depth = depth.Depth(seeing.engines["depth"], **seeing.sizes, config=configs["depth"], prepare=seeing.prepare)
            if "odometry" in self._runs:
                drive.odometry = odometry.Odometry(seeing.engines["pose"], **seeing.sizes, config=configs["odometry"])
            if "bev" in self._runs:
                drive.bev = bev.Bev(configs["bev"])
        drive.warm_up()
        return TransitionCallbackReturn.SUCCESS

    @property
    def _runs(self) -> set[str]:
        """The systems that are needed for what this node publishes."""
        return set().union(*(NEEDS[system] for system in self._publishes))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes and starts working."""
        assert self.drive is not None and self._outputs is not None
        self.drive.reset()
        try:
            self._inputs = inputs.Inputs(self, self._configs["input"])
            for beside in self._beside.values():
                beside.start(self._inputs, self._outputs)
        except BadInput as error:
            self.stop()
            return self._refuse(error)
        self._error = ""
        self._seen = health.Seen(time.monotonic())
        self._frames = 0
        self._worker = threading.Thread(target=self._work, name="systems", daemon=True)
        self._worker.start()
        spare_the_collector()
        self._start_to_active_s = time.time() - psutil.Process().create_time()
        for sentence in optional.MISSING:
            self.get_logger().warning(sentence)
        engine = next(iter(next(iter(self._networks.values())).engines.values())).now.name
        self.get_logger().info(f"active after {self._start_to_active_s:.2f} s, engine {engine}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops working and unsubscribes."""
        self.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lets the engines go."""
        self._forget()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops, from any state."""
        self.stop()
        self._forget()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A defect in a transition leads back to unconfigured, with nothing left behind."""
        self.stop()
        self._forget()
        return TransitionCallbackReturn.SUCCESS

    def stop(self) -> None:
        """Ends the worker, after the frame at hand, and the subscriptions."""
        if self._inputs is not None:
            self._inputs.close()
            if self._worker is not None:
                self._worker.join()  # a frame's work at most
            for beside in self._beside.values():
                beside.stop()
            self._inputs, self._worker = None, None
        self._follow_orders()

    def _forget(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
        self._outputs, self.drive, self._networks, self._beside = None, None, {}, {}

    def _refuse(self, error: BadInput) -> TransitionCallbackReturn:
        self._error = str(error)
        self.get_logger().error(self._error)
        return TransitionCallbackReturn.FAILURE

    # --- orders --------------------------------------------------------------------------------------------------

    def start_anew(self) -> None:
        """The next image starts a new drive: odometry at its origin, no scale, no window."""

        def reset() -> None:
            if self.drive is not None:
                self.drive.reset()

        self._between_frames(reset)
        for beside in self._beside.values():
            beside.later(beside.reset)

    def load_networks(self) -> dict[str, Networks]:
        """The models that the parameters name, their engines proven: of depth, objects and markings, as far as they are needed.

        Raises BadInput. May run in any thread.
        """
        return_freed_memory()
        config, runs, loaded = self._configs[""], self._runs, {}
        if "depth" in runs:
            names = ["depth"] + ["pose"] * ("odometry" in runs)
            loaded["depth"] = Networks.load(config, names, path=config.model, progress=self._building)
        for kind in (kind for kind in BESIDE if kind in runs):
            loaded[kind] = Networks.load(config, kind=kind, path=self._configs[kind].model, progress=self._building)
        return loaded

    def made_beside(self, loaded: dict[str, Networks]) -> dict[str, Callable[[], None]]:
        """What runs beside, made of other networks: for each the order that puts it in place. Raises BadInput. May run in any thread."""
        return {name: beside.made(loaded[name]) for name, beside in list(self._beside.items()) if name in loaded}

    def use_networks(self, loaded: dict[str, Networks], made: dict[str, Callable[[], None]], drive: Drive) -> None:
        """`drive` and what runs beside it (`made_beside`) go on with other networks, from the next image on; poses go on, the scale starts
        anew."""

        def swap() -> None:
            if drive.depth is not None:
                seeing = loaded["depth"]
                drive.depth.use(seeing.engines["depth"], **seeing.sizes, prepare=seeing.prepare)
                if drive.odometry is not None:
                    drive.odometry.use(seeing.engines["pose"], **seeing.sizes)
            self._drive_with(loaded)

        for name, beside in self._beside.items():
            beside.use(loaded[name], made[name])
        self._between_frames(swap)

    def _building(self, phase: str, seconds: float) -> None:
        """Nobody waits in front of a silent build."""
        self.get_logger().info(f"building a TensorRT engine: {phase}, {seconds:.0f} s", throttle_duration_sec=5.0)

    def _drive_with(self, loaded: dict[str, Networks]) -> None:
        self._networks, self._told = loaded, set()
        for networks in loaded.values():
            for sentence in networks.missing:
                self.get_logger().warning(sentence)
        self._tell_fallbacks()

    def _tell_fallbacks(self) -> list[str]:
        """Every fall so far, new ones logged: one may come at any frame."""
        found = list(dict.fromkeys(sentence for networks in self._networks.values() for sentence in networks.fell_back))
        for sentence in found:
            if sentence not in self._told:
                self._told.add(sentence)
                self.get_logger().error(sentence)
        return found

    def _on_changed(self, prefix: str, config: Any) -> None:
        """A parameter has changed: its system takes the new Config. What is read where it is used needs nothing."""

        def configure() -> None:
            if self.drive is not None:
                self.drive.configure(prefix, config)

        if prefix in ("depth", "odometry", "bev", "deskew"):
            self._between_frames(configure)
        elif prefix in self._beside:
            self._beside[prefix].later(lambda: self._beside[prefix].configure(config))

    def _on_clock_jump(self, jump: TimeJump) -> None:
        """Sim time has jumped back: a bag starts again, and so does the drive."""
        self.get_logger().info(f"the clock jumped back by {-jump.delta.nanoseconds * 1e-9:.3f} s: a new drive")
        if self._inputs is not None:
            self._inputs.start_anew()
        self.start_anew()

    def _between_frames(self, order: Callable[[], None]) -> None:
        """In the executor's thread only: it alone starts and ends the worker."""
        self._orders.put(order)
        if self._worker is None:
            self._follow_orders()

    def _follow_orders(self) -> None:
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            order()

    # --- work ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """The worker thread: one frame after another through the systems, each output published as soon as it is there."""
        source, drive, outputs = self._inputs, self.drive, self._outputs
        assert source is not None and drive is not None and outputs is not None
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
                for beside in self._beside.values():
                    beside.put(Seen(drive.frame, received, depth_output, odometry_output, road))
                outputs.send("latency", lambda latency=latency: encode.labelled(latency))  # type: ignore[misc]
            except BadInput as error:
                source.skip(str(error))
            except Exception as error:  # a defect of ours costs a frame, not the drive
                if not rclpy.ok():
                    return  # told to stop in the middle of a frame
                self.get_logger().error(traceback.format_exc())
                source.skip(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
            else:
                self._frames += 1
                if "total" in latency:
                    self._recent_ms.append(latency["total"])
            source.served()

    def _publish_depth(self, outputs: Outputs, output: DepthOutput) -> None:
        self._scale = scale = output.scale
        self._published["depth"] += outputs.send("depth", lambda: encode.depth_image(output))
        outputs.send("info", lambda: encode.depth_info(output))
        outputs.send("confidence", lambda: encode.confidence_image(output))
        values = {"scale": scale.value, "sigma": scale.sigma, "inliers": scale.inliers, "points": scale.points}
        outputs.send("scale", lambda: encode.labelled(values))

    def _publish_odometry(self, outputs: Outputs, output: OdometryOutput) -> None:
        config: Config = self._configs[""]
        self._published["odometry"] += outputs.send("odometry", lambda: encode.odometry(output, config.odom_frame))
        if config.publish_tf:
            outputs.send("tf", lambda: encode.transform(output, config.odom_frame))

    def _publish_bev(self, outputs: Outputs, output: BevOutput) -> None:
        self._published["bev"] += outputs.send("cloud", lambda: encode.cloud(output))
        outputs.send("grid", lambda: encode.occupancy_grid(output))

    # --- diagnostics ---------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Once a second: what came, what was dropped or skipped and why, and how the engine and the scale do."""
        source, state = self._inputs, self.state
        if source is not None:
            source.wait_until_served()
        level, message = (DiagnosticStatus.ERROR, self._error) if self._error else (DiagnosticStatus.OK, state)
        values: dict[str, Any] = {"active": source is not None, "state": state, **self._engine_values()}
        if source is not None:
            source.ask_for_latched()
            before, now = self._seen, self._count(source)
            self._seen = now
            level, message = self._judge(source, before, now)
            elapsed_s = max(now.at_s - before.at_s, 1e-6)
            values |= {
                "start_to_active_s": f"{self._start_to_active_s:.3f}",
                "images": now.images,
                "scans": source.scans,
                "frames": now.frames,
                "dropped": now.dropped,
                "skipped": sum(now.skipped.values()),
                "images_per_s": f"{(now.images - before.images) / elapsed_s:.2f}",
                "frames_per_s": f"{(now.frames - before.frames) / elapsed_s:.2f}",
                "scale": f"{self._scale.value:.4f}",
                "scale_sigma": f"{self._scale.sigma:.4f}",
                "scale_inliers": self._scale.inliers,
                "rss_mb": f"{psutil.Process().memory_info().rss / 1e6:.1f}",
            }
            values |= {f"published_{system}": self._published[system] for system in self._publishes}
            for beside in self._beside.values():
                values |= beside.values()
            if self._recent_ms:
                values |= {"latency_ms_p50": f"{np.median(self._recent_ms):.2f}", "latency_ms_max": f"{max(self._recent_ms):.2f}"}
            for sentence, count in now.skipped.most_common(5):
                values[f"skipped: {sentence}"] = count
        if fell_back := self._tell_fallbacks():
            level, message = DiagnosticStatus.ERROR, "; ".join([*fell_back, message])
        status = DiagnosticStatus(
            name=f"{self.get_fully_qualified_name()}: perception",
            hardware_id="camera",
            level=level,
            message=message,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        self._diagnostics.publish(DiagnosticArray(header=encode.header(self.get_clock().now().nanoseconds, ""), status=[status]))

    def _engine_values(self) -> dict[str, str]:
        values: dict[str, str] = {}
        for kind, networks in self._networks.items():
            values |= networks.values if kind == "depth" else {f"{kind}_{key}": value for key, value in networks.values.items()}
        if values and "engine" not in values:
            values["engine"] = next(value for key, value in values.items() if key.endswith("_engine"))
        return values

    def _count(self, source: inputs.Inputs) -> health.Seen:
        return health.Seen(time.monotonic(), source.received, source.dropped, self._frames, Counter(dict(source.skipped)))

    def _judge(self, source: inputs.Inputs, before: health.Seen, now: health.Seen) -> tuple[bytes, str]:
        """Level and sentences for an active node, about the time since the last report; new ones are logged."""
        config: health.Config = self._configs["diagnostics"]
        found = health.findings(
            config,
            before,
            now,
            notes=source.notes(config.silence_s, wants_points=config.min_scale_inliers > 0)
            + [sentence for beside in self._beside.values() for sentence in beside.said],
            latency_ms=float(np.median(self._recent_ms)) if self._recent_ms else None,
            scale_sigma=self._scale.sigma,
            scale_inliers=self._scale.inliers,
        )
        # Figures change every second; the words tell whether it is news.
        words = {"".join(letter for letter in sentence if not letter.isdigit()): sentence for sentence in found}
        if news := [sentence for key, sentence in words.items() if key not in self._warned]:
            self.get_logger().warning("; ".join(news))
        self._warned = set(words)
        return (DiagnosticStatus.WARN, "; ".join(found)) if found else (DiagnosticStatus.OK, "running")


def run(name: str, publishes: tuple[str, ...]) -> int:
    """The main of every perception node: start, spin, stop cleanly on SIGINT or SIGTERM."""
    # The worker gives the interpreter to the executor and back many times per frame; 5 ms a turn would be the latency.
    sys.setswitchinterval(5e-4)
    cv2.setNumThreads(1)  # a second thread wins a quarter of a millisecond on an idle machine, and loses several on a busy one
    keep_freed_memory()
    interrupt = Interrupt()  # before rclpy's own handler, which then wakes the executor and calls this one
    node, code = None, 0
    try:
        rclpy.init()
        node = Perception(name, publishes)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            for trigger in (node.trigger_configure, node.trigger_activate):
                # A node that refuses to start, with nobody there to try again, ends: its reason has been logged.
                if code == 0 and not interrupt.came and trigger() != TransitionCallbackReturn.SUCCESS:
                    code = 2
        if code == 0:
            executor.spin()
    except ExternalShutdownException:
        pass
    except Exception as error:
        if node is not None and not rclpy.ok():
            pass  # what fails because ROS was shut down under it is no failure
        elif isinstance(error, BadInput | ParameterException | InvalidParameterTypeException | rcl.RCLError):
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            code = 2
        else:
            raise
    finally:
        if node is not None:
            node.stop()
        rclpy.try_shutdown()
    return 0 if interrupt.came else code
