"""Target points of S3, on images whose corners are known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.geometry import camera
from depth_perception.samples.targets import TargetConfig, at_stride, keypoints, regions, targets, thinned

K = np.array([[100.0, 0, 63.5], [0, 100, 31.5], [0, 0, 1]])


def board(*squares):
    """A grey image with white squares of 10 pixels at these corners (x, y)."""
    image = np.full((64, 128, 3), 90, np.uint8)
    for x, y in squares:
        image[y : y + 10, x : x + 10] = 255
    return image


def test_keypoints_are_the_corners_of_the_image_and_a_bare_wall_has_none():
    found = keypoints(board((30, 20)), TargetConfig())
    corners = np.array([[29.5, 19.5], [39.5, 19.5], [29.5, 29.5], [39.5, 29.5]])
    assert len(found) == 4 and np.abs(found[:, None] - corners).max(2).min(0).max() < 1.5
    assert keypoints(board(), TargetConfig()).shape == (0, 2)


def test_regions_are_squares_around_keypoints_within_the_image():
    mask = regions(np.array([[20.2, 10.0], [0.0, 63.0], [400.0, 5.0]], np.float32), height=64, width=128, reach_px=2)
    assert mask[8:13, 18:23].all() and mask[61:, :3].all() and mask.sum() == 25 + 9


def test_targets_are_the_returns_in_the_regions_that_the_camera_sees():
    v, u = np.mgrid[:64:2, :128:2]
    ahead = np.stack([(u - 63.5) / 100 * 8, (v - 31.5) / 100 * 8, np.full(u.shape, 8.0)], -1).reshape(-1, 3)
    hidden = ahead * 1.5  # the same pixels, four metres behind
    points = np.concatenate([hidden, ahead, -ahead])
    config = TargetConfig(region_px=4)
    pixels, which = targets(board((30, 20)), K, points, config)
    assert set(which) <= set(range(len(ahead), 2 * len(ahead))), "what is hidden, or behind the camera, is no target"
    assert np.allclose(pixels, camera.project(K, points[which])[0], atol=1e-4)
    near = np.abs(pixels[:, None] - keypoints(board((30, 20)), config)[None]).max(2).min(1)
    assert len(which) > 50 and near.max() <= 4.5
    assert len(targets(board(), K, points, config)[1]) == 0
    assert len(targets(board((30, 20)), K, points, TargetConfig(region_px=4, most=7))[1]) == 7


@given(st.floats(0, 415), st.sampled_from([2, 4, 8, 16]))
def test_second_coordinates_are_the_feature_whose_pixels_hold_the_first(x, stride):
    column = int(at_stride(np.array([[x, 0.0]]), stride)[0, 0])
    assert column * stride - 0.5 <= x + 1e-9 and x < (column + 1) * stride - 0.5 + 1e-9


@given(st.integers(0, 60), st.integers(1, 30), st.integers(0, 1000))
def test_thinned_places_keep_their_distance_and_leave_no_room(count, most, seed):
    places = np.random.default_rng(seed).uniform(0, 6, (count, 2))
    chosen = places[thinned(places, apart_m=1.0, most=most, rng=np.random.default_rng(seed))]
    apart = np.linalg.norm(chosen[:, None] - chosen[None], axis=2) + 10 * np.eye(len(chosen))
    assert len(chosen) <= most and (apart >= 1.0).all()
    if len(chosen) < most and count:
        assert (np.linalg.norm(places[:, None] - chosen[None], axis=2).min(1) < 1.0).all()
