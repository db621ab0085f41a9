"""A drive with a view, over real DDS: what the nodes say is in the recording, at its stamps; Ctrl-C ends it all."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy")

from cars import START, TENTH, image_at, info_at, scan_at, static_tf
from listening import Program

from depth_perception.bag import Writer

ROOT = Path(__file__).resolve().parent.parent.parent
HAS_RERUN = importlib.util.find_spec("rerun") is not None
needs_rerun = pytest.mark.skipif(not HAS_RERUN, reason="needs rerun: pip install 'depth_perception[view]'")
IMAGES = 12


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view") / "bag"
    with Writer(folder) as out:
        out.write("/tf_static", static_tf(), START)
        for i in range(IMAGES):
            stamp = START + i * TENTH
            out.write("/points", scan_at(i), stamp - TENTH // 10)
            out.write("/camera_info", info_at(i), stamp)
            out.write("/image", image_at(i), stamp)
    return folder


@needs_rerun
def test_what_is_driven_is_shown_until_ctrl_c(bag, tiny_model, tmp_path):
    from rerun.chunk import RrdReader

    file = tmp_path / "drive.rrd"
    program = Program(tmp_path, "drive", "--bag", bag, "--model", tiny_model, "--no-metrics", "--rate", 0.5, "--view-port", 0,
                      "--view-file", file, is_verb=True)
    try:
        for _ in range(900):
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"ended with {program.process.wait(0.1)}: {program.complained}")
            if "until Ctrl-C" in program.complained:
                break
        children = psutil.Process(program.process.pid).children(recursive=True)
        (url,) = [word for word in program.complained.split() if word.startswith("http")]
        with urllib.request.urlopen(url, timeout=10) as page:
            assert b"re_viewer.js" in page.read()
        assert '"frames_in": 12' in program.said  # the summary is not kept back
    finally:
        code = program.end(signal.SIGINT)
    assert code == 0, program.complained
    _, left = psutil.wait_procs(children, timeout=10)
    assert not left
    found: dict[str, dict[str, list]] = {}
    for chunk in RrdReader(str(file)).stream():
        batch = chunk.to_record_batch()
        if "stamp" in batch.schema.names:
            entity = found.setdefault(str(chunk.entity_path), {})
            stamps = batch.column("stamp").cast("int64").to_pylist()
            for name in (name for name in batch.schema.names if ":" in name):
                entity.setdefault(name, []).extend(zip(stamps, batch.column(name).to_pylist(), strict=True))
    assert {"/world/car/camera/image", "/world/car/camera/depth", "/world/car/camera/confidence", "/world/car/lidar", "/world/car/bev",
            "/world/car/grid", "/world/car", "/world/trajectory/0", "/latency/drive/total", "/scale/scale", "/log"} <= found.keys()
    images = {START + i * TENTH for i in range(IMAGES)}
    shown = {"camera/image": "EncodedImage:blob", "camera/depth": "EncodedDepthImage:blob", "bev": "Points3D:positions"}
    for path, component in shown.items():
        stamps = [stamp for stamp, _ in found[f"/world/car/{path}"][component]]
        assert stamps and set(stamps) <= images and len(set(stamps)) == len(stamps), path
    assert all(np.isfinite(points).all() for _, points in found["/world/car/bev"]["Points3D:positions"])


@needs_rerun
def test_a_file_alone_is_written_and_nothing_is_waited_for(bag, tiny_model, tmp_path):
    file = tmp_path / "drive.rrd"
    program = Program(tmp_path, "drive", "--bag", bag, "--model", tiny_model, "--no-metrics", "--view-file", file, is_verb=True)
    assert program.end() == 0, program.complained
    assert file.stat().st_size > 5000 and not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize(("flags", "sentence"), [
    (["--view-port", "70000"], "--view-port: wanted a port from 0 to 65534, got 70000"),
    (["--view-file", "/nowhere/at/all.rrd"], "--view-file: wanted a file in a folder that exists"),
    (["--view-file", "/"], "--view-file: /: wanted a file to write, it is a directory"),
])
def test_what_cannot_be_shown_is_one_sentence(bag, tmp_path, flags, sentence):
    program = Program(tmp_path, "drive", "--bag", bag, *flags, is_verb=True)
    assert program.end() == 2
    assert sentence in program.complained and "Traceback" not in program.complained


@needs_rerun
@pytest.mark.parametrize(("parameters", "sentence"), [
    (["-p", "nodes:=a!"], "viewer: nodes: wanted names of nodes, separated by spaces, got 'a!'"),
    (["-p", "save:=/"], "viewer: /: wanted a file to write, it is a directory"),
])
def test_a_viewer_that_cannot_start_leaves_nothing(tmp_path, parameters, sentence):
    program = Program(tmp_path, "viewer", "--ros-args", "-p", "browser:=false", *parameters)
    children = []
    while program.process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children += psutil.Process(program.process.pid).children()
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.wait(0.1)
    assert program.end() == 2
    assert sentence in program.complained and "Traceback" not in program.complained
    assert not psutil.wait_procs(children, timeout=10)[1]


@needs_rerun
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_drive_that_is_killed_takes_its_view_along(bag, tiny_model, tmp_path, number):
    file = tmp_path / "drive.rrd"
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored, and a child inherits that
    try:
        program = Program(tmp_path, "drive", "--bag", bag, "--model", tiny_model, "--no-metrics", "--view-port", 0, "--view-file", file,
                          is_verb=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        while "view: http" not in program.complained:
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"ended with {program.process.wait(0.1)}: {program.complained}")
        children = psutil.Process(program.process.pid).children(recursive=True)
        viewing = [each for each in children if any("viewer" in word or "rerun" in word for word in each.cmdline())]
    finally:
        program.end(number)
    assert len(viewing) == 2 and not psutil.wait_procs(viewing, timeout=20)[1]
    assert file.is_file() and not list(tmp_path.glob("*.unfinished"))


@needs_rerun
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_ignores_in_a_destructor_is_not_lost():
    from depth_perception.nodes.viewing import View, Viewing

    class Hit:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with Viewing(View(serve=False)) as viewing:
        viewing.check()
        del (hit := [Hit()])[0]  # KeyboardInterrupt is raised in there, and goes no further
        with pytest.raises(KeyboardInterrupt):
            viewing.check()
    assert not hit


@needs_rerun
def test_a_message_that_does_not_fit_is_not_the_end(tmp_path):
    from listening import Listener
    from visualization_msgs.msg import Marker, MarkerArray

    file = tmp_path / "drive.rrd"
    program = Program(tmp_path, "viewer", "--ros-args", "-p", "serve:=false", "-p", f"save:={file}")
    listener = Listener()
    try:
        objects = listener.node.create_publisher(MarkerArray, "/objects", 5)
        listener.until(objects.get_subscription_count, program)
        objects.publish(MarkerArray())
        listener.until(lambda: "objects: wanted markers with a stamp, got none" in program.complained, program)
        objects.publish(MarkerArray(markers=[Marker(action=Marker.DELETEALL)]))
        listener.until(objects.get_subscription_count, program)
    finally:
        listener.close()
        code = program.end(signal.SIGINT)
    assert code == 0 and file.is_file(), program.complained
    assert "Traceback" not in program.complained


@pytest.mark.parametrize("command", [
    ["-m", "depth_perception", "drive", "--bag", "none.mcap", "--view"],
    [str(ROOT / "scripts" / "viewer")],
])
def test_without_rerun_it_names_the_extra(tmp_path, command):
    """As if it were not installed: a finder before all others that knows of no rerun."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name.startswith('rerun') else real(name, package)\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('rerun', 'rerun_cli'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n")
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    result = subprocess.run([sys.executable, *command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, result.stderr
    assert "pip install 'depth_perception[view]'" in result.stderr and "Traceback" not in result.stderr
