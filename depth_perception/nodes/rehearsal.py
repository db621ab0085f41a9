"""A bag through the nodes over real DDS: one process drives, one plays, this one listens."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory, spare_the_collector
from depth_perception.parent import ended_with_parent


@dataclass(frozen=True)
class Played:
    """Attributes:
    published: topic -> messages that the player sent.
    missing: topic -> message type that is not installed and was therefore not played.
    cpu_share: CPU seconds of the node a second, from one depth image's arrival to a later one's; NaN of fewer than two. 1 is a core.
    """

    published: dict[str, int]
    missing: dict[str, str]
    cpu_share: float = float("nan")


def rehearse(
    observer: Any,
    bag: str,
    topics: dict[str, str | None],
    *,
    compressed: bool = False,
    model: str = "",
    rate: float = 1.0,
    stamp_now: bool = False,
    parameters: dict[str, Any] | None = None,
    params_file: str = "",
    listeners: Sequence[str] = (),
    progress: Callable[[int], object] = lambda done: None,
) -> Played:
    """Starts the `drive` node, waits until it is active, plays the bag, waits for the last answer, stops the node.

    Args:
        observer: a spinning-ready `Observer`, made under the transport environment that the children inherit.
        topics: image, camera_info, points (None: the bag has no scans).
        parameters, params_file: of the node; those count more than the file's.
        listeners: nodes besides `drive` that must listen to the image before the bag plays.
        progress: called with the number of depth images that have arrived.
    Raises:
        BadInput: the node or the player gave up; the sentence is theirs.
    """
    names = {name: topic for name, topic in topics.items() if topic}
    values = {"model": model, "input.compressed": compressed} | (parameters or {})
    drive = [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "--log-level", "warn"]
    drive += [word for name, topic in names.items() for word in ("-r", f"{name}:={topic}")]
    drive += ["--params-file", params_file] if params_file else []
    drive += [word for key, value in values.items() if value != "" for word in ("-p", f"{key}:={_yaml(value)}")]
    play = [sys.executable, "-m", "depth_perception.nodes.player", "--bag", bag, "--rate", str(rate), "--wait-for", names["image"]]
    play += ["--stamp-now"] * stamp_now + ["--topics", *names.values()]
    play += ["--wait-for-nodes", "drive", *listeners] if listeners else []
    # What they say goes to files: a pipe that nobody reads would stop a talkative process.
    with tempfile.TemporaryFile("w+") as drive_says, tempfile.TemporaryFile("w+") as player_says, tempfile.TemporaryFile("w+") as played:
        with_us = ended_with_parent(signal.SIGINT)
        processes = [subprocess.Popen(drive, stderr=drive_says, preexec_fn=with_us)]
        try:
            _spin_until(observer, lambda: observer.active, 30.0, processes[0], drive_says)
            spare_the_collector()
            processes.append(subprocess.Popen(play, stdout=played, stderr=player_says, preexec_fn=with_us))
            busy: list[tuple[int, float, float]] = []
            while processes[1].poll() is None:
                _spin(observer, 0.2)
                progress(len(observer.depth_stamps))
                _look(busy, len(observer.depth_stamps), processes[0].pid)
                if processes[0].poll() is not None:
                    raise BadInput(f"the drive node ended with code {processes[0].returncode}: {_last_line(drive_says)}")
            if processes[1].returncode != 0:
                raise BadInput(_last_line(player_says))
            said = json.loads(_last_line(played))
            _settle(observer, said["published"].get(names["image"], 0))
            progress(len(observer.depth_stamps))
            return Played(said["published"], said["missing"], cpu_share(busy))
        finally:
            _stop(processes)


def make_observer(folder: Path, *, keep_every: int, **of: Any) -> Any:
    """An Observer (`of`: its namespace, node and systems) in this process, on the loopback and in a domain of its own."""
    import os

    from depth_perception.nodes.transport import environment, private_domain

    os.environ.update(environment(loopback=True, domain=private_domain()))
    keep_freed_memory()
    import rclpy

    from depth_perception.nodes.observer import Observer

    if not rclpy.ok():
        rclpy.init()
    return Observer(folder, keep_every=keep_every, **of)


@contextlib.contextmanager
def observing(folder: Path, *, keep_every: int, **of: Any) -> Iterator[Any]:
    """`make_observer`'s as long as the `with` lasts, however it ends; what it has heard can be read afterwards.

    ROS is shut down with it if it was begun for it: left to the interpreter's end, DDS' threads may outlive what they use.
    """
    import rclpy

    ours = not rclpy.ok()
    observer = make_observer(folder, keep_every=keep_every, **of)
    try:
        yield observer
    finally:
        observer.destroy_node()
        if ours:
            rclpy.try_shutdown()


def _spin(observer: Any, seconds: float) -> None:
    import rclpy

    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        rclpy.spin_once(observer, timeout_sec=left)


def _spin_until(observer: Any, condition: Callable[[], bool], seconds: float, node: subprocess.Popen[bytes], says: IO[str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if node.poll() is not None:
            raise BadInput(_last_line(says) or f"the drive node ended with code {node.returncode}")
        if time.monotonic() > end:
            raise BadInput(f"the drive node did not become active within {seconds:g} s: {observer.message or 'no diagnostics arrived'}")
        _spin(observer, 0.05)


def _look(seen: list[tuple[int, float, float]], depths: int, pid: int) -> None:
    """Adds (depths, seconds, CPU seconds of a process) where depths have come since the last look."""
    if depths > (seen[-1][0] if seen else 0):
        with contextlib.suppress(psutil.Error):  # it has ended, which is told elsewhere
            times = psutil.Process(pid).cpu_times()
            seen.append((depths, time.monotonic(), times.user + times.system))


def cpu_share(seen: Sequence[tuple[int, float, float]]) -> float:
    """CPU seconds a second, from the first to the last of (depths, seconds, CPU seconds); NaN of fewer than two."""
    if len(seen) < 2:
        return float("nan")
    (_, began_s, before_s), (_, ended_s, after_s) = seen[0], seen[-1]
    return (after_s - before_s) / (ended_s - began_s)


def _settle(observer: Any, images: int) -> None:
    """Waits for the answers to the last images, and for a diagnostic that has counted them."""
    quiet_since, before = time.monotonic(), -1
    while time.monotonic() - quiet_since < 2.0:
        now = sum(map(len, (observer.depth_stamps, observer.cloud_stamps, observer.trajectory, observer.objects, observer.mask_stamps)))
        if now != before:
            quiet_since, before = time.monotonic(), now
        if len(observer.depth_stamps) >= images and len(observer.latencies) >= images:
            break
        _spin(observer, 0.05)
    seen = observer.status
    end = time.monotonic() + 3.0
    # Two more reports: the first may have been under way already when the last frame was done.
    for _ in range(2):
        while observer.status is seen and time.monotonic() < end:
            _spin(observer, 0.05)
        seen = observer.status


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ends what still runs, gently first."""
    for process in reversed(processes):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _last_line(file: IO[str]) -> str:
    """The last line a process wrote, without a logger's prefix."""
    file.seek(0)
    lines = file.read().strip().splitlines()
    return re.sub(r"^(\[[^\]]*\]\s*)+:?\s*", "", lines[-1]) if lines else ""


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
