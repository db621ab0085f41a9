"""The node around `systems.Drive`: a lifecycle node that publishes what its systems say about each image."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from depth_perception.frame import BadInput
from depth_perception.memory import return_freed_memory, spare_the_collector, take_ahead
from depth_perception.nodes import markings_beside, objects_beside, optional, parameters, services
from depth_perception.nodes.beside import Beside
from depth_perception.nodes.diagnostics import Diagnostics
from depth_perception.nodes.inputs import Inputs
from depth_perception.nodes.networks import AtWork, Networks
from depth_perception.nodes.outputs import Outputs
from depth_perception.nodes.perception_config import CONFIGS
from depth_perception.nodes.process_age import age_s
from depth_perception.nodes.worker import Worker
from depth_perception.systems import bev, depth, odometry
from depth_perception.systems.drive import Drive
from depth_perception.systems.scale import Scale

# What a system is made of, itself among it.
NEEDS = {
    "depth": {"depth"},
    "odometry": {"depth", "odometry"},
    "bev": {"depth", "odometry", "bev"},
    "objects": {"objects"},
    "markings": {"depth", "odometry", "markings"},
}
# By then every buffer that an ordinary frame needs has been asked for once.
SETTLED_FRAMES = 30
BESIDE: dict[str, Callable[..., Beside]] = {"objects": objects_beside.ObjectsBeside, "markings": markings_beside.MarkingsBeside}

Transition = Callable[["Perception", LifecycleState], TransitionCallbackReturn]


def _told(transition: Transition) -> Transition:
    """A transition whose defects are told, in the log and in /diagnostics: rclpy takes what it raises for an ERROR without a word."""

    @functools.wraps(transition)
    def run(self: Perception, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            if rclpy.ok():  # else it was told to stop in the middle of it
                self.tell_defect(error)
            raise

    return run


class Perception(LifecycleNode):
    """Depth, odometry, bird's-eye view, objects and markings of one camera and one LiDAR.

    The executor's thread takes services and parameters, a listener's thread messages (`listener.py`), and a worker's thread runs the
    systems (`worker.py`). Objects and markings run beside, each on a thread of its own (`beside.py`).

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
        self._networks = AtWork(self)
        self._beside: dict[str, Beside] = {}
        self._outputs: Outputs | None = None
        self._inputs: Inputs | None = None
        self._error = ""
        self._start_to_active_s: float | None = None
        self._has_ahead = False
        self._configs = configs = parameters.Configs(self, CONFIGS, self._on_changed)
        self._worker = Worker(self, lambda: configs[""], scale=Scale(1.0, configs["depth"].scale.prior_sigma))
        self._diagnostics = Diagnostics(self, lambda: configs["diagnostics"])
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

    @_told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the model, proves its engines and makes the publishers."""
        configs = self._configs
        self._publishes = tuple(configs[""].systems.split()) or self._own
        try:
            loaded = self.load_networks()
            for name in (name for name in BESIDE if name in loaded):
                self._beside[name] = beside = BESIDE[name](name, self, configs.__getitem__)
                beside.use(loaded[name], beside.made(loaded[name]))
            self._outputs = Outputs(self, self._publishes)
        except BadInput as error:
            self._beside = {}
            return self._refuse(error)
        self._error = ""
        self._networks.use(loaded)
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

    @_told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes and starts working."""
        assert self.drive is not None and self._outputs is not None
        self.drive.reset()
        try:
            self._inputs = Inputs(self, self._configs["input"])
            for beside in self._beside.values():
                beside.start(self._inputs, self._outputs)
        except BadInput as error:
            self.stop()
            return self._refuse(error)
        self._error = ""
        self._diagnostics.start()
        self._worker.start(self.drive, self._inputs, self._outputs, list(self._beside.values()))
        spare_the_collector()
        again = self._start_to_active_s is not None
        if self._start_to_active_s is None:  # what comes after a deactivation is no start
            self._start_to_active_s = age_s()
        for sentence in optional.MISSING:
            self.get_logger().warning(sentence)
        when = "again" if again else f"after {self._start_to_active_s:.2f} s"
        self.get_logger().info(f"active {when}, engine {self._networks.values['engine']}")
        return super().on_activate(state)

    @_told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops working and unsubscribes."""
        self.stop()
        return super().on_deactivate(state)

    @_told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lets the engines go."""
        self._forget()
        return TransitionCallbackReturn.SUCCESS

    @_told
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
        self._worker.stop()
        for beside in self._beside.values():
            beside.stop()
        self._inputs = None

    def _forget(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
        self._outputs, self.drive, self._beside = None, None, {}
        self._networks.forget()

    def tell_defect(self, error: Exception) -> None:
        """An exception that nobody foresaw: what /diagnostics says until the node is configured; the log has where it came from."""
        self._error = f"internal error: {type(error).__name__}: {' '.join(str(error).split())}"
        self.get_logger().error(traceback.format_exc())

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

        self._worker.later(reset)
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
        self._has_ahead = False
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
            self._networks.use(loaded)

        for name, beside in self._beside.items():
            beside.use(loaded[name], made[name])
        self._worker.later(swap)

    def _building(self, phase: str, seconds: float) -> None:
        """Nobody waits in front of a silent build."""
        self.get_logger().info(f"building a TensorRT engine: {phase}, {seconds:.0f} s", throttle_duration_sec=5.0)

    def _on_changed(self, prefix: str, config: Any) -> None:
        """A parameter has changed: its system takes the new Config. What is read where it is used needs nothing."""

        def configure() -> None:
            if self.drive is not None:
                self.drive.configure(prefix, config)

        if prefix in ("depth", "odometry", "bev", "deskew"):
            self._worker.later(configure)
        elif prefix in self._beside:
            self._beside[prefix].later(lambda: self._beside[prefix].configure(config))

    def _on_clock_jump(self, jump: TimeJump) -> None:
        """Sim time has jumped back: a bag starts again, and so does the drive."""
        self.get_logger().info(f"the clock jumped back by {-jump.delta.nanoseconds * 1e-9:.3f} s: a new drive")
        if self._inputs is not None:
            self._inputs.start_anew()
        self.start_anew()

    # --- diagnostics ---------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Once a second: what came, what was dropped or skipped and why, and how the engine and the scale do."""
        source, state = self._inputs, self.state
        if source is not None:
            source.wait_until_served()
            if self._worker.frames >= SETTLED_FRAMES and not self._has_ahead:
                take_ahead()
                self._has_ahead = True
        level, message = (DiagnosticStatus.ERROR, self._error) if self._error else (DiagnosticStatus.OK, state)
        values: dict[str, Any] = {"active": source is not None, "state": state, **self._networks.values}
        if source is not None:
            source.ask_for_latched()
            beside = list(self._beside.values())
            level, message, counted = self._diagnostics.driving(source, self._worker, beside, has_depth="depth" in self._runs)
            values |= {"start_to_active_s": f"{self._start_to_active_s:.3f}"} | counted
            values |= {f"published_{system}": self._worker.published[system] for system in self._publishes}
            for each in beside:
                values |= each.values()
        if fell_back := self._networks.tell_fallbacks():
            level, message = DiagnosticStatus.ERROR, "; ".join([*fell_back, message])
        self._diagnostics.publish(level, message, values)
