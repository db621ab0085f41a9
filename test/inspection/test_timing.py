"""When messages came, what their headers say, and which scan is near which image: hand-made times with exact answers."""

import numpy as np
import pytest

from depth_perception.bag import Bag, Writer, messages
from depth_perception.inspection import timing
from depth_perception.inspection.sync import sync

START = 1_700_000_000_000_000_000
MS = 10**6


def rows(tmp_path, times_ms, *, latency_ms=20, stamps_ms=None, order=None):
    """A bag of IMU messages logged at these times and stamped `latency_ms` before, with a text at its beginning and its end."""
    with Writer(tmp_path / "bag") as bag:
        bag.write("/text", messages.string("begin"), START)
        for i, at in enumerate(times_ms):
            stamp = START + (stamps_ms[i] if stamps_ms is not None else at - latency_ms) * MS
            imu = messages.imu(stamp_ns=stamp, frame_id="imu", angular_velocity=(0, 0, 0), linear_acceleration=(0, 0, 9.8))
            bag.write("/imu", imu, START + at * MS)
        bag.write("/tf", messages.transforms([("a", "b", np.eye(4))], stamp_ns=START), START + 5 * MS)
        bag.write("/tf", messages.transforms([], stamp_ns=START), START + 6 * MS)
        bag.write("/text", messages.string("end"), START + 120_000 * MS)
    opened = Bag(tmp_path / "bag")
    found = timing.read(opened)
    return {name: timing.row(topic, start_ns=opened.start_ns, end_ns=opened.end_ns) for name, topic in found.items()}


def test_rates_sizes_and_latency(tmp_path):
    imu = rows(tmp_path, range(0, 119_950, 100))["/imu"]
    assert (imu["count"], imu["rate_hz"], imu["gaps"]) == (1200, pytest.approx(10), [])
    assert imu["stamps"]["latency_s"] == {"p1": pytest.approx(0.02), "median": pytest.approx(0.02), "p99": pytest.approx(0.02)}
    assert (imu["stamps"]["backwards"], imu["stamps"]["repeated"], imu["stamps"]["jumps"]) == (0, 0, [])
    assert len(imu["bytes_per_minute"]) == 2 and imu["bytes_per_minute"][0] == imu["bytes_per_minute"][1] == imu["bytes"] / 2
    assert len(imu["timeline"]) == 120 and sum(imu["timeline"]) == 1200 and set(imu["timeline"]) == {10}


def test_gaps_in_the_middle_and_at_the_end(tmp_path):
    imu = rows(tmp_path, [*range(0, 30_000, 100), *range(40_000, 100_000, 100)])["/imu"]
    assert imu["gaps"] == [{"at_s": pytest.approx(29.9), "seconds": pytest.approx(10.1)},
                           {"at_s": pytest.approx(99.9), "seconds": pytest.approx(20.1)}]
    assert (imu["largest_gap_s"], imu["gap_at_s"]) == (pytest.approx(10.1), pytest.approx(29.9))


def test_stamps_that_go_back_repeat_or_jump(tmp_path):
    times = list(range(0, 10_000, 100))
    stamps = [*times]
    stamps[50], stamps[51] = stamps[51], stamps[50]
    stamps[70] = stamps[69]
    found = rows(tmp_path, times, stamps_ms=stamps)["/imu"]["stamps"]
    assert (found["backwards"], found["repeated"], found["jumps"]) == (1, 1, [])
    assert found["backwards_worst_s"] == pytest.approx(0.1) and found["backwards_at_s"] == pytest.approx(5.1)


def test_a_clock_that_is_set_anew_is_a_jump_and_one_late_message_is_none(tmp_path):
    times = list(range(0, 10_000, 100))
    stamps = [at + (3000 if at >= 5000 else 0) - (700 if at == 2000 else 0) for at in times]
    assert rows(tmp_path, times, stamps_ms=stamps)["/imu"]["stamps"]["jumps"] == [{"at_s": pytest.approx(5), "seconds": pytest.approx(3)}]


def test_topics_without_header_have_no_stamps(tmp_path):
    found = rows(tmp_path, range(0, 1000, 100))
    assert found["/text"]["stamps"] is None and found["/text"]["count"] == 2
    assert found["/tf"]["count"] == 2


def test_repeated_content_looks_behind_the_header(tmp_path):
    shades = [10, 20, 20, 20, 30]
    with Writer(tmp_path / "bag") as bag:
        for i, shade in enumerate(shades):
            image = np.full((40, 60, 3), shade, np.uint8)
            bag.write("/image", messages.image(image, "rgb8", stamp_ns=START + i * MS, frame_id="camera"), START + i * MS)
    assert timing.repeated_content(timing.read(Bag(tmp_path / "bag"), content_of=["/image"])["/image"]) == 2


def test_each_image_against_its_scans():
    images = START + np.arange(0, 1000, 100) * MS
    found = sync(images, images[::2] + 15 * MS)  # scans 15 ms after every other image
    near, causal = found["nearest"], found["causal"]
    assert near["counts"][np.searchsorted(near["edges_s"], 0.015) - 1] == 5
    assert near["counts"][np.searchsorted(near["edges_s"], -0.085) - 1] == 5
    assert causal["p5_s"] == pytest.approx(0.085) and causal["median_s"] in (pytest.approx(0.085), pytest.approx(0.185))
    assert (found["share_nearest"], found["share_causal"]) == (1.0, 0.5)
    assert causal["beyond"] == 1  # nothing came before the first image
    assert sync(images, images[:0]) is None
    assert sync(images, images + 10**12)["share_nearest"] == 0
