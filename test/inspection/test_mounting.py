"""inspection.mounting: what of a scan falls into the image, and camera frames that cannot be."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import CALIBRATION, T_BASE_CAMERA, frame

from depth_perception.frame import Frame, Scan
from depth_perception.geometry import pose
from depth_perception.inspection import mounting


def turned(degrees, axis=1):
    """The frame of the wall with its LiDAR turned in TF about one of the camera's axes."""
    seen = frame()
    T = pose.from_rotation_vector(np.deg2rad(degrees) * np.eye(3)[axis], np.zeros(3)) @ seen.calibration.T_camera_lidar
    return Frame(seen.image, seen.stamp_ns, replace(seen.calibration, T_camera_lidar=T), seen.scan)


def test_what_the_camera_sees_is_counted():
    assert mounting.in_view(frame()) > 0.97  # its points were cast through the image's own pixels
    assert mounting.in_view(turned(180)) == 0.0
    assert 0.2 < mounting.in_view(turned(35)) < 0.8
    empty = frame()
    assert mounting.in_view(Frame(empty.image, 0, CALIBRATION, Scan(np.zeros((0, 3), np.float32), 0))) == 0.0


def test_a_car_that_is_right_is_not_blamed():
    assert list(mounting.wrong(CALIBRATION, [frame()])) == []
    assert list(mounting.wrong(replace(CALIBRATION, T_base_camera=None), [])) == []


@pytest.mark.parametrize(("T", "words"), [
    (np.eye(4), "looks up (its z axis is base_link's)"),
    (T_BASE_CAMERA @ pose.from_rotation_vector(np.array([0, 0, np.pi]), np.zeros(3)), "stands upside down in TF"),
])  # fmt: skip
def test_a_frame_that_is_not_optical_or_upside_down_is_named(T, words):
    (sentence,) = mounting.wrong(replace(CALIBRATION, T_base_camera=T), [])
    assert words in sentence and "the camera's frame camera" in sentence


def test_a_scan_that_misses_the_image_is_named_unless_one_of_the_frames_is_met():
    (sentence,) = mounting.wrong(CALIBRATION, [turned(180)])
    assert sentence == "0.0 % of the scan's points fall into the image: the transform between lidar and camera points elsewhere"
    assert list(mounting.wrong(CALIBRATION, [turned(180), frame()])) == []
