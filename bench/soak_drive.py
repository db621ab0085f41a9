"""The node of `bench.soak` in a process of its own, its car in another, and this process as their listener and operator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Drive:
    """A `drive` node, and the car that `start_car` starts for it. Whatever ends too early ends the bench, with what it said."""

    def __init__(self, bag: str, folder: Path, *, systems: str, model: str | None, parameters: dict[str, Any]) -> None:
        from depth_perception.bag import Bag, guess_topics
        from depth_perception.nodes.rehearsal import make_observer

        source = Bag(bag)
        topics = guess_topics(source)
        if not topics.points or not topics.camera_info:
            raise SystemExit(f"--bag: wanted images, CameraInfo and scans, got {', '.join(source.topics)}")
        values = {"systems": systems, "input.compressed": source.topics[topics.image][0].endswith("CompressedImage")} | parameters
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={json.dumps(value)}")]
        words += ["-p", f"model:={Path(model).resolve()}"] if model else []
        self.observer = make_observer(folder, keep_every=0, systems=systems.split())
        self._bag, self._log, self.report = bag, (folder / "says.txt").open("w+"), folder / "car.json"
        self.node = subprocess.Popen([sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "--log-level", "error", *words],
                                     stdout=self._log, stderr=self._log)
        self._car: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}

    def start_car(self, *, rate: float, seconds: float, minute_s: float) -> None:
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
        words = [self._bag, str(rate), str(seconds), str(minute_s), str(self.report)]
        self._car = subprocess.Popen([sys.executable, "-m", "bench.soak_car", *words], env=env)

    def spin(self, seconds: float) -> None:
        """Listens until something has come, or for so long."""
        import rclpy

        rclpy.spin_once(self.observer, timeout_sec=seconds)
        for process, name in ((self.node, "the node"), (self._car, "the car")):
            if process is not None and process.poll() is not None:
                self._log.seek(0)
                raise SystemExit(f"{name} ended with code {process.returncode}: {self._log.read()[-2000:]}")

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited {seconds:g} s for {what}; the node says {self.observer.message!r}")
            self.spin(0.02)

    def ask(self, kind: Any, service: str, **fields: Any) -> Any:
        """The future answer of one of the node's services."""
        if service not in self._clients:
            self._clients[service] = self.observer.create_client(kind, f"/drive/{service}")
            self.until(self._clients[service].service_is_ready, f"the service {service}")
            for _ in range(10):  # a service that is ready for us may not have met us, its listener, yet
                self.spin(0.05)
        return self._clients[service].call_async(kind.Request(**fields))

    def set(self, name: str, value: Any) -> Any:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        return self.ask(SetParameters, "set_parameters", parameters=[Parameter(name, value=value).to_parameter_msg()])

    def change_state(self, transition: str) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        id_ = getattr(Transition, f"TRANSITION_{transition.upper()}")
        future = self.ask(ChangeState, "change_state", transition=Transition(id=id_, label=transition))
        self.until(future.done, f"the transition {transition}")
        if not future.result().success:
            raise SystemExit(f"{transition} was refused: {self.observer.message}")

    @property
    def given_out_mb(self) -> float:
        """What the node's malloc has given out and not got back, as it last said on /diagnostics; NaN where it does not know."""
        return float(self.observer.status.get("given_out_mb", "nan"))

    def end(self) -> dict[str, int]:
        """Ends both; their exit codes."""
        codes = {}
        for process, name in ((self._car, "car"), (self.node, "node")):
            if process is None:
                continue
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                codes[name] = process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        self.observer.destroy_node()
        self._log.close()
        return codes


@contextmanager
def running(bag: str, **options: Any) -> Iterator[Drive]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        drive = Drive(bag, Path(folder), **options)
        try:
            yield drive
        finally:
            drive.end()


def looked_at(pid: int) -> dict[str, float]:
    """A process's MB of RSS (anon: of its own, without files and shared memory), CPU seconds, threads and file descriptors."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {"rss_mb": int(status["VmRSS"].split()[0]) / 1e3, "anon_mb": int(status["RssAnon"].split()[0]) / 1e3,
            "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "threads": int(status["Threads"]), "files": len(os.listdir(f"/proc/{pid}/fd"))}
