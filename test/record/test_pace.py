"""Gaps are told from jitter, and stamps are read without decoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.bag import TYPES, messages
from depth_perception.record.pace import Pace, begins_with_header, stamp_ns

PERIOD = 33_000_000


def paced(stamps):
    pace = Pace()
    for stamp in stamps:
        pace.see(stamp)
    return pace


def test_a_hole_is_counted_with_what_is_missing_in_it():
    stamps = [i * PERIOD for i in range(100) if i not in (40, 41, 42, 70)]
    pace = paced(stamps)
    assert (pace.gaps, pace.missing, pace.backwards) == (2, 4, 0)
    assert pace.longest_s == pytest.approx(4 * PERIOD * 1e-9)
    assert pace.period_s == pytest.approx(PERIOD * 1e-9)


@given(st.lists(st.integers(-PERIOD // 4, PERIOD // 4), min_size=30, max_size=60))
def test_jitter_of_a_quarter_period_is_no_gap(jitter):
    assert paced(i * PERIOD + wobble for i, wobble in enumerate(jitter)).gaps == 0


def test_a_clock_that_is_set_back_is_counted_and_goes_on():
    pace = paced([*(i * PERIOD for i in range(20)), *(i * PERIOD for i in range(5, 30))])
    assert (pace.backwards, pace.gaps) == (1, 0)


def test_a_change_of_rate_is_learned():
    stamps = [*(i * PERIOD for i in range(30)), *(29 * PERIOD + i * 3 * PERIOD for i in range(1, 40))]
    assert paced(stamps[:45]).period_s == pytest.approx(PERIOD * 1e-9), "so far it may come back"
    assert paced(stamps).period_s == pytest.approx(3 * PERIOD * 1e-9)
    assert (paced(stamps).gaps, paced(stamps).missing) == (21, 42)


def test_stamps_are_those_of_the_header():
    image = messages.make("sensor_msgs/msg/Imu", header=messages.header(1_700_000_123_456_789_012, "imu"))
    assert stamp_ns(bytes(TYPES.serialize_cdr(image, "sensor_msgs/msg/Imu", little_endian=True))) == 1_700_000_123_456_789_012
    assert stamp_ns(bytes(TYPES.serialize_cdr(image, "sensor_msgs/msg/Imu", little_endian=False))) == 1_700_000_123_456_789_012
    assert stamp_ns(b"\0\1\0\0\0\0") is None
    assert stamp_ns(bytes(12)) is None


@pytest.mark.parametrize(
    ("type_name", "wanted"),
    [("sensor_msgs/msg/Image", True), ("nav_msgs/msg/Odometry", True), ("std_msgs/msg/String", False), ("tf2_msgs/msg/TFMessage", False)],
)
def test_which_types_have_a_header(type_name, wanted):
    text, _ = TYPES.generate_msgdef(type_name, ros_version=2)
    assert begins_with_header("# std_msgs/Header of nothing\n\n" + text) is wanted
