"""Several processes that build, and processes that are killed while they do. Real processes, the real builder."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from depth_perception import model as models
from depth_perception.engine import cache, compiled, tensorrt_package

pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (requirements/learn.txt)")
ROOT = Path(__file__).resolve().parent.parent.parent

BUILD = """
import hashlib, json, os, signal, sys, time
from pathlib import Path
from depth_perception import model
from depth_perception.engine import compiled, tensorrt_package
directory, role = Path(sys.argv[1]), sys.argv[2]
"""
FINISH = """
done = compiled.compiled(model.load(directory), "depth", package=tensorrt_package.load("tensorrt_rtx"), capability="sm86",
                         progress=progress, waiting=waiting)
print(json.dumps([role, done.built, hashlib.sha256(done.entry.content).hexdigest()]))
"""
# The first goes on building only when the second says that it waits.
TOGETHER = BUILD + """
def until(name):
    while not (directory / name).exists():
        time.sleep(0.005)
def progress(phase, seconds):
    (directory / "builds").touch()
    until("waits")
def waiting():
    (directory / "waits").touch()
if role == "second":
    until("builds")
""" + FINISH
KILLED = BUILD + """
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def progress(phase, seconds):
    if role == "building":
        die()
waiting = None
if role != "building":
    real, calls = os.replace, []
    def replace(*names):
        calls.append(names)
        if len(calls) == int(role):
            die()
        real(*names)
    os.replace = replace
""" + FINISH
FULL = BUILD + """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from depth_perception.__main__ import main
raise SystemExit(main(["compile", "--model", str(directory), "--target", "sm86"]))
"""


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


def start(code, directory, role):
    command = [sys.executable, "-c", code, str(directory), role]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def names(copy):
    return sorted(file.name.split(".", 2)[2] for file in (copy / "engines").iterdir())


def key(copy):
    return compiled.key(models.load(copy), "depth", package=tensorrt_package.load("tensorrt_rtx"), capability="sm86")


def test_one_builds_the_other_waits_and_gets_the_same(copy):
    processes = [start(TOGETHER, copy, role) for role in ("first", "second")]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    (_, first_built, first), (_, second_built, second) = (json.loads(out) for out, _ in said)
    assert (first_built, second_built) == (True, False)
    assert first == second == hashlib.sha256(cache.find(copy / "engines", key(copy)).content).hexdigest()
    assert names(copy) == ["engine", "json", "layers.json"]


# 1, 2, 3: just before the engine, the layer report, the manifest gets its name.
@pytest.mark.parametrize("when", ["building", "1", "2", "3"])
def test_a_killed_builder_leaves_nothing_that_loads_and_the_next_one_builds(copy, when):
    process = start(KILLED, copy, when)
    _, error = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, error
    assert cache.find(copy / "engines", key(copy), may_rebuild=True) is None
    assert not list((copy / "engines").glob("*[0-9a-f].json"))
    done = compiled.compiled(models.load(copy), "depth", package=tensorrt_package.load("tensorrt_rtx"), capability="sm86")
    assert done.built and cache.find(copy / "engines", key(copy)).content == done.entry.content
    assert names(copy) == ["engine", "json", "layers.json"], "also what the killed one left"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(copy):
    process = start(FULL, copy, "full")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert error.splitlines() == [f"compile: engines {copy / 'engines'}: cannot write there: File too large"]
    assert list((copy / "engines").iterdir()) == []
