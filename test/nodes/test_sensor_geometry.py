"""The camera's calibration and the sensors' places, message by message; without ROS."""

import numpy as np
import pytest
import yaml
from worlds import CALIBRATION, SIZE, T_BASE_CAMERA, T_BASE_LIDAR

from depth_perception.bag import messages
from depth_perception.frame import BadInput
from depth_perception.geometry import pose
from depth_perception.nodes.input_config import Config
from depth_perception.nodes.sensor_geometry import SensorGeometry

LINKS = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
INFO = messages.camera_info(CALIBRATION, stamp_ns=1)
UP = (0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0)


def tf(links=LINKS):
    return messages.transforms(links, stamp_ns=1)


def test_it_is_made_of_what_has_come():
    geometry = SensorGeometry(Config())
    assert not geometry.is_known and geometry.findings() == []
    geometry.info = INFO
    geometry.lidar_frame = "lidar"
    assert geometry.is_known and not geometry.is_fixed
    alone, rectifier = geometry.calibration()
    assert alone.T_base_camera is None and alone.T_camera_lidar is None
    body, lidar = geometry.findings()
    assert body.startswith("TF does not connect base_link") and lidar.startswith("TF does not connect camera")
    geometry.add_transforms(tf())
    whole, same = geometry.calibration()
    np.testing.assert_allclose(whole.T_base_camera, T_BASE_CAMERA, atol=1e-9)
    np.testing.assert_allclose(whole.T_camera_lidar, pose.inverse(T_BASE_CAMERA) @ T_BASE_LIDAR, atol=1e-9)
    assert same is rectifier, "its map is costly, and TF has nothing to do with it"
    assert geometry.calibration()[0] is whole and geometry.findings() == []
    geometry.info = messages.camera_info(CALIBRATION, stamp_ns=2, D=(0.1, 0, 0, 0, 0))
    assert geometry.calibration()[1] is not rectifier


def test_what_is_given_goes_before_tf_and_a_difference_is_told():
    geometry = SensorGeometry(Config(T_base_camera=UP))
    geometry.info = INFO
    geometry.add_transforms(tf())
    np.testing.assert_allclose(geometry.calibration()[0].T_base_camera, pose.from_quaternion(np.array(UP[:3]), np.array(UP[3:])))
    (sentence,) = geometry.findings()
    assert sentence.startswith("input.T_base_camera")


def test_a_file_needs_no_camera_info(tmp_path):
    file = tmp_path / "camera.yaml"
    file.write_text(yaml.safe_dump({"width": SIZE[1], "height": SIZE[0], "K": CALIBRATION.K.tolist(), "camera_frame": "camera"}))
    geometry = SensorGeometry(Config(calibration=str(file)))
    assert geometry.is_known and geometry.is_fixed
    np.testing.assert_allclose(geometry.calibration()[0].K, CALIBRATION.K)
    with pytest.raises(BadInput, match="nowhere"):
        SensorGeometry(Config(calibration="/nowhere.yaml"))


def test_what_a_file_leaves_to_tf_is_missed(tmp_path):
    file = tmp_path / "camera.yaml"
    file.write_text(yaml.safe_dump({"width": SIZE[1], "height": SIZE[0], "K": CALIBRATION.K.tolist(), "camera_frame": "camera"}))
    geometry = SensorGeometry(Config(calibration=str(file)))
    (body,) = geometry.findings()
    assert body.startswith("TF does not connect base_link")
    geometry.lidar_frame = "lidar"
    body, lidar = geometry.findings()
    assert lidar.startswith("TF does not connect camera")
    geometry.info = INFO
    assert geometry.findings() == [body, lidar], "a CameraInfo does not change that"
    geometry.add_transforms(tf())
    assert geometry.findings() == []
    geometry.info = messages.camera_info(CALIBRATION, stamp_ns=2)
    geometry.info.k = np.zeros(9)
    assert geometry.findings() == [], "nobody drives with that CameraInfo"


def test_while_no_camera_is_known_a_scan_stands_where_tf_has_its_lidar():
    geometry = SensorGeometry(Config())
    geometry.add_transforms(tf(LINKS[:1]))
    with pytest.raises(BadInput, match="lidar"):
        geometry.without_camera("lidar")
    geometry.add_transforms(tf())
    found = geometry.without_camera("lidar")
    assert found.base_frame == "base_link"
    np.testing.assert_allclose(found.T_base_camera @ found.T_camera_lidar, T_BASE_LIDAR, atol=1e-9)


def test_links_that_cannot_be_used_are_told_and_the_others_taken():
    geometry = SensorGeometry(Config())
    geometry.info = INFO
    broken = T_BASE_LIDAR.copy()
    broken[0, 3] = np.nan
    with pytest.raises(BadInput):
        geometry.add_transforms(tf([LINKS[0], ("base_link", "lidar", broken)]))
    np.testing.assert_allclose(geometry.calibration()[0].T_base_camera, T_BASE_CAMERA, atol=1e-9)
