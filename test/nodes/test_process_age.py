"""nodes.process_age: when a process was started, as Linux tells it and as other systems do."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from depth_perception.nodes import process_age

STAT = "4242 (python3 (of) us) S 1 " + " ".join(["0"] * 17) + " 912345 77 88"


def test_the_start_is_the_22nd_field_whatever_the_program_is_called():
    assert process_age.started_s(STAT, 100) == 9123.45


def test_the_age_counts_from_the_start_by_the_clock_of_the_boot(tmp_path, monkeypatch):
    (tmp_path / "stat").write_text(STAT)
    monkeypatch.setattr(process_age, "STAT", tmp_path / "stat")
    monkeypatch.setattr(process_age.time, "clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: 9125.0}[clock])
    assert process_age.age_s() == pytest.approx(9125.0 - 912345 / os.sysconf("SC_CLK_TCK"))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells ticks")
def test_a_process_is_no_older_than_the_time_since_before_it_was_started():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    code = "import time; from depth_perception.nodes.process_age import age_s; print(time.clock_gettime(time.CLOCK_BOOTTIME) - age_s())"
    started = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert before - 1 / os.sysconf("SC_CLK_TCK") <= started <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_another_system_is_asked_by_psutil(tmp_path, monkeypatch):
    monkeypatch.setattr(process_age, "STAT", tmp_path / "no such file")
    monkeypatch.setattr(process_age.psutil, "Process", lambda: SimpleNamespace(create_time=lambda: 1000.25))
    monkeypatch.setattr(process_age.time, "time", lambda: 1002.75)
    assert process_age.age_s() == 2.5
