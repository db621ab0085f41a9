"""bench.engine_threads: its rows are of real sessions, and the busy process beside them ends."""

import json

import psutil
import pytest

from bench import engine_threads
from depth_perception.frame import BadInput


def test_every_way_is_timed_alone_and_beside_another(tmp_path, capsys):
    file = tmp_path / "threads.json"
    assert engine_threads.main(["--rate", "50", "--seconds", "0.3", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["name"] == "engine_threads" and found["rate_hz"] == 50 and {"machine", "commit"} <= set(found)
    rows = found["results"]
    assert [row["beside_another"] for row in rows] == [False] * (len(rows) // 2) + [True] * (len(rows) // 2)
    ways = [(row["threads"], row["waits"], row["pinned"]) for row in rows[: len(rows) // 2]]
    assert ways[:4] == [(1, "asleep", False), (2, "asleep", False), (2, "awake within a run", False), (2, "awake", False)]
    for row in rows:
        assert row["images"] == 15 and 0 < row["engine_ms"]["p50"] <= row["engine_ms"]["p99"] and row["cpu_ms"] > 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)
    assert not [child for child in psutil.Process().children(recursive=True) if "never_rest" in " ".join(child.cmdline())]


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
