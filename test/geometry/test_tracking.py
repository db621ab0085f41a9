"""geometry.tracking on textures moved by a known part of a pixel."""

import cv2
import numpy as np
import pytest

from depth_perception.geometry import tracking

SIZE = (120, 320)


def texture(*, dx=0.0, dy=0.0, seed=1):
    """Smooth noise, moved right and down by a part of a pixel."""
    noise = np.random.default_rng(seed).uniform(0, 255, (SIZE[0] + 40, SIZE[1] + 40)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    shift = np.array([[1, 0, dx - 20], [0, 1, dy - 20]], np.float32)
    return cv2.warpAffine(smooth, shift, SIZE[::-1], flags=cv2.INTER_CUBIC).astype(np.uint8)


def test_both_sides_of_the_horizon_get_corners():
    image = texture()
    image[60:] = 100 + image[60:] // 20  # a road that is nearly plain
    points = tracking.corners(image, far=100, near=100, horizon=60)
    assert points.dtype == np.float32
    assert (points[:, 1] < 60).sum() > 30
    assert (points[:, 1] > 60).sum() > 30


@pytest.mark.parametrize("horizon", [-5.0, 0.0, 120.0, 500.0])
def test_a_horizon_outside_the_image_is_no_trouble(horizon):
    assert len(tracking.corners(texture(), far=50, near=50, horizon=horizon)) > 20


def test_a_plain_image_has_none():
    points = tracking.corners(np.full(SIZE, 90, np.uint8), far=100, near=100, horizon=60)
    assert points.shape == (0, 2)
    there, found = tracking.follow(texture(), texture(), points, points)
    assert there.shape == (0, 2)
    assert found.shape == (0,)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (1.37, -0.61), (11.25, 4.5)])
def test_a_known_shift_is_found_to_a_tenth_of_a_pixel(dx, dy):
    before, after = texture(), texture(dx=dx, dy=dy)
    points = tracking.corners(before, far=100, near=100, horizon=60)
    there, found = tracking.follow(before, after, points, np.full_like(points, np.nan))
    assert found.mean() > 0.7
    np.testing.assert_allclose(np.median(there[found] - points[found], axis=0), [dx, dy], atol=0.06)
    assert (np.abs(there[found] - points[found] - [dx, dy]).max(1) < 0.1).mean() > 0.85


def test_what_leaves_the_image_or_is_no_longer_there_is_lost():
    before, after = texture(), texture(dx=60)
    points = tracking.corners(before, far=100, near=100, horizon=60)
    there, found = tracking.follow(before, after, points, points + np.float32([60, 0]))
    assert not found[points[:, 0] > SIZE[1] - 60].any()
    assert (there[found] <= np.array(SIZE[::-1]) - 1 - tracking.MARGIN_PX).all()
    _, found = tracking.follow(before, texture(seed=2), points, points)
    assert found.mean() < 0.2


@pytest.mark.parametrize("size", [(500, 1), (1, 500), (17, 16), (301, 17)])
def test_an_image_too_narrow_for_a_window_has_no_corners(size):
    grey = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    assert tracking.corners(grey, far=10, near=10, horizon=size[0] / 2).shape == (0, 2)


OUTLINE = np.array([[100.0, 110], [140, 40], [180, 40], [220, 110]])


def warped(H):
    """The texture, moved by a homography."""
    return cv2.warpPerspective(texture(), H, SIZE[::-1], flags=cv2.INTER_CUBIC)


def test_ground_that_changes_its_shape_is_followed_where_its_homography_is_roughly_known():
    H = np.array([[1.3, 0.1, -40.0], [0.02, 1.35, -20.0], [0.0, 0.0012, 1.0]])
    guess = H @ np.array([[1, 0, 1.5], [0, 1, -1.0], [0, 0, 1]])
    points, there = tracking.on_ground(texture(), warped(H), OUTLINE, guess, count=60)
    true = np.column_stack([points, np.ones(len(points))]) @ H.T
    true = true[:, :2] / true[:, 2:]
    assert len(points) > 20
    assert all(cv2.pointPolygonTest(OUTLINE.astype(np.float32), tuple(map(float, p)), True) > -1.5 for p in points)
    assert np.median(np.abs(there - true)) < 0.05


def test_ground_out_of_sight_or_plain_has_no_corners():
    plain = np.full(SIZE, 90, np.uint8)
    for before, outline in ((plain, OUTLINE), (texture(), OUTLINE + np.array([0, 500])), (texture(), OUTLINE * [0.01, 1])):
        points, there = tracking.on_ground(before, texture(), outline, np.eye(3), count=60)
        assert points.shape == there.shape == (0, 2)


def test_ground_that_leaves_the_image_is_lost():
    points, _ = tracking.on_ground(texture(), texture(dy=90), OUTLINE, np.array([[1.0, 0, 0], [0, 1, 90], [0, 0, 1]]), count=60)
    assert (points[:, 1] + 90 < SIZE[0] - tracking.MARGIN_PX).all()
