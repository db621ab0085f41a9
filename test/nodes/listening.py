"""Programs in processes of their own, and this process as somebody else on their graph."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Program:
    """`python -m depth_perception.nodes.NAME ...`, or `python -m depth_perception NAME ...`, on the loopback, in this process's domain.

    What it says goes to files.
    """

    def __init__(self, folder: Path, name: str, *arguments: Any, env: dict[str, str] | None = None, is_verb: bool = False) -> None:
        from depth_perception.nodes.transport import environment, private_domain

        place = folder / f"{name}{len(list(folder.glob(f'{name}*.out')))}"
        self._out, self._err = place.with_suffix(".out"), place.with_suffix(".err")
        module = ["depth_perception", name] if is_verb else [f"depth_perception.nodes.{name}"]
        command = [sys.executable, "-m", *module, *map(str, arguments)]
        with self._out.open("w") as out, self._err.open("w") as err:
            environ = environment(loopback=True, domain=private_domain()) | {"PYTHONFAULTHANDLER": "1"} | (env or {})
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=environ)

    @property
    def said(self) -> str:
        """stdout so far."""
        return self._out.read_text()

    @property
    def complained(self) -> str:
        """stderr so far."""
        return self._err.read_text()

    def end(self, number: int | None = None) -> int:
        """Its exit code, after a signal if one is given. Where it does not end, the failure says where it was."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30 if number is None else 10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler writes what each thread is at
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            raise AssertionError(f"it did not end: {self.complained}") from None
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


class Listener:
    """A node that keeps the bytes that it hears, by topic, and publishes."""

    def __init__(self) -> None:
        from depth_perception.nodes.transport import environment, private_domain

        os.environ.update(environment(loopback=True, domain=private_domain()))
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("listener", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.heard: dict[str, list[bytes]] = {}

    def hear(self, kind: Any, topic: str, *, reliable: bool = True, latched: bool = False) -> list[bytes]:
        """Subscribes; the list grows."""
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        qos = QoSProfile(
            depth=1000,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        heard: list[bytes] = self.heard.setdefault(topic, [])
        self.node.create_subscription(kind, topic, heard.append, qos, raw=True)
        return heard

    def until(self, condition: Callable[[], Any], program: Program) -> Any:
        """Spins until the condition holds. It is a failure after a minute, or soon after the program has ended."""
        end = time.monotonic() + 60
        while not (found := condition()):
            self._executor.spin_once(timeout_sec=0.05)
            if program.process.poll() is not None:
                end = min(end, time.monotonic() + 5)  # what it said last may still be on its way
            assert time.monotonic() < end, f"it did not happen: {program.complained}"
        return found

    def close(self) -> None:
        import rclpy

        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


def client_of(node: Any, kind: Any, service: str, until: Callable[[Callable[[], Any]], Any]) -> Any:
    """A client whose first answer will arrive; `until` spins `node` until a condition holds.

    A node that has not met a client's reader yet answers into the void, and `service_is_ready` knows of the other direction only. A node
    meets endpoints in the order of their making: once it has answered a younger client, whom asking twice does no harm, it knows this one.
    """
    from rcl_interfaces.srv import ListParameters

    client = node.create_client(kind, service)
    younger = node.create_client(ListParameters, f"{service.rpartition('/')[0]}/list_parameters")
    until(lambda: client.service_is_ready() and younger.service_is_ready())
    asked: list[tuple[float, Any]] = []

    def answered() -> bool:
        if not asked or time.monotonic() > asked[-1][0] + 1:
            asked.append((time.monotonic(), younger.call_async(ListParameters.Request())))
        return any(answer.done() for _, answer in asked)

    until(answered)
    node.destroy_client(younger)
    return client


def payload(heard: bytes, sent: bytes) -> bytes:
    """What was heard without the up to three zeros with which RTPS fills a small message to a multiple of four bytes."""
    extra = heard[len(sent) :]
    return heard[: len(sent)] if len(extra) < 4 and not any(extra) else heard
