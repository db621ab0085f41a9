"""A short soak and a few cycles over real DDS."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
pytest.importorskip("onnx")

from bench import soak

ROOT = Path(__file__).resolve().parents[2]


def test_sensors_fall_silent_and_return_and_every_image_is_answered(short_bag, tiny_model):
    made = soak.soak(str(short_bag), minutes=2, rate=4, minute_s=6.0, model=str(tiny_model))
    summary, minutes = made["summary"], made["results"]
    # 24 moments a minute; the camera misses those at 2 and 2.25 s, the LiDAR that at 3.75 s of its eight.
    assert summary["sent"] == sum(row["sent"] for row in minutes) == 44
    assert summary["scans"] == 14
    assert summary["unanswered"] <= 2, f"a busy machine may stall once: {made}"
    assert summary["unanswered"] == sum(row["unanswered"] for row in minutes)
    assert summary["images_at_node"] - summary["dropped_by_node"] == 44 - summary["unanswered"]
    assert summary["skipped_by_node"] == 0
    assert summary["changes_taken"] == summary["changes"] >= 3
    assert all(row["sent"] - row["unanswered"] > 18 and row["latency_ms_p50"] > 0 and row["rss_mb"] > 50 for row in minutes)
    assert all(row["yardstick_ms"] > 0 for row in minutes)
    assert summary["restarts"] == 2, "in the second minute the camera's driver and the LiDAR's"
    assert made["verdict"]["RSS rises by less than 8 MB after the warm-up"] is None
    assert set(made["verdict"]) == {"no drops", "RSS rises by less than 8 MB after the warm-up", "every change was taken",
                                    "what malloc has given out rises by less than 8 MB after the warm-up",
                                    "p99 at the end within 10 % of the beginning", "no thread or file left open"}
    said = soak.sentences(made)
    assert f"{summary['unanswered']} of 44 images without an answer" in "\n".join(said)
    assert sum(line.startswith(("held: ", "NOT HELD: ", "too short to tell: ")) for line in said) == 6
    assert sum(line.startswith("too short to tell: ") for line in said) == 3
    assert any(line.startswith("RSS is judged by its rise alone") for line in said) and "2 restarts of a driver" in "\n".join(said)


def test_a_node_cycled_leaves_no_thread_and_no_file(short_bag, tiny_model):
    made = soak.cycled(str(short_bag), cycles=3, model=str(tiny_model))
    summary = made["summary"]
    assert summary["answers"] == 3, "each cycle answers an image"
    assert made["verdict"]["no thread or file left behind"], summary
    assert summary["threads"][0] > 3 and summary["files"][0] > 3 and summary["rss_mb"][2] > 50
    assert set(summary["median_s"]) == {"configure", "activate", "answer", "deactivate", "cleanup"}
    assert [held for name, held in made["verdict"].items() if name.startswith("RSS")] == [None, None], "three cycles are too few"
    assert "3 cycles: " in soak.sentences({"cycles": made})[0]


SOAKED = {"results": [], "verdict": {"no drops": True}}


@pytest.fixture
def soaked(monkeypatch, short_bag, tmp_path):
    """`soaked(cycled)`: the exit code of a soak that went well, and whose cycles are what this function does; and the JSON's path."""
    monkeypatch.setattr(soak, "soak", lambda bag, **options: dict(SOAKED))
    file = tmp_path / "soak.json"

    def run(cycled):
        monkeypatch.setattr(soak, "cycled", cycled)
        return soak.main(["--bag", str(short_bag), "--out", str(tmp_path)])

    return run, file


def test_a_cycle_that_fails_leaves_the_soak(soaked, capsys):
    run, file = soaked

    def cycled(bag, **options):
        assert json.loads(file.read_text())["verdict"] == SOAKED["verdict"], "it was written before the cycles"
        raise SystemExit("the node ended with code -11: Segmentation fault")

    assert run(cycled) == 1
    made = json.loads(file.read_text())
    assert made["verdict"] == SOAKED["verdict"]
    assert made["cycles"]["error"] == "the node ended with code -11: Segmentation fault"
    said = capsys.readouterr().out
    assert "the cycles ended early: the node ended with code -11: Segmentation fault" in said
    assert "held: no drops" in said and "NOT HELD: every cycle was gone through" in said


def test_a_defect_in_the_cycles_leaves_the_soak_too(soaked):
    run, file = soaked

    def cycled(bag, **options):
        raise RuntimeError("nobody foresaw it")

    with pytest.raises(RuntimeError):
        run(cycled)
    assert json.loads(file.read_text())["verdict"] == SOAKED["verdict"]


def test_cycles_that_go_well_are_written_beside_it(soaked):
    run, file = soaked
    assert run(lambda bag, **options: {"verdict": {"no thread or file left behind": True}}) == 0
    assert json.loads(file.read_text())["cycles"]["verdict"] == {"no thread or file left behind": True}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["soak", "--bag", "no/such/bag"], "soak: "),
        (["batches", "--bag", "no/such/bag"], "batches: "),
        (["batches", "--size", "416"], "batches.py: error: argument --size: wanted WIDTHxHEIGHT, such as 1242x375, got '416'"),
        (["latency", "--size", "416"], "latency.py: error: argument --size: wanted WIDTHxHEIGHT, such as 1242x375, got '416'"),
        (["latency", "--width", "--size", "--peer", "x=no/such/file"], "latency: --peer or --model: wanted NAME=FILE"),
        (["int8_layers", "--bag", "b", "--size", "416x"], "int8_layers.py: error: argument --size: wanted WIDTHxHEIGHT, such as 1242x375"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(words, says, tmp_path):
    ended = subprocess.run([sys.executable, "-m", f"bench.{words[0]}", *words[1:]], capture_output=True, text=True, cwd=ROOT)
    sentence = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 2, ended.stderr
    assert sentence.startswith(says)
    assert "Traceback" not in ended.stderr
    assert "no/such" not in " ".join(words) or "no/such" in sentence
