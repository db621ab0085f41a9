"""train.metrics against errors worked out by hand."""

import numpy as np
import pytest

from depth_perception.geometry import pose
from depth_perception.train import metrics

SHAPE = (100, 200)


def test_ten_percent_too_far():
    truth = np.full(SHAPE, 10.0)
    errors = metrics.depth_errors(truth * 1.1, truth)
    assert errors["abs_rel"] == pytest.approx(0.1)
    assert errors["sq_rel"] == pytest.approx(0.1)
    assert errors["rmse"] == pytest.approx(1.0)
    assert errors["rmse_log"] == pytest.approx(np.log(1.1))
    assert (errors["d1"], errors["d2"], errors["d3"]) == (1.0, 1.0, 1.0)


def test_thresholds_count_shares():
    truth = np.full(SHAPE, 10.0)
    depth = truth.copy()
    depth[:, ::2] = 14.0
    errors = metrics.depth_errors(depth, truth, crop="none")
    assert (errors["d1"], errors["d2"]) == (0.5, 1.0)


def test_median_scaling_forgives_the_scale_only():
    truth = np.tile(np.linspace(5, 40, SHAPE[1]), (SHAPE[0], 1))
    assert metrics.depth_errors(truth * 3, truth, median_scale=True)["abs_rel"] == pytest.approx(0.0, abs=1e-12)
    assert metrics.depth_errors(truth * 3, truth)["abs_rel"] == pytest.approx(2.0, abs=0.3)


def test_silence_counts_as_eighty_metres():
    truth = np.full(SHAPE, 40.0)
    assert metrics.depth_errors(np.full(SHAPE, np.nan), truth)["abs_rel"] == pytest.approx(1.0)


def test_garg_s_crop_and_the_range():
    truth = np.full((375, 1242), np.nan)
    truth[100] = 10.0  # above the crop
    truth[200, :30] = 10.0  # left of it
    truth[200, 100:120] = 10.0
    truth[200, 300:320] = 90.0  # too far
    assert metrics.valid_depth(truth, crop="garg").sum() == 20
    truth[200, 119] = np.nan
    assert metrics.depth_errors(truth, truth) is None


def straight(count, step_m):
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = np.arange(count) * step_m
    return poses


def test_a_path_ten_percent_too_long():
    errors = metrics.odometry_errors(straight(301, 1.1), straight(301, 1.0))
    assert errors["t_err_percent"] == pytest.approx(10.0)
    assert errors["r_err_deg_per_100m"] == pytest.approx(0.0, abs=1e-9)
    assert errors["scale_error"] == pytest.approx(0.1)
    assert (errors["path_m"], errors["frames"]) == (300.0, 301)
    assert errors["ate_m"] == pytest.approx(np.sqrt(np.mean((0.1 * np.arange(301)) ** 2)))


def test_a_path_that_bends_one_degree_every_ten_metres():
    turn = pose.from_rotation_vector(np.array([0, 0, np.deg2rad(0.1)]), np.array([1.0, 0, 0]))
    bent = [np.eye(4)]
    for _ in range(120):
        bent.append(bent[-1] @ turn)
    errors = metrics.odometry_errors(np.stack(bent), straight(121, 1.0))
    assert errors["r_err_deg_per_100m"] == pytest.approx(10.0, rel=1e-6)


def test_where_the_world_frame_lies_does_not_matter():
    elsewhere = pose.from_rotation_vector(np.array([0.3, 0.2, 1.0]), np.array([500.0, -3, 2]))
    errors = metrics.odometry_errors(elsewhere @ straight(60, 1.0), straight(60, 1.0))
    assert errors["t_err_percent"] == pytest.approx(0.0, abs=1e-9)


def test_a_path_too_short_for_any_segment():
    assert np.isnan(metrics.odometry_errors(straight(5, 1.0), straight(5, 1.0))["t_err_percent"])
