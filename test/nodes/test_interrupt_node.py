"""Ctrl-C at any moment of a node's life: it ends by itself, without a traceback."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from cars import image_at, info_at, static_tf

ROOT = Path(__file__).resolve().parent.parent.parent


def start(model, says):
    command = [sys.executable, ROOT / "scripts" / "drive", "--ros-args", "-p", f"model:={model}"]
    return subprocess.Popen(command, stdout=says, stderr=says, env=os.environ | {"PYTHONPATH": str(ROOT)})


def mapped(process, library):
    """Whether the process has loaded a library: how far its start has come."""
    try:
        return library in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("moment", ["", "_multiarray_umath", "cv2", "_rclpy", "librmw_fastrtps", "onnxruntime_pybind"])
def test_while_it_starts(tiny_model, tmp_path, moment):
    with (tmp_path / "says.txt").open("w+") as says:
        process = start(tiny_model, says)
        end = time.monotonic() + 20
        while moment and not mapped(process, moment):
            assert process.poll() is None and time.monotonic() < end, f"it never loaded {moment}"
        process.send_signal(signal.SIGINT)
        code = process.wait(10.0)
        says.seek(0)
        said = says.read()
    # Before Python runs any line of ours, Python's own way to end counts.
    assert code == 0 or (moment == "" and code in (1, -signal.SIGINT)), said
    assert moment == "" or "Traceback" not in said, said


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_in_the_middle_of_a_frame(car, signal_):
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(1))
    car.depth_of(1)
    car.send("image", image_at(2))
    car.process.send_signal(signal_)
    assert car.process.wait(10.0) == 0
    assert "Traceback" not in car.said()


def test_an_impatient_operator_changes_nothing(car):
    """Ctrl-C again and again, also while the interpreter ends."""
    while car.process.poll() is None:
        car.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            car.process.wait(0.002)
    assert car.process.returncode == 0


@pytest.mark.parametrize(("library", "code"), [("CDLL", 3), ("PyDLL", -signal.SIGALRM)])
def test_a_library_that_hangs_does_not_keep_the_process(library, code):
    """DDS while it is shut down, say. Through PyDLL it has the interpreter meanwhile, and no thread of Python's runs."""
    program = ("import ctypes\n"
               "from depth_perception.nodes.interrupt import Interrupt\n"
               "interrupt = Interrupt(patience_s=0.2, last_resort=3)\n"
               "print('ready', flush=True)\n"
               "while not interrupt.came: pass\n"
               f"ctypes.{library}(None).sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    with process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10.0) == code
