"""decode.scan on the bytes that common LiDAR drivers send, packed by hand: points, rings and the time of every point."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception import decode
from depth_perception.frame import BadInput

STAMP = 1_700_000_000_123_456_789
# Datatypes of sensor_msgs/PointField: 2 UINT8, 4 UINT16, 5 INT32, 6 UINT32, 7 FLOAT32, 8 FLOAT64.
POINTS = [(1.5, -2.0, 0.25), (10.0, 20.0, -1.5), (-3.0, 4.0, 5.0)]
SECONDS = [0.0, 0.031, 0.0999]

# driver: struct format of a point, its fields (name, offset, datatype), and what stands behind x y z for a point at t seconds.
DRIVERS = {
    "velodyne_pointcloud XYZIRT": (
        "<4fHf", [("intensity", 12, 7), ("ring", 16, 4), ("time", 18, 7)], lambda t: (7.0, 5, t)),
    "velodyne_pointcloud, stamped at the end": (
        "<4fHf", [("intensity", 12, 7), ("ring", 16, 4), ("time", 18, 7)], lambda t: (7.0, 5, t - 0.0999)),
    "ouster_ros": (
        "<3f4xfIHHH2xI12x",
        [("intensity", 16, 7), ("t", 20, 6), ("reflectivity", 24, 4), ("ring", 26, 4), ("ambient", 28, 4), ("range", 32, 6)],
        lambda t: (7.0, round(t * 1e9), 1, 5, 2, 12345)),
    "hesai_ros_driver": (
        "<4fHd", [("intensity", 12, 7), ("ring", 16, 4), ("timestamp", 18, 8)], lambda t: (7.0, 5, STAMP * 1e-9 + t)),
    "rslidar_sdk XYZIRT": (
        "<4fHd", [("intensity", 12, 7), ("ring", 16, 4), ("timestamp", 18, 8)], lambda t: (7.0, 5, STAMP * 1e-9 + t)),
    "rslidar_sdk, XYZI first, padded": (
        "<4fH6xd8x", [("intensity", 12, 7), ("ring", 16, 4), ("timestamp", 24, 8)], lambda t: (7.0, 5, STAMP * 1e-9 + t)),
    "livox_ros_driver2": (
        "<4fBBd", [("intensity", 12, 7), ("tag", 16, 2), ("line", 17, 2), ("timestamp", 18, 8)],
        lambda t: (7.0, 16, 5, float(STAMP) + t * 1e9)),
    "livox, offset_time": (
        "<3fIfBB2x", [("offset_time", 12, 6), ("intensity", 16, 7), ("tag", 20, 2), ("line", 21, 2)],
        lambda t: (round(t * 1e9), 7.0, 16, 5)),
    "aeva": ("<3fif", [("time_offset_ns", 12, 5), ("intensity", 16, 7)], lambda t: (round(t * 1e9), 7.0)),
}


def message(form, fields, rows, *, stamp=STAMP, height=1):
    size = struct.calcsize(form)
    axes = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id="lidar"),
        height=height, width=len(rows) // height, point_step=size, row_step=size * len(rows) // height, is_bigendian=False,
        fields=[SimpleNamespace(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in axes + fields],
        data=b"".join(struct.pack(form, *row) for row in rows),
    )


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_s_bytes(driver):
    form, fields, behind = DRIVERS[driver]
    scan = decode.scan(message(form, fields, [(*p, *behind(t)) for p, t in zip(POINTS, SECONDS, strict=True)]))
    np.testing.assert_array_equal(scan.points, np.array(POINTS, np.float32))
    assert scan.stamp_ns == STAMP
    assert scan.intensity.tolist() == [7.0] * 3
    if {"ring", "line"} & {name for name, _, _ in fields}:
        assert scan.ring.tolist() == [5] * 3
    expected = np.array(SECONDS) - (0.0999 if "end" in driver else 0)
    np.testing.assert_allclose(scan.time_s, expected, atol=1e-6)
    assert scan.time_s.dtype == np.float32


def test_points_that_are_left_out_take_their_times_along():
    form, fields, behind = DRIVERS["hesai_ros_driver"]
    rows = [(1.0, 1.0, 1.0, *behind(0.0)), (float("nan"), 1.0, 1.0, *behind(0.02)), (3.0, 1.0, 1.0, *behind(0.04))]
    np.testing.assert_allclose(decode.scan(message(form, fields, rows)).time_s, [0, 0.04], atol=1e-6)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_exact_zeros_are_no_return(zero):
    """Several drivers fill the place of a beam that came back from nowhere with zeros; a point on an axis is one."""
    form, fields, behind = DRIVERS["hesai_ros_driver"]
    places = [(1.0, 1.0, 1.0), (zero, zero, zero), (0.0, 0.0, -1.5), (0.0, 0.0, 0.0), (1e-6, 0.0, 0.0)]
    scan = decode.scan(message(form, fields, [(*p, *behind(0.01 * i)) for i, p in enumerate(places)]))
    np.testing.assert_array_equal(scan.points, np.array([places[0], places[2], places[4]], np.float32))
    np.testing.assert_allclose(scan.time_s, [0, 0.02, 0.04], atol=1e-6)
    assert len(scan.ring) == len(scan.intensity) == 3


def times(kind, values, *, stamp=STAMP):
    form = {"f4": "<4f", "f8": "<3fd", "u4": "<3fI"}[kind]
    rows = [(0.0, 0.0, 1.0, value) for value in values]
    return decode.scan(message(form, [("timestamp", 12, {"f4": 7, "f8": 8, "u4": 6}[kind])], rows, stamp=stamp)).time_s


@given(st.integers(0, 2 * 10**18))
def test_absolute_times_hold_under_any_clock(stamp):
    """Simulated time begins at nought: absolute seconds may be small. Only the very first sweep cannot be told apart."""
    found = times("f8", [stamp * 1e-9 + t for t in SECONDS], stamp=stamp)
    np.testing.assert_allclose(found, SECONDS, atol=1e-6 if stamp >= 2e8 else 0.1)


@given(st.integers(2 * 10**8, 2 * 10**18), st.sampled_from([0.0, -0.05, -0.0999]))
def test_times_from_the_stamp_hold_under_any_clock(stamp, first):
    expected = np.array(SECONDS) + first
    np.testing.assert_allclose(times("f4", expected, stamp=stamp), expected, atol=1e-6)
    if first == 0:
        np.testing.assert_allclose(times("u4", [round(t * 1e9) for t in SECONDS], stamp=stamp), expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "values"), [
    ("f8", [12345.0, 12345.1]),  # since the sensor was switched on
    ("f8", [STAMP * 1e-9 + 37.0, STAMP * 1e-9 + 37.1]),  # GPS time: leap seconds ahead
    ("f4", [STAMP * 1e-9, STAMP * 1e-9]),  # four bytes hold minutes at best
    ("f4", [0.0, float("nan")]), ("f4", [0.0, float("inf")]), ("f8", [0.0, 3.0]), ("u4", [0, 4_000_000_000]),
])
def test_times_of_another_clock_are_no_times(kind, values):
    assert times(kind, values) is None


def test_a_fixed_offset_moves_the_stamp_and_leaves_the_points_times():
    form, fields, behind = DRIVERS["hesai_ros_driver"]
    cloud = message(form, fields, [(*p, *behind(t)) for p, t in zip(POINTS, SECONDS, strict=True)])
    scan = decode.scan(cloud, offset_ns=decode.scan_offset_ns(-0.025))
    assert scan.stamp_ns == STAMP - 25_000_000
    np.testing.assert_allclose(scan.time_s, SECONDS, atol=1e-6)


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), 11.0, -1e9, "0.1", None])
def test_offsets_that_are_refused(offset):
    with pytest.raises(BadInput, match="scan_offset_s: wanted seconds, -10 to 10"):
        decode.scan_offset_ns(offset)
