"""A short soak and a few cycles over real DDS, and what is made of the figures of a long one."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
pytest.importorskip("onnx")

from bench import soak

SECOND = 10**9


def test_the_slope_is_not_moved_by_steps_and_outliers():
    hours = np.linspace(0, 1, 300)
    memory = 250 + 3.0 * hours
    memory[::7] += 40.0
    assert soak.slope(hours, memory) == pytest.approx(3.0, abs=0.01)
    assert soak.slope(hours, np.full(300, 250.0)) == 0
    saw = np.tile([250.0, 258.0], 150)
    assert soak.slope(hours, saw) == 0
    assert np.isnan(soak.slope(hours[:1], memory[:1]))


def rows(sent_s, arrived_s, ages_ms):
    sent, arrived = (np.array([round(at * SECOND) for at in times], np.int64) for times in (sent_s, arrived_s))
    seen = [{"at_ns": at * SECOND, "cpu_s": 0.5 * at, "rss_mb": 200.0 + at, "threads": 3, "files": 9} for at in range(20)]
    return soak.by_minute(sent, arrived, np.array(ages_ms), seen, begun_ns=0, minute_s=10.0)


def test_an_image_without_a_depth_counts_in_its_own_minute():
    sent = [0.0, 0.5, 1.0, 1.5, 10.0, 10.5, 11.0, 15.0, 15.5]
    answered = [at for at in sent if at not in (1.0, 15.0)]
    first, second = rows(sent, answered, [1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 40.0])
    assert (first["sent"], first["unanswered"], second["sent"], second["unanswered"]) == (4, 1, 5, 1)
    assert (first["latency_ms_p50"], second["latency_ms_p50"]) == (2.0, 25.0)
    assert (first["cpu_s"], second["cpu_s"]) == (4.5, 4.5)
    assert (first["rss_mb"], second["rss_mb"]) == (204.5, 214.5)
    assert first["rate_hz"] == 2.0, "three in a second and a half"
    assert second["rate_hz"] == 1.6, "four in the two and a half seconds that the camera spoke"


def test_what_was_wanted_is_judged():
    good = {"unanswered": 0, "rss_mb_per_h": 0.4,
            "p99_ms_begin": 10.0, "p99_ms_end": 10.9, "changes": 4, "changes_taken": 4,
            "threads": [16, 16], "files": [28, 27]}
    assert all(soak.verdict(good).values())
    for bad in ({"unanswered": 1}, {"rss_mb_per_h": 1.0}, {"rss_mb_per_h": float("nan")}, {"p99_ms_end": 11.1}, {"changes_taken": 3},
                {"threads": [16, 17]}, {"files": [28, 29]}):
        assert list(soak.verdict(good | bad).values()).count(False) == 1, bad


def test_the_rise_is_that_of_one_step():
    memory = np.where(np.arange(600) < 340, 271.4, 273.2)
    assert soak.rise(memory) == pytest.approx(1.8)
    assert np.isnan(soak.rise(memory[:0]))


def test_beginning_and_end_are_fifths_after_the_warm_up():
    arrived = np.arange(600, dtype=np.int64) * SECOND // 10 * 10  # one a second, ten minutes
    ages = np.where(arrived < 60 * SECOND, 100.0, np.where(arrived < 168 * SECOND, 5.0, np.where(arrived >= 492 * SECOND, 7.0, 50.0)))
    assert soak.warmed_up(10) == 1
    assert soak.part_p99(arrived, ages, begun_ns=0, minute_s=60.0, minutes=10, warm_up=1) == (5.0, 7.0)
    assert (soak.warmed_up(60), soak.warmed_up(2), soak.warmed_up(1)) == (6, 1, 0)


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
    assert set(made["verdict"]) == {"no drops", "RSS grows by less than 1 MB/h", "p99 at the end within 10 % of the beginning",
                                    "every change was taken", "no thread or file left open"}
    said = soak.sentences(made)
    assert f"{summary['unanswered']} of 44 images without an answer" in "\n".join(said)
    assert sum(line.startswith(("held: ", "NOT HELD: ")) for line in said) == 5


def test_a_node_cycled_leaves_no_thread_and_no_file(short_bag, tiny_model):
    made = soak.cycled(str(short_bag), cycles=3, model=str(tiny_model))
    summary = made["summary"]
    assert summary["answers"] == 3, "each cycle answers an image"
    assert made["verdict"]["no thread or file left behind"], summary
    assert summary["threads"][0] > 3 and summary["files"][0] > 3 and summary["rss_mb"][2] > 50
    assert set(summary["median_s"]) == {"configure", "activate", "answer", "deactivate", "cleanup"}
    assert "3 cycles: " in soak.sentences({"cycles": made})[0]
