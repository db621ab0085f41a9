"""`make bench` with commands that only say their codes: what ends it with an error, and what runs all the same."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
echo "$2" >> "{log}"
case "$2" in {codes} *) exit 0;; esac
"""


@pytest.fixture
def make(tmp_path):
    """`make(**codes)`: whether make bench is content when these modules of bench end so, and which modules it has run."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    (tmp_path / "bin").mkdir()
    log, python = tmp_path / "log", tmp_path / "bin" / "python"
    (tmp_path / "drive.stamp").touch()

    def run(**codes):
        python.write_text(PYTHON.format(log=log, codes=" ".join(f"bench.{name}) exit {code};;" for name, code in codes.items())))
        python.chmod(0o755)
        log.write_text("")
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
        done = subprocess.run(["make", "bench", f"VENV={tmp_path}"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
        return done.returncode == 0, log.read_text().split()

    return run


ALL = ["depth_perception", "bench.record", "bench.record", "bench.chain", "bench.soak", "bench.gate"]


@pytest.mark.parametrize(
    ("codes", "content"),
    [
        ({}, True),
        ({"gate": 2}, True),  # a target that is missed
        ({"gate": 3}, False),  # a regression
        ({"gate": 1}, False),  # a defect of the gate
        ({"soak": 1}, False),
        ({"chain": 2}, False),  # a row failed
        ({"chain": 2, "gate": 2}, False),
        ({"soak": 1, "gate": 2}, False),
        ({"soak": 1, "gate": 3}, False),
    ],
    ids=str,
)
def test_a_missed_target_is_no_error_and_whatever_fails_the_gate_is_asked(make, codes, content):
    assert make(**codes) == (content, ALL)
