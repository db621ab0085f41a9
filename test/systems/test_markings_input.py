"""Where the marking network looks, and that what it says comes back to where it looked."""

import numpy as np
import pytest

from depth_perception.frame import Calibration
from depth_perception.geometry import pose
from depth_perception.systems import markings_input

OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)


def camera(*, pitch=0.0, width=400, height=200, with_body=True):
    """A camera 1.5 m above the ground, its nose `pitch` radians down."""
    T = pose.from_rotation_vector(np.array([0.0, pitch, 0.0]), np.array([0.0, 0.0, 1.5])) @ OPTICAL
    K = np.array([[300.0, 0, 200], [0, 300.0, 90], [0, 0, 1]])
    return Calibration(K, width, height, T_base_camera=T if with_body else None)


@pytest.mark.parametrize(("pitch", "horizon"), [(0.0, 90.0), (0.05, 90 - 300 * np.tan(0.05)), (-0.05, 90 + 300 * np.tan(0.05))])
def test_the_band_begins_a_little_above_the_horizon(pitch, horizon):
    assert markings_input.top_row(camera(pitch=pitch), image_height=200) == round(horizon - 0.04 * 200)


def test_a_camera_that_looks_down_sees_all_of_its_image_and_one_that_looks_up_the_lower_part():
    assert markings_input.top_row(camera(pitch=0.6), image_height=200) == 0
    assert markings_input.top_row(camera(pitch=np.pi / 2), image_height=200) == 0
    assert markings_input.top_row(camera(pitch=-0.6), image_height=200) == 120


def test_without_a_body_frame_the_horizon_is_the_centre_and_without_a_calibration_a_guess():
    assert markings_input.top_row(camera(pitch=0.05, with_body=False), image_height=200) == 82
    assert markings_input.top_row(None, image_height=200) == 82
    assert markings_input.top_row(camera(with_body=False), image_height=100) == 41, "an image at half the calibration's size"


def test_what_the_network_sees_is_the_band():
    image = np.zeros((200, 400, 3), np.uint8)
    image[82:] = 255
    seen = markings_input.prepare(image, camera(), height=64, width=128)
    assert seen.shape == (1, 3, 64, 128) and seen.dtype == np.float32 and seen.min() == 1.0


def test_logits_come_back_as_the_mask_they_were_made_of():
    mask = np.zeros((200, 400), np.uint8)
    mask[120:160, 100:200], mask[150:200, 260:330] = 1, 4
    small = markings_input.band(mask, camera())[::2, ::2]
    logits = np.stack([np.where(small == k, 6.0, 0.0) for k in range(7)]).astype(np.float32)
    found, confidence = markings_input.restore(logits[None], camera(), image_height=200, image_width=400)
    assert found.dtype == np.uint8 and found.shape == confidence.shape == (200, 400)
    assert (found != mask).mean() < 0.01
    assert (found[:82] == 0).all() and (confidence[:82] == 1).all()
    inside = confidence[125:155, 110:190]
    np.testing.assert_allclose(inside, (np.exp(6.0) + 5) / (np.exp(6.0) + 6), rtol=1e-5)
    assert confidence.max() <= 1 and confidence.min() >= 0.5


def test_a_doubt_between_two_kinds_of_paint_is_no_doubt_about_paint():
    shares = np.full((7, 32, 64), 0.02)
    shares[0], shares[1], shares[2] = 0.40, 0.22, 0.30  # background is the likeliest of the classes, and less likely than paint
    shares[0, :, 32:], shares[1, :, 32:] = 0.52, 0.10
    found, confidence = markings_input.restore(np.log(shares).astype(np.float32), None, image_height=100, image_width=64)
    assert (found[45:, :30] == 2).all() and (found[45:, 34:] == 0).all()
    np.testing.assert_allclose(confidence[45:, :30], 0.60, atol=1e-6)
    np.testing.assert_allclose(confidence[45:, 34:], 0.52, atol=1e-6)
