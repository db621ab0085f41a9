"""A bag through the nodes over real DDS: one process drives, one plays, this one listens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput


@dataclass(frozen=True)
class Played:
    """Attributes:
    published: topic -> messages that the player sent.
    missing: topic -> message type that is not installed and was therefore not played.
    """

    published: dict[str, int]
    missing: dict[str, str]


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
    progress: Callable[[int], object] = lambda done: None,
) -> Played:
    """Starts the `drive` node, waits until it is active, plays the bag, waits for the last answer, stops the node.

    Args:
        observer: a spinning-ready `Observer`, made under the transport environment that the children inherit.
        topics: image, camera_info, points (None: the bag has no scans).
        progress: called with the number of depth images that have arrived.
    Raises:
        BadInput: the node or the player gave up; the sentence is theirs.
    """
    remaps = [f"{name}:={topic}" for name, topic in topics.items() if topic]
    values = {"model": model, "input.compressed": compressed} | (parameters or {})
    command = [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "--log-level", "warn"]
    command += [word for remap in remaps for word in ("-r", remap)]
    command += [word for key, value in values.items() if value != "" for word in ("-p", f"{key}:={_yaml(value)}")]
    played = [topic for topic in topics.values() if topic] + ["/tf_static"]
    node = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    player = None
    try:
        _spin_until(observer, lambda: observer.active, 30.0, node)
        player = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "depth_perception.nodes.player",
                "--bag",
                bag,
                "--rate",
                str(rate),
                "--wait-for",
                str(topics["image"]),
                "--topics",
                *played,
                *(["--stamp-now"] if stamp_now else []),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while player.poll() is None:
            _spin(observer, 0.2)
            progress(len(observer.depth_stamps))
            if node.poll() is not None:
                raise BadInput(f"the drive node ended with code {node.returncode}: {_tail(node)}")
        if player.returncode != 0:
            raise BadInput(_tail(player))
        said = json.loads(player.stdout.read())  # type: ignore[union-attr]
        _settle(observer, said["published"].get(topics["image"], 0))
        progress(len(observer.depth_stamps))
        return Played(said["published"], said["missing"])
    finally:
        for process in (player, node):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(5.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def make_observer(folder: Path, *, keep_every: int) -> Any:
    """An Observer in this process, on the loopback and in a domain of its own."""
    import os

    from depth_perception.nodes.transport import environment, private_domain

    os.environ.update(environment(loopback=True, domain=private_domain()))
    import rclpy

    from depth_perception.nodes.observer import Observer

    if not rclpy.ok():
        rclpy.init()
    return Observer(folder, keep_every=keep_every)


def _spin(observer: Any, seconds: float) -> None:
    import rclpy

    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        rclpy.spin_once(observer, timeout_sec=left)


def _spin_until(observer: Any, condition: Callable[[], bool], seconds: float, node: subprocess.Popen[str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if node.poll() is not None:
            raise BadInput(_tail(node) or f"the drive node ended with code {node.returncode}")
        if time.monotonic() > end:
            raise BadInput(f"the drive node did not become active within {seconds:g} s: {observer.message or 'no diagnostics arrived'}")
        _spin(observer, 0.05)


def _settle(observer: Any, images: int) -> None:
    """Waits for the answers to the last images, and for a diagnostic that has counted them."""
    quiet_since, before = time.monotonic(), -1
    while time.monotonic() - quiet_since < 2.0:
        now = len(observer.depth_stamps) + len(observer.cloud_stamps) + len(observer.trajectory)
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


def _tail(process: subprocess.Popen[str]) -> str:
    """The last line a finished process wrote to stderr."""
    lines = (process.stderr.read() if process.stderr else "").strip().splitlines()
    return lines[-1] if lines else ""


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
