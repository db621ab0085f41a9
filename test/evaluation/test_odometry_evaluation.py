"""evaluation.odometry: honest covariances read 1, boasting ones more, whatever frame the reference moves."""

import numpy as np
import pytest

from depth_perception.evaluation import odometry
from depth_perception.evaluation.reference import Reference
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree
from depth_perception.systems.odometry import T_BODY_OPTICAL, OdometryOutput

TENTH, COUNT = 100_000_000, 400
CALIBRATION = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "camera", T_BODY_OPTICAL)
STEP = pose.from_rotation_vector(np.array([0, 0.001, 0.02]), np.array([1.0, 0.02, 0.0]))
TWIST = np.concatenate([STEP[:3, :3].T @ STEP[:3, 3], pose.log_so3(STEP[:3, :3])]) / 0.1
SIGMA = np.array([0.3, 0.1, 0.1, 0.01, 0.01, 0.03])


def truth(T_base_reference=None):
    poses = [np.eye(4)]
    for _ in range(COUNT):
        poses.append(poses[-1] @ STEP)
    moved = np.stack(poses) @ (np.eye(4) if T_base_reference is None else T_base_reference)
    return Reference(moved, np.arange(COUNT + 1) * TENTH, "base_link" if T_base_reference is None else "imu", "made up")


def outputs(boast=1.0):
    rng = np.random.default_rng(4)
    covariance = np.diag(SIGMA**2) / boast**2
    return [
        OdometryOutput(np.eye(4), TWIST + rng.normal(0, SIGMA), covariance, covariance, np.eye(4), (i + 1) * TENTH, 0.1, "base_link")
        for i in range(COUNT)
    ]


def test_honest_is_one_and_boasting_is_more():
    assert odometry.nees_per_dof(outputs(), truth(), CALIBRATION, FrameTree()) == pytest.approx(1.0, abs=0.07)
    assert odometry.nees_per_dof(outputs(boast=2), truth(), CALIBRATION, FrameTree()) == pytest.approx(4.0, abs=0.3)


def test_a_reference_on_another_frame_of_the_car_tells_the_same():
    T_base_imu = pose.from_rotation_vector(np.array([0, 0, 0.7]), np.array([-0.8, 0.3, 0.9]))
    tree = FrameTree()
    tree.add("base_link", "imu", T_base_imu)
    expected = odometry.nees_per_dof(outputs(), truth(), CALIBRATION, FrameTree())
    assert odometry.nees_per_dof(outputs(), truth(T_base_imu), CALIBRATION, tree) == pytest.approx(expected, rel=1e-6)


def test_steps_outside_the_reference_do_not_count():
    known = truth()
    short = Reference(known.poses[:3], known.stamps_ns[:3], known.frame, known.source)
    first = outputs()[:2]
    expected = odometry.nees_per_dof(first, known, CALIBRATION, FrameTree())
    assert odometry.nees_per_dof(outputs(), short, CALIBRATION, FrameTree()) == pytest.approx(expected)
    assert np.isnan(odometry.nees_per_dof(outputs(), Reference(known.poses, None, "camera", "kitti"), CALIBRATION, FrameTree()))


def test_no_truth_is_invented_where_the_reference_has_a_gap():
    known, steps = truth(), np.arange(COUNT + 1)
    seen = (steps < 100) | (steps > 300)  # 20 s without a pose
    gap = Reference(known.poses[seen], known.stamps_ns[seen], known.frame, known.source)
    path = list(known.poses)
    result = odometry.score((steps * TENTH).tolist(), path, gap, CALIBRATION, FrameTree())
    assert result["frames"] == 200 and result["ate_m"] == pytest.approx(0.0, abs=1e-6)
    far = Reference(known.poses[::50], known.stamps_ns[::50] + 1, known.frame, known.source)
    with pytest.raises(BadInput, match=r"does not overlap with the images', or its poses are more than 2 s apart"):
        odometry.score((steps * TENTH).tolist(), path, far, CALIBRATION, FrameTree())
