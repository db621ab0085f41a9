"""The viewer beside a drive: a process that is started, waited for, kept open until Ctrl-C, and ended."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from depth_perception.frame import BadInput
from depth_perception.parent import ended_with_parent

STARTS_S, ENDS_S = 40.0, 6.0


@dataclass(frozen=True)
class View:
    """Attributes:
    serve: show it on a page of this machine. port: of the page, which reads from the next one; 0: any two that are free. browser: open one.
    file: an .rrd file that gets it as well, or instead; empty: none.
    """

    serve: bool = True
    port: int = 0
    browser: bool = True
    file: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65534:
            raise BadInput(f"--view-port: wanted a port from 0 to 65534, got {self.port}")
        if self.file and not Path(self.file).absolute().parent.is_dir():
            raise BadInput(f"--view-file: wanted a file in a folder that exists, got {self.file}")
        if importlib.util.find_spec("rerun") is None:
            raise BadInput("--view: needs rerun, which is not installed here: pip install 'depth_perception[view]'")


class Viewing:
    """`nodes.viewer` in a process of its own, as long as the `with` lasts. view: None starts nothing."""

    def __init__(self, view: View | None) -> None:
        self._view = view
        self._process: subprocess.Popen[str] | None = None
        self._interrupted = False

    def __enter__(self) -> Viewing:
        if self._view is not None:
            # Or the drive would end without a word to the viewer; a shell starts what runs in its background deaf to Ctrl-C's signal.
            numbers = [signal.SIGTERM, signal.SIGINT]
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
                numbers.append(signal.SIGHUP)
            self._before = {number: signal.signal(number, self._on_signal) for number in numbers}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._view is not None:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if kind is None and self._process.returncode != 0:
                raise BadInput(self._complaint(f"the viewer ended with {self._process.returncode}"))

    def start(self, topics: dict[str, str], parameters: dict[str, Any]) -> list[str]:
        """Starts the viewer in the graph of this process' environment, and waits until it shows; its node name, if there is one.

        topics: image, camera_info, points -> topic. parameters: of nodes.input_config.Config, named input.*.
        """
        if self._view is None:
            return []
        view = self._view
        values = {"serve": view.serve, "port": view.port, "browser": view.browser, "save": view.file} | parameters
        command = [sys.executable, "-m", "depth_perception.nodes.viewer", "--ros-args", "--log-level", "warn"]
        command += [word for name, topic in topics.items() for word in ("-r", f"{name}:={topic}")]
        command += [word for key, value in values.items() if value != "" for word in ("-p", f"{key}:={_yaml(value)}")]
        self._says, self._shows = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115 # as long as the process
        self._process = subprocess.Popen(command, stdout=self._shows, stderr=self._says, text=True,
                                         preexec_fn=ended_with_parent(signal.SIGINT))
        end = time.monotonic() + STARTS_S
        while not (line := _read(self._shows).strip()):
            self.check()
            if self._process.poll() is not None or time.monotonic() > end:
                raise BadInput(self._complaint("the viewer did not start"))
            time.sleep(0.05)
        print(line, file=sys.stderr, flush=True)
        return ["viewer"]

    def keep(self) -> None:
        """Keeps the page open until Ctrl-C; where there is only a file, returns at once."""
        if self._process is None or self._view is None or not self._view.serve:
            return
        print("the view stays open until Ctrl-C", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while self._process.poll() is None:
                self.check()
                time.sleep(0.1)
            if self._process.returncode != 0:
                raise BadInput(self._complaint("the viewer died"))

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal has come. What its handler raises in a destructor or a weak reference's callback, which may
        run between any two steps, Python ignores."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def _complaint(self, otherwise: str) -> str:
        """The last line that the viewer said of itself."""
        return (_read(self._says).strip().splitlines() or [otherwise])[-1]


def _read(file: Any) -> str:
    file.seek(0)
    return str(file.read())


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
