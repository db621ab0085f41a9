"""geometry.deskew: point by point against the plain formula, times by azimuth, and a wall scanned while driving past it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.geometry import lidar, pose
from depth_perception.geometry.deskew import Config, deskew, seconds_by_azimuth

TWIST = np.array([14.0, -0.5, 0.2, 0.05, -0.1, 0.7])


def one_by_one(points, seconds, twist):
    """The same in a plain loop."""
    motions = [pose.from_rotation_vector(twist[3:] * t, twist[:3] * t) for t in seconds]
    return np.array([pose.transform(T, point.astype(np.float64)) for T, point in zip(motions, points, strict=True)])


@given(st.integers(0, 1000), st.tuples(*[st.floats(-30, 30)] * 3, *[st.floats(-3, 3)] * 3))
def test_all_at_once_is_one_by_one(seed, twist):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-80, 80, (20, 3)).astype(np.float32)
    seconds = rng.uniform(-0.2, 0.2, 20).astype(np.float32)
    twist = np.array(twist)
    moved = deskew(points, seconds, twist)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, one_by_one(points, seconds, twist), atol=5e-5)
    exact = deskew(points.astype(np.float64), seconds, twist)
    np.testing.assert_allclose(exact, one_by_one(points, seconds.astype(np.float64), twist), atol=1e-9)


def test_a_whole_motion_is_split_as_pose_fraction_splits_it():
    T_previous_now = pose.from_rotation_vector(TWIST[3:] * 0.1, TWIST[:3] * 0.1)
    points = np.random.default_rng(0).uniform(-50, 50, (11, 3))
    seconds = np.linspace(-0.1, 0.1, 11)
    expected = [pose.transform(pose.fraction(T_previous_now, t / 0.1), p) for p, t in zip(points, seconds, strict=True)]
    np.testing.assert_allclose(deskew(points, seconds, TWIST), expected, atol=1e-9)


def test_a_lidar_at_rest_and_an_empty_scan_change_nothing():
    points = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(deskew(points, np.full(5, 0.1, np.float32), np.zeros(6)), points)
    assert deskew(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), TWIST).shape == (0, 3)


def wall_while_driving(points_a_turn=3600):
    """What a LiDAR that turns clockwise measures of the wall x = 20 on its way: points, their seconds, and its exact twist.

    Its stamp is the middle of the sweep; the sweep begins behind it.
    """
    seconds = (np.arange(points_a_turn) + 0.5) / points_a_turn * 0.1 - 0.05
    azimuth = np.pi - 2 * np.pi * (seconds + 0.05) / 0.1
    points, kept = [], []
    for t, a in zip(seconds, azimuth, strict=True):
        T_stamp_now = pose.from_rotation_vector(TWIST[3:] * t, TWIST[:3] * t)
        direction = T_stamp_now[:3, :3] @ np.array([np.cos(a), np.sin(a), 0.1])
        if direction[0] > 0.2:
            reach = (20.0 - T_stamp_now[0, 3]) / direction[0]
            points.append(reach * np.array([np.cos(a), np.sin(a), 0.1]))
            kept.append(t)
    return np.array(points, np.float32), np.array(kept, np.float32)


def test_a_wall_scanned_while_driving_is_flat_again():
    points, seconds = wall_while_driving()
    assert np.abs(points[:, 0] - 20).max() > 0.2
    np.testing.assert_allclose(deskew(points, seconds, TWIST)[:, 0], 20, atol=1e-4)
    by_azimuth = Config("azimuth", stamp_at=0.5).seconds_of(points)
    np.testing.assert_allclose(by_azimuth, seconds, atol=1e-7)


CALIBRATION = Calibration(np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]]), 64, 48,
                          T_camera_lidar=np.array([[0, -1, 0, 0], [0, 0, -1, 0.5], [1, 0, 0, 0.0], [0, 0, 0, 1]]))


def test_in_camera_deskews_the_points_that_are_used_and_no_others():
    points, seconds = wall_while_driving()
    asked = []

    def seconds_of(some):
        asked.append(len(some))
        return Config("azimuth", stamp_at=0.5).seconds_of(some)

    for scan in (Scan(points, 0, time_s=seconds, twist=TWIST), Scan(points, 0, twist=TWIST, seconds_of=seconds_of)):
        moved = lidar.in_camera(scan, CALIBRATION, every=7)
        np.testing.assert_array_equal(moved, lidar.in_camera(scan, CALIBRATION)[::7])
        np.testing.assert_allclose(moved[:, 2], 20, atol=1e-4)
    assert asked == [len(points[::7]), len(points)]
    for scan in (Scan(points, 0, time_s=seconds), Scan(points, 0, twist=TWIST)):  # motion or times unknown: as it came
        np.testing.assert_array_equal(lidar.in_camera(scan, CALIBRATION)[:, 2], points[:, 0])


def test_azimuth_tells_the_time():
    at = np.deg2rad([180, 90, 0, -90, -179.9])
    options = {"sweep_s": 0.1, "start_deg": 180.0, "clockwise": True, "stamp_at": 0.0}
    np.testing.assert_allclose(seconds_by_azimuth(at, **options), [0, 0.025, 0.05, 0.075, 0.1], atol=1e-4)
    np.testing.assert_allclose(seconds_by_azimuth(at, **options | {"stamp_at": 1.0}), [-0.1, -0.075, -0.05, -0.025, 0], atol=1e-4)
    np.testing.assert_allclose(seconds_by_azimuth(at[:4], **options | {"clockwise": False}), [0, 0.075, 0.05, 0.025], atol=1e-4)
    np.testing.assert_allclose(seconds_by_azimuth(at[1:4], **options | {"start_deg": 90.0}), [0, 0.025, 0.05], atol=1e-4)
    np.testing.assert_allclose(seconds_by_azimuth(at[1:4], **options | {"sweep_s": 0.05}), [0.0125, 0.025, 0.0375], atol=1e-4)


@given(st.floats(-np.pi, np.pi), st.floats(-360, 360), st.booleans(), st.floats(0, 1))
def test_times_stay_within_the_sweep(azimuth, start_deg, clockwise, stamp_at):
    seconds = seconds_by_azimuth(np.array([azimuth]), sweep_s=0.1, start_deg=start_deg, clockwise=clockwise, stamp_at=stamp_at)
    assert -0.1 * stamp_at - 1e-6 <= seconds[0] <= 0.1 * (1 - stamp_at) + 1e-6


@pytest.mark.parametrize(("change", "said"), [
    ({"mode": "always"}, "deskew.mode: wanted off, time or azimuth, got 'always'"), ({"sweep_s": 0.0}, "deskew.sweep_s"),
    ({"sweep_s": 30.0}, "deskew.sweep_s"), ({"stamp_at": 1.5}, "deskew.stamp_at"), ({"stamp_at": float("nan")}, "deskew.stamp_at"),
    ({"start_deg": 720.0}, "deskew.start_deg"),
])
def test_configs_that_are_refused(change, said):
    with pytest.raises(BadInput, match=said):
        Config(**change)
