"""bench.engine_threads: its rows are of real sessions, and the busy process beside them ends."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import engine_threads
from depth_perception.frame import BadInput

ROOT = Path(__file__).resolve().parents[2]


def test_every_way_is_timed_alone_and_beside_another(tmp_path):
    file = tmp_path / "threads.json"
    # A process of its own, for what makes other processes stays beside it to its end.
    command = [sys.executable, "-m", "bench.engine_threads", "--rate", "50", "--seconds", "0.3", "--json", str(file)]
    bench = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    out, error = bench.communicate(timeout=120)
    assert bench.returncode == 0, error
    found = json.loads(file.read_text())
    assert found["name"] == "engine_threads" and found["rate_hz"] == 50 and {"machine", "commit"} <= set(found)
    rows = found["results"]
    assert [row["beside_another"] for row in rows] == [False] * (len(rows) // 2) + [True] * (len(rows) // 2)
    ways = [(row["threads"], row["waits"], row["pinned"]) for row in rows[: len(rows) // 2]]
    assert ways[:4] == [(1, "asleep", False), (2, "asleep", False), (2, "awake within a run", False), (2, "awake", False)]
    for row in rows:
        assert row["images"] == 15 and 0 < row["engine_ms"]["p50"] <= row["engine_ms"]["p99"] and row["cpu_ms"] > 0
    assert len(out.splitlines()) == len(rows)
    end = time.monotonic() + 10
    with pytest.raises(ProcessLookupError):  # nobody of its session is left, the one that never rests least of all
        while time.monotonic() < end:
            os.killpg(bench.pid, 0)
            time.sleep(0.05)


def test_there_are_as_many_threads_as_cores_where_there_are_more_than_two():
    waits = ("asleep", "awake within a run", "awake")
    one, two, eight = (1, "asleep", False), [(2, each, False) for each in waits], [(8, each, False) for each in waits]
    assert engine_threads.ways(1) == [one, *two]
    assert engine_threads.ways(2) == [one, *two, (2, "asleep", True)]
    assert engine_threads.ways(8) == [one, *two, *eight, (2, "asleep", True), (8, "asleep", True)]


@pytest.mark.parametrize("words, sentence", [(["--rate", "0"], "--rate from 1"), (["--model", "nowhere"], "nowhere"),
                                              (["--rate", "1", "--seconds", "0.1"], "for at least one image, got 1 Hz for 0.1 s")])
def test_words_that_make_no_sense_are_refused(words, sentence):
    with pytest.raises(BadInput, match=sentence):
        engine_threads.main(words)
