"""`ros2 run depth_perception recorder_node`: topics -> rosbag2 directories, as serialised bytes, with every drop counted."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool, Trigger

from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory
from depth_perception.nodes import encode
from depth_perception.nodes.interrupt import Interrupt, leave_at_once
from depth_perception.nodes.parameters import NEVER, Configs, Declaration, described_as
from depth_perception.nodes.recorder_topics import Topics
from depth_perception.nodes.recorder_triggers import Triggers
from depth_perception.record import FOREVER, Config, Recording, health
from depth_perception.record.config import GB, MB

_LOOK_S, _REPORT_S = 0.2, 1.0
# A launch sends its next signal five seconds after the first.
_CLOSE_S, _PATIENCE_S = 4.0, 4.7
_CLOCK_JUMP_S = 0.5
# The parameters that are no Config's.
OWN = (
    Declaration("path", "", "Directory of the new bag, or of the snapshots; empty: drive_ and the time, where it was started.", NEVER),
    Declaration("topics", [""], "Topics to record; none, or an empty name: every topic whose type is installed.", NEVER),
    Declaration("exclude", "", "Topics that are not recorded: a regular expression for the whole name.", NEVER),
    Declaration("throttle", [""], "TOPIC=HZ: no more than so many messages a second of a topic, by their arrival.", NEVER),
    Declaration("end_on_error", False, "End, with code 1, when nothing can be written any more.", NEVER),
    Declaration("duration_s", 0.0, "End after so many seconds; 0: when a signal comes.", NEVER, (0, 1e9)),
)


class Recorder(Node):
    """Subscribes to what is published, hands the bytes to a `Recording`, and says once a second how it goes.

    Messages are logged at the time of arrival, by a clock that starts with the system's and never jumps: a bag has one time. Under sim
    time it is /clock's, and recording begins with it.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        path, topics, exclude, throttle, self._end_on_error, duration_s = (self._declare(own) for own in OWN)
        self._config: Config = Configs(self, {"": (Config, NEVER)}, lambda prefix, config: None)[""]
        try:
            self._path = Path(path or time.strftime("drive_%Y_%m_%d-%H_%M_%S")).expanduser()
        except RuntimeError as error:  # ~nobody
            raise BadInput(f"path: {error}") from None
        self._wall_ns, self._steady_ns = time.time_ns(), time.monotonic_ns()
        self._uses_sim_time = self.get_parameter("use_sim_time").value
        self._end_ns = self._steady_ns + int(duration_s * 1e9) if duration_s else FOREVER
        self._sim_ns = 0
        self._notes: dict[str, str] = {}
        self._told = 0
        self._topics: Topics | None = None
        self._recording = Recording(self._config, summary=self._summary)
        self._topics = Topics(self, self._recording, exclude=exclude, clock=self._log_ns,
                              listed=[self.resolve_topic_name(topic) for topic in topics if topic])
        for text in filter(None, throttle):
            topic, _, hz = text.rpartition("=")
            try:
                self._recording.throttle(self.resolve_topic_name(topic), float(hz))
            except ValueError:  # BadInput is one
                raise BadInput(f"throttle: wanted TOPIC=HZ, got {text!r}") from None
        self._triggers = None
        if self._config.mode == "snapshot":
            self._triggers = Triggers(self, self._config.triggers, self._snapshot)
            _make_folder(self._path)
        else:
            self._recording.record(self._path)
        self._before = self._load()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(SetBool, "~/record", self._on_record)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/split", self._on_split)
        self.create_service(Trigger, "~/snapshot", self._on_snapshot)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # sim time may stand still; looking and reporting must not
        self.create_timer(_LOOK_S, self._look, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)
        self.get_logger().info(f"{'snapshots go' if self._triggers else 'recording'} into {self._path}")

    @property
    def ended(self) -> bool:
        """Whether it is time to close."""
        return time.monotonic_ns() >= self._end_ns or bool(self._end_on_error and self._recording.error)

    def close(self) -> bool:
        """Finishes the bag within the time that a signal leaves, and says what became of it; False: it could not be finished."""
        path = self._recording.path
        whole = self._recording.close(_CLOSE_S)
        self._tell()
        seen = self._topics.health if self._topics else {}
        counts = {topic: each.counts for topic, each in seen.items()}
        gone = ", ".join(f"{count} of {topic}" for topic, each in seen.items() if (count := each.counts.dropped + each.lost)) or "none"
        say = self.get_logger().info if whole and gone == "none" else self.get_logger().warning
        written = sum(count.written for count in counts.values())
        say(f"{self._recording.error or path or self._path}: {written} messages of {len(counts)} topics written; not recorded: {gone}")
        return whole

    def _declare(self, own: Declaration) -> Any:
        return self.declare_parameter(own.name, own.default, described_as(own.meaning, own.when, own.limits, own.default)).value

    def _log_ns(self) -> int:
        if self._uses_sim_time:
            return self.get_clock().now().nanoseconds
        return self._wall_ns + time.monotonic_ns() - self._steady_ns

    def _look(self) -> None:
        now_ns = self._log_ns()
        assert self._topics is not None
        if now_ns == 0:
            return
        if self._uses_sim_time and now_ns < self._sim_ns - 1e9:
            self._recording.split()
            self._note("clock", f"/clock went back by {(self._sim_ns - now_ns) * 1e-9:.1f} s: the bag's next file begins there")
        self._sim_ns = now_ns
        self._topics.look()
        if self._triggers is not None:
            stall_s = self._config.triggers.stall_s
            self._triggers.look(self._topics.stalled(stall_s) if stall_s else [])
        self._recording.advance(now_ns)
        self._tell()

    def _tell(self) -> None:
        """Names the bags that were finished since."""
        for bag in self._recording.bags[self._told:]:
            self.get_logger().info(f"{bag} is finished")
        self._told = len(self._recording.bags)

    def _note(self, name: str, sentence: str) -> None:
        self._notes[name] = sentence
        self.get_logger().warning(sentence)

    def _snapshot(self, reason: str) -> str:
        """Begins a snapshot, or makes the one that is being written last longer; the sentence that tells of it."""
        until_ns = self._log_ns() + int(self._config.post_roll_s * 1e9)
        open_one = self._recording.path
        path = _free_name(self._path / time.strftime("%Y_%m_%d-%H_%M_%S"))
        try:
            path = self._recording.record(path, until_ns=until_ns)  # the open one, if it still is
        except BadInput as error:
            self._note("snapshot", f"{reason}: {error}")
            return str(error)
        longer = path == open_one and "snapshot" in self._notes
        self._notes["snapshot"] = f"{self._notes['snapshot']}; {reason}" if longer else reason
        self.get_logger().info(f"snapshot {path.name}: {reason}")
        return f"{path}, until {self._config.post_roll_s:g} s from now"

    def _on_record(self, request: Any, response: Any) -> Any:
        path = self._recording.path
        if request.data and path is None:
            try:
                self._recording.record(next_path := _free_name(self._path))
                response.success, response.message = True, f"recording into {next_path}"
            except BadInput as error:
                response.success, response.message = False, str(error)
        elif request.data:
            response.success, response.message = False, f"already recording into {path}"
        elif path is None:
            response.success, response.message = False, "nothing is being recorded"
        else:
            self._recording.finish()
            response.success, response.message = True, f"{path} ends here"
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        self._recording.paused = request.data
        response.success, response.message = True, "paused: nothing but static transforms is taken" if request.data else "going on"
        return response

    def _on_split(self, request: Any, response: Any) -> Any:
        response.success = self._recording.path is not None
        response.message = "the next message goes into the next file" if response.success else "nothing is being recorded"
        self._recording.split()
        return response

    def _on_snapshot(self, request: Any, response: Any) -> Any:
        if self._triggers is None:
            response.success, response.message = False, f"mode is {self._config.mode}: snapshots are made with mode:=snapshot"
        else:
            response.message = self._snapshot("asked for")
            response.success = self._recording.path is not None
        return response

    def _summary(self) -> dict[str, str]:
        seen = dict(self._topics.health) if self._topics else {}
        recorder = f"mode {self._config.mode}, compression {self._config.compression}; counts since it was started"
        return health.summary(seen, self._notes | {"recorder": recorder})

    def _load(self) -> health.Load:
        seen = list(self._topics.health.values()) if self._topics else []
        gone = sum(each.counts.dropped + each.lost for each in seen)
        return health.Load(time.monotonic(), self._recording.queued_bytes, self._recording.written_bytes, _free_bytes(self._path), gone)

    def _report(self) -> None:
        assert self._topics is not None
        before, now = self._before, self._load()
        self._before = now
        drift_s = (time.time_ns() - self._wall_ns - (time.monotonic_ns() - self._steady_ns)) * 1e-9
        if abs(drift_s) > _CLOCK_JUMP_S and "clock" not in self._notes and not self._uses_sim_time:
            self._note("clock", f"the system's clock was set by {drift_s:+.1f} s while recording; log times go on steadily")
        found = health.findings(self._config, before, now)
        if self._log_ns() == 0:
            found.append("waiting for /clock, use_sim_time is true")
        found += self._topics.notes()
        if self._triggers is not None:
            found += self._triggers.notes()
            if (held_s := self._recording.short_roll_s) is not None:
                found.append(f"the queue holds {held_s:.1f} s, pre_roll_s is {self._config.pre_roll_s:g}: raise queue_mb")
        for sentence in found:
            self._topics.once(sentence)
        path, bytes_per_s = self._recording.path, health.rate(before, now)
        state = "paused" if self._recording.paused else f"recording {len(self._topics)} topics" if path else "waiting"
        status = DiagnosticStatus(name=f"{self.get_fully_qualified_name()}: recording", level=DiagnosticStatus.OK, message=state)
        if self._recording.error:
            status.level, status.message = DiagnosticStatus.ERROR, self._recording.error
            self._topics.once(self._recording.error)
        elif found:
            status.level, status.message = DiagnosticStatus.WARN, "; ".join(found)
        left = health.minutes_left(self._config, now, bytes_per_s)
        values: dict[str, Any] = {
            "path": path or self._path,
            "state": state,
            "queue_mb": f"{now.queued / MB:.1f}",
            "mb_per_s": f"{bytes_per_s / MB:.1f}",
            "bag_mb": f"{self._recording.size / MB:.1f}",
            "files_forgotten": self._recording.forgotten,
            "disk_free_gb": "unknown" if now.free is None else f"{now.free / GB:.1f}",
            "minutes_left": "no end in sight" if left is None else f"{left:.0f}",
        } | self._notes
        for topic, each in list(self._topics.health.items()):
            values |= {f"{topic} {name}": value for name, value in each.values().items()}
            if period_s := each.pace.period_s:
                values[f"{topic} hz"] = f"{1 / period_s:.2f}"
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._diagnostics.publish(DiagnosticArray(header=encode.header(self.get_clock().now().nanoseconds, ""), status=[status]))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".recorder"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"{path}: snapshots cannot be written there ({error.strerror})") from None


def _free_name(path: Path) -> Path:
    """The path, or with _2, _3, ... where there is something already."""
    number = 1
    while os.path.lexists(free := path if number == 1 else path.with_name(f"{path.name}_{number}")):
        number += 1
    return free


def _free_bytes(path: Path) -> int | None:
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def main(argv: list[str] | None = None) -> int:
    """Records until a signal comes. 0: the bag is whole; 1: it could not be finished, what is in it can be read; 2: bad input."""
    leave_at_once()
    keep_freed_memory()
    interrupt = Interrupt(last_resort=1, patience_s=_PATIENCE_S)
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        recorder = Recorder()
    except (BadInput, ParameterException, InvalidParameterTypeException, rcl.RCLError) as error:
        print(f"recorder_node: {' '.join(str(error).split())}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    try:
        while not (interrupt.came or recorder.ended):
            executor.spin_once(timeout_sec=_LOOK_S)
    finally:
        whole = recorder.close()
        rclpy.try_shutdown()
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
