"""evaluation.reference: the same path from a KITTI file, a TUM file, a topic and TF."""

import numpy as np
import pytest

from depth_perception.bag import Writer, messages
from depth_perception.evaluation import odometry, reference
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree
from depth_perception.systems.odometry import T_BODY_OPTICAL

START, TENTH, COUNT = 1_700_000_000_000_000_000, 100_000_000, 30
STEP = pose.from_rotation_vector(np.array([0, 0, 0.02]), np.array([1.0, 0.0, 0.0]))
T_BASE_CAMERA = pose.from_rotation_vector(np.zeros(3), np.array([1.2, 0.1, 1.5])) @ T_BODY_OPTICAL
CALIBRATION = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "camera", T_BASE_CAMERA)
STAMPS = [START + i * TENTH for i in range(COUNT)]


def body_path():
    poses = [np.eye(4)]
    for _ in range(COUNT - 1):
        poses.append(poses[-1] @ STEP)
    return poses


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bag") / "drive"
    with Writer(path) as out:
        for stamp, T in zip(STAMPS, body_path(), strict=True):
            out.write("/gps/odometry", messages.odometry(T, stamp_ns=stamp, frame_id="map", child_frame_id="base_link"), stamp)
            out.write("/tf", messages.transforms([("map", "imu", T)], stamp_ns=stamp), stamp)
    return path


def test_kitti_file_of_camera_poses(tmp_path, bag):
    camera = [pose.inverse(T_BASE_CAMERA) @ T @ T_BASE_CAMERA for T in body_path()]
    np.savetxt(tmp_path / "poses.txt", [T[:3].ravel() for T in camera])
    result = odometry.score(STAMPS, body_path(), reference.load(str(tmp_path / "poses.txt"), bag), CALIBRATION, FrameTree())
    assert result["t_err_percent"] == pytest.approx(0.0, abs=1e-3)
    assert result["frames"] == COUNT


def test_tum_file_is_interpolated(tmp_path, bag):
    camera = [pose.inverse(T_BASE_CAMERA) @ T @ T_BASE_CAMERA for T in body_path()]
    rows = [[s * 1e-9, *T[:3, 3], *pose.quaternion_from_matrix(T[:3, :3])] for s, T in zip(STAMPS, camera, strict=True)]
    np.savetxt(tmp_path / "tum.txt", rows[::2], fmt="%.9f")
    result = odometry.score(STAMPS, body_path(), reference.load(str(tmp_path / "tum.txt"), bag), CALIBRATION, FrameTree())
    assert result["t_err_percent"] < 0.1
    assert result["frames"] == COUNT - 1  # the last image lies after the last pose


@pytest.mark.parametrize("name", [None, "/gps/odometry"])
def test_a_topic_is_found_or_named(bag, name):
    result = odometry.score(STAMPS, body_path(), reference.load(name, bag), CALIBRATION, FrameTree())
    assert result["ate_m"] == pytest.approx(0.0, abs=1e-6)
    assert result["reference"] == "/gps/odometry"


def test_tf_of_another_frame_on_the_car(bag):
    T_base_imu = pose.from_rotation_vector(np.array([0, 0, 0.5]), np.array([-0.8, 0.3, 0.9]))
    tree = FrameTree()
    tree.add("base_link", "imu", T_base_imu)
    body = [T_base_imu @ T @ pose.inverse(T_base_imu) for T in body_path()]
    result = odometry.score(STAMPS, body, reference.load("map:imu", bag), CALIBRATION, tree)
    assert result["ate_m"] == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(BadInput, match="moves 'imu', which TF static does not connect"):
        odometry.score(STAMPS, body, reference.load("map:imu", bag), CALIBRATION, FrameTree())


def test_alignment_only_when_asked(bag):
    longer = [pose.from_rotation_vector(pose.log_so3(T[:3, :3]), T[:3, 3] * 1.2) for T in body_path()]
    found = reference.load(None, bag)
    assert odometry.score(STAMPS, longer, found, CALIBRATION, FrameTree())["scale_error"] == pytest.approx(0.2, abs=1e-4)
    assert odometry.score(STAMPS, longer, found, CALIBRATION, FrameTree(), align=True)["ate_m"] == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(("name", "sentence"), [("/absent", "no topic of"), ("map:wheel", r"has 0 such transforms; it has \['map:imu'\]")])
def test_what_is_not_there_is_named(bag, name, sentence):
    with pytest.raises(BadInput, match=sentence):
        reference.load(name, bag)


def test_a_file_of_words(tmp_path, bag):
    (tmp_path / "poses.txt").write_text("not poses\n")
    with pytest.raises(BadInput, match="wanted numbers"):
        reference.load(str(tmp_path / "poses.txt"), bag)
    np.savetxt(tmp_path / "seven.txt", np.zeros((3, 7)))
    with pytest.raises(BadInput, match="got 7"):
        reference.load(str(tmp_path / "seven.txt"), bag)
