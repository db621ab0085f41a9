"""The nouns refuse what cannot be a camera's, in a sentence that names it."""

import numpy as np
import pytest

from depth_perception.frame import BadInput, Calibration, Frame, as_transform

K = np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]])


@pytest.mark.parametrize(("change", "sentence"), [
    ({"K": np.zeros((3, 3))}, "positive focal lengths"),
    ({"K": np.eye(3) * np.nan}, "finite 3x3"),
    ({"K": K[:2]}, "3x3"),
    ({"width": 15}, r"lies far outside the 15x48 image"),
    ({"height": 0}, "positive pixels"),
    ({"T_base_camera": np.eye(3)}, "T_base_camera: wanted a finite 4x4"),
    ({"T_camera_lidar": np.diag([2.0, 1, 1, 1])}, "T_camera_lidar: wanted a rotation"),
])
def test_a_calibration_that_cannot_be(change, sentence):
    with pytest.raises(BadInput, match=sentence):
        Calibration(**({"K": K, "width": 64, "height": 48} | change))


def test_an_image_of_another_size_is_refused():
    with pytest.raises(BadInput, match=r"uint8 \(48, 64, 3\), got uint8 \(48, 60, 3\)"):
        Frame(np.zeros((48, 60, 3), np.uint8), 0, Calibration(K, 64, 48))


def test_a_mirror_is_no_rigid_motion():
    with pytest.raises(BadInput, match="rotation"):
        as_transform("T", np.diag([-1.0, 1, 1, 1]))
