"""Metres between images, by the odometry of a bag."""

import numpy as np
import pytest

from depth_perception.bag import FrameReader, Writer, messages
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.train.travelled import travelled

CAMERA = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "camera")
T_base_camera = pose.from_rotation_vector(np.zeros(3), np.array([2.0, 0, 1]))


def reader(path, *, topics, turning=0.0):
    """Ten images; the car drives 3 m/s and turns so many radians a second; poses come at other moments than images."""
    with Writer(path) as bag:
        bag.write("/tf_static", messages.transforms([("base_link", "camera", T_base_camera)], stamp_ns=0), 0)
        for i in range(10):
            stamp = 10**9 + i * 10**8
            bag.write("/camera_info", messages.camera_info(CAMERA, stamp_ns=stamp), stamp)
            bag.write("/image", messages.image(np.zeros((48, 64, 3), np.uint8), "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            for topic in topics:
                at = stamp - 30_000_000 + 10**7 * i  # from 0.97 s to 1.96 s
                seconds = at * 1e-9
                T = pose.from_rotation_vector(np.array([0, 0, turning * seconds]), np.array([3 * seconds, 0, 0]))
                bag.write(topic, messages.odometry(T, stamp_ns=at, frame_id="odom", child_frame_id="base_link"), at)
    return FrameReader(path)


def test_metres_between_two_moments(tmp_path):
    metres = travelled(reader(tmp_path / "bag", topics=["/odom"]))
    assert metres(1_100_000_000, 1_300_000_000) == pytest.approx(0.6)
    assert np.isnan(metres(900_000_000, 1_100_000_000)) and np.isnan(metres(1_900_000_000, 2_100_000_000))


def test_the_camera_swings_out(tmp_path):
    metres = travelled(reader(tmp_path / "bag", topics=["/odom"], turning=0.5))
    poses = [pose.from_rotation_vector(np.array([0, 0, 0.5 * s]), np.array([3 * s, 0, 0])) @ T_base_camera for s in (1.1, 1.3)]
    assert metres(1_100_000_000, 1_300_000_000) == pytest.approx(np.linalg.norm(poses[1][:3, 3] - poses[0][:3, 3]), rel=1e-3)


def test_none_and_several_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"velocity: .*has no odometry"):
        travelled(reader(tmp_path / "none", topics=[]))
    several = reader(tmp_path / "several", topics=["/odom", "/wheel"])
    with pytest.raises(BadInput, match=r"velocity: .*several: /odom, /wheel"):
        travelled(several)
    assert travelled(several, "/wheel")(1_100_000_000, 1_300_000_000) == pytest.approx(0.6)
