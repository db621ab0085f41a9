"""What is a ghost and what is covered, in hand-made clouds; and the table of a short drive."""

import numpy as np
import pytest

pytest.importorskip("open3d", exc_type=ImportError)
pytest.importorskip("rosbags")

from bench import bev_gate
from depth_perception import model
from depth_perception.frame import Calibration, Frame, Scan
from depth_perception.systems.odometry import T_BODY_OPTICAL

K = np.array([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]])
ROAD = np.stack(np.meshgrid(np.arange(2.0, 30, 0.5), np.arange(-8.0, 8, 0.5), [-1.5]), -1).reshape(-1, 3)
POST, BESIDE = np.array([(10.0, 0.0, 0.0)]), np.array([(-5.0, 3.0, 0.0)])  # the other behind the car: not in view


def frame(*things):
    """The scan of a LiDAR at the camera's place, which is the body's middle, 1.5 m over the road."""
    returns = np.concatenate([ROAD, *things]) @ T_BODY_OPTICAL[:3, :3]
    calibration = Calibration(K, 200, 100, "camera", T_BODY_OPTICAL, np.eye(4))
    return Frame(np.zeros((100, 200, 3), np.uint8), 0, calibration, Scan(returns.astype(np.float32), 0, "camera"))


def test_a_point_by_a_return_is_no_ghost_and_covers_it():
    assert bev_gate.compared(POST + np.array([0.3, 0.2, 0.5]), frame(POST)) == (0.0, 1.0), "height does not count"
    assert bev_gate.compared(POST + np.array([0.8, 0, 0]), frame(POST)) == (0.0, 0.0), "no ghost, and too far to cover"
    assert bev_gate.compared(np.concatenate([POST, POST + np.array([1.5, 0, 0])]), frame(POST)) == (0.5, 1.0)


def test_what_is_out_of_view_is_not_missed_and_makes_no_ghost():
    assert bev_gate.compared(np.concatenate([POST, BESIDE]), frame(POST, BESIDE)) == (0.0, 1.0)


def test_the_road_what_is_above_and_what_is_far_are_no_things():
    ghosts, covered = bev_gate.compared(np.array([(12.0, 2, -1.4), (12.0, 2, 1.5), (25.0, 2, 0)]), frame(POST))
    assert np.isnan(ghosts) and covered == 0.0
    ghosts, covered = bev_gate.compared(POST, frame())
    assert ghosts == 1.0 and np.isnan(covered)


def test_a_higher_gate_shows_no_more(short_bag, tiny_model):
    rows = bev_gate.scored(str(short_bag), model.load(tiny_model), (0.0, 0.9))
    assert [row["min_confidence"] for row in rows] == [0.0, 0.9] and rows[0]["images"] == rows[1]["images"] > 20
    assert not rows[0]["coverage"] < rows[1]["coverage"]
