"""What is made of the figures of a long soak."""

import numpy as np
import pytest

from bench import soak_figures

SECOND = 10**9


def test_the_slope_is_not_moved_by_steps_and_outliers():
    hours = np.linspace(0, 1, 300)
    memory = 250 + 3.0 * hours
    memory[::7] += 40.0
    assert soak_figures.slope(hours, memory) == pytest.approx(3.0, abs=0.01)
    assert soak_figures.slope(hours, np.full(300, 250.0)) == 0
    saw = np.tile([250.0, 258.0], 150)
    assert soak_figures.slope(hours, saw) == 0
    assert np.isnan(soak_figures.slope(hours[:1], memory[:1]))


def rows(sent_s, arrived_s, ages_ms):
    sent, arrived = (np.array([round(at * SECOND) for at in times], np.int64) for times in (sent_s, arrived_s))
    seen = [{"at_ns": at * SECOND, "cpu_s": 0.5 * at, "rss_mb": 200.0 + at, "threads": 3, "files": 9} for at in range(20)]
    yardstick = np.array([[3e9, 2.0], [4e9, 2.5], [5e9, 9.0]])
    return soak_figures.by_minute(sent, arrived, np.array(ages_ms), seen, yardstick, begun_ns=0, minute_s=10.0)


def test_an_image_without_a_depth_counts_in_its_own_minute():
    sent = [0.0, 0.5, 1.0, 1.5, 10.0, 10.5, 11.0, 15.0, 15.5]
    answered = [at for at in sent if at not in (1.0, 15.0)]
    first, second = rows(sent, answered, [1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 40.0])
    assert (first["sent"], first["unanswered"], second["sent"], second["unanswered"]) == (4, 1, 5, 1)
    assert (first["latency_ms_p50"], second["latency_ms_p50"]) == (2.0, 25.0)
    assert (first["cpu_s"], second["cpu_s"]) == (4.5, 4.5)
    assert (first["rss_mb"], second["rss_mb"]) == (204.5, 214.5)
    assert first["yardstick_ms"] == 2.5 and np.isnan(second["yardstick_ms"]), "measured in the first minute alone"
    assert first["rate_hz"] == 2.0, "three in a second and a half"
    assert second["rate_hz"] == 1.6, "four in the two and a half seconds that the camera spoke"


def test_a_process_is_judged_after_its_warm_up():
    seen = [{"at_ns": at * 60 * SECOND, "cpu_s": 30.0 * at, "rss_mb": 200.0 + max(at, 10), "anon_mb": 90.0,
             "given_out_mb": 60.0 + at / 2, "threads": 16 + (at > 30), "files": 28} for at in range(61)]
    assert soak_figures.of_process(seen, warm_ns=10 * 60 * SECOND) == {
        "rss_rise_mb": 45.0, "rss_mb_per_h": 60.0, "anon_mb_per_h": 0.0, "given_out_rise_mb": 22.5, "given_out_mb_per_h": 30.0,
        "cpu_share": 0.5, "threads": [16, 17], "files": [28, 28]}
    assert soak_figures.memory_over_time(seen, begun_ns=0, most=3) == [
        [0.0, 210.0, 90.0, 60.0], [1800.0, 230.0, 90.0, 75.0], [3600.0, 260.0, 90.0, 90.0]]


def test_the_rise_is_that_of_one_step():
    memory = np.where(np.arange(600) < 340, 271.4, 273.2)
    assert soak_figures.rise(memory) == pytest.approx(1.8)
    assert np.isnan(soak_figures.rise(memory[:0]))


def test_cycles_are_compared_after_their_warm_up():
    seen = [{"rss_mb": 271.0 + min(i, 10), "anon_mb": 90.0, "threads": 16, "files": 28 + (i > 70)} for i in range(100)]
    found = soak_figures.of_cycles(seen, {"configure": [0.2, 0.4], "answer": [0.1] * 100})
    assert (found["cycles"], found["warm_up_cycles"], found["answers"]) == (100, 50, 100)
    assert (found["mb_per_cycle"], found["rss_rise_mb"]) == (0.0, 0.0)
    assert (found["rss_mb"], found["files"]) == ([271.0, 281.0, 281.0], [28, 28, 29])
    assert found["median_s"] == {"configure": 0.3, "answer": 0.1}
    seen[-1]["rss_mb"] += 9.5
    assert soak_figures.of_cycles(seen, {})["rss_rise_mb"] == 9.5


def test_beginning_and_end_are_fifths_after_the_warm_up():
    arrived = np.arange(600, dtype=np.int64) * SECOND // 10 * 10  # one a second, ten minutes
    ages = np.where(arrived < 60 * SECOND, 100.0, np.where(arrived < 168 * SECOND, 5.0, np.where(arrived >= 492 * SECOND, 7.0, 50.0)))
    assert soak_figures.warmed_up(10) == 1
    assert soak_figures.at_both_ends(arrived, ages, 99, begun_ns=0, minute_s=60.0, minutes=10, warm_up=1) == (5.0, 7.0)
    assert (soak_figures.warmed_up(60), soak_figures.warmed_up(2), soak_figures.warmed_up(1)) == (6, 1, 0)
