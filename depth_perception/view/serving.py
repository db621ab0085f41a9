"""Where a recording goes: to a page that this machine serves to itself, into a file, or both."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import rerun as rr
import rerun_cli

from depth_perception.frame import BadInput
from depth_perception.parent import ended_with_parent
from depth_perception.view.layout import layout
from depth_perception.view.page import LOOPBACK, Page

STARTS_S, FLUSHES_S = 20.0, 2.0
_APPLICATION = "depth_perception"


class Server:
    """A process of Rerun's that serves its viewer and what was logged, on the loopback only.

    A process, because the SDK's own server listens on every interface; and what it does for a browser costs the logging process nothing.

    Args:
        port: of the page, which reads from the next one; 0: any two that are free.
        memory_mb: so much of what was logged is kept for a browser that comes late.
    Attributes:
        url: of the page. sink: where the SDK connects to.
    Raises:
        BadInput: one of the ports is taken, or the server did not start.
    """

    def __init__(self, *, port: int, memory_mb: int) -> None:
        origin, data = _free(), _free(port + 1 if port else 0)
        self._page = Page(origin=f"http://{LOOPBACK}:{origin}", data=f"http://{LOOPBACK}:{data}", port=port)
        self.sink = f"rerun+http://{LOOPBACK}:{data}/proxy"
        self.url = f"http://{LOOPBACK}:{self._page.port}/?url={urllib.parse.quote(self.sink, safe='')}&hide_welcome_screen"
        program = Path(rerun_cli.__file__).parent / "rerun"
        command = [str(program), "--serve-web", "--bind", LOOPBACK, "--port", str(data), "--web-viewer-port", str(origin),
                   "--server-memory-limit", f"{memory_mb}MB"]
        self._says = tempfile.TemporaryFile("w+")  # noqa: SIM115 # as long as the process
        # CI is how the server is told to count nobody's usage. A session of its own: Ctrl-C is for who still has something to send to it.
        environment = {**os.environ, "CI": "1"}
        self._process = subprocess.Popen(command, stdout=self._says, stderr=self._says, stdin=subprocess.DEVNULL, env=environment,
                                         start_new_session=True, preexec_fn=ended_with_parent(signal.SIGTERM))
        end = time.monotonic() + STARTS_S
        while not (_listens(origin) and _listens(data)):
            if not self.runs or time.monotonic() > end:
                self.close()
                self._says.seek(0)
                raise BadInput(f"the viewer's server did not start: {' '.join(self._says.read().split())[-300:] or 'it said nothing'}")
            time.sleep(0.05)

    @property
    def runs(self) -> bool:
        """Whether the server is there."""
        return self._process.poll() is None

    def open_browser(self) -> bool:
        """Opens the page where there is a browser; whether there is one."""
        return webbrowser.open(self.url)

    def close(self) -> None:
        """Ends the process."""
        self._page.close()
        if self.runs:
            self._process.terminate()
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Recording:
    """A stream of what is logged, with the layout, to a server, a file or both.

    file: an .rrd file; it has its name when `close` has finished it. nodes: those whose latencies the layout shows.
    """

    def __init__(self, *, server: Server | None, file: Path | None, nodes: Sequence[str] = ("drive",)) -> None:
        if file is not None and file.is_dir():
            raise BadInput(f"{file}: wanted a file to write, it is a directory")
        if file is not None and not file.parent.is_dir():
            raise BadInput(f"{file}: wanted a folder that exists, got {file.parent}")
        self._server, self._file = server, file
        self._unfinished = None if file is None else file.with_name(f"{file.name}.unfinished")
        self.stream = rr.RecordingStream(_APPLICATION, recording_id=f"{_APPLICATION} {time.strftime('%Y-%m-%d %H:%M:%S')} {os.getpid()}")
        sinks: list[rr.GrpcSink | rr.FileSink] = [] if server is None else [rr.GrpcSink(server.sink)]
        if self._unfinished is not None:
            sinks.append(rr.FileSink(self._unfinished))
        try:
            self.stream.set_sinks(*sinks)
        except RuntimeError as error:
            raise BadInput(f"{file}: {error}") from None
        self.stream.send_blueprint(layout(nodes), make_active=True, make_default=True)

    def close(self) -> None:
        """Sends what is still on its way, and finishes the file. Raises BadInput where it could not be written."""
        try:
            self.stream.flush(timeout_sec=FLUSHES_S)
        except Exception as error:
            if self._server is None or self._server.runs:
                raise BadInput(f"{self._file or 'the view'}: {error}") from None
        finally:
            self.stream.disconnect()
        if self._unfinished is not None and self._file is not None:
            self._unfinished.rename(self._file)


def _free(port: int = 0) -> int:
    """A port that nobody uses: this one, or any. Raises BadInput where somebody does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that has ended does not keep it
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise BadInput(f"port {port}: {error.strerror}") from None
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
