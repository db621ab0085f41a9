"""evaluation.bev: distances and shares of clouds whose truth is known."""

import numpy as np
import pytest

pytest.importorskip("open3d", exc_type=ImportError)

from worlds import frame

from depth_perception.evaluation.bev import BevScore
from depth_perception.geometry import lidar, pose


def lidar_points():
    """The scan itself in the body frame, its lowest 4 m (the score cuts there too), as a perfect camera cloud would be."""
    whole = frame()
    body = pose.transform(whole.calibration.T_base_camera, lidar.in_camera(whole.scan, whole.calibration))
    return body[body[:, 2] < 4.05]


def test_the_lidar_s_own_points_score_full_marks():
    score = BevScore()
    score.add(lidar_points(), frame())
    everything = score.result()["by_range"]["0-40 m"]
    # The truth is thinned to one point per 0.2 m cube, so a point's own cube mate may be a little away.
    assert everything["accuracy_m"] < 0.1
    assert everything["completeness_m"] < 0.01
    assert everything["f_score_0.5"] == pytest.approx(1.0)


def test_a_cloud_lifted_by_a_third_of_a_metre():
    score = BevScore()
    score.add(lidar_points() + np.float32([0, 0, 0.35]), frame())
    near = score.result()["by_range"]["0-10 m"]
    assert near["accuracy_m"] == pytest.approx(0.36, abs=0.03)
    assert near["f_score_0.2"] < 0.05
    assert near["f_score_0.5"] > 0.95


def test_a_cloud_that_sees_only_the_near_half_is_incomplete_not_inaccurate():
    points = lidar_points()
    score = BevScore()
    score.add(points[points[:, 0] < 12], frame())
    everything = score.result()["by_range"]["0-40 m"]
    assert everything["accuracy_m"] < 0.1
    assert everything["completeness_m"] > 1.0
