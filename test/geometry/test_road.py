"""geometry.road: the plane of a made-up road, with things standing on it."""

import numpy as np
import pytest

from depth_perception.geometry import camera, pose, road

K = np.array([[120.0, 0, 95.5], [0, 120.0, 44.0], [0, 0, 1]])
SIZE = (96, 192)
RAYS = camera.rays(K, height=SIZE[0], width=SIZE[1]).astype(np.float64)


def world(*, height=1.6, pitch=0.0, roll=0.0, wall=40.0):
    """(H, W) depth of a road under a tilted camera and a wall, and the road's (3,) n."""
    n = pose.exp_so3(np.array([pitch, 0, roll])) @ np.array([0, 1 / height, 0])
    share = RAYS @ n
    with np.errstate(divide="ignore"):
        return np.minimum(np.where(share > 0, 1 / share, np.inf), wall), n


@pytest.mark.parametrize(("pitch", "roll", "height"), [(0, 0, 1.6), (0.03, -0.02, 1.2), (-0.03, 0.02, 2.4)])
def test_the_plane_is_found_under_any_camera(pitch, roll, height):
    depth, n = world(height=height, pitch=pitch, roll=roll)
    np.testing.assert_allclose(road.fit(depth, K), n, atol=0.01)


def test_cars_on_it_and_noise_do_not_tilt_it():
    depth, n = world()
    rng = np.random.default_rng(3)
    depth = depth * np.exp(rng.normal(0, 0.03, SIZE))
    depth[40:75, 110:190] = np.minimum(depth[40:75, 110:190], 6.0)
    fitted = road.fit(depth, K)
    assert 1 / np.linalg.norm(fitted) == pytest.approx(1.6, rel=0.03)
    assert np.degrees(np.arccos(fitted @ n / np.linalg.norm(fitted) / np.linalg.norm(n))) < 0.5


def test_points_of_the_road_are_told_from_others():
    depth, n = world()
    rays = np.array([RAYS[80, 90], RAYS[80, 90], RAYS[20, 90], RAYS[47, 90]])
    z = np.array([depth[80, 90], 0.5 * depth[80, 90], 40.0, depth[47, 90]])
    # On the road; on a car's bonnet; above the horizon; on the road, but too far to tell.
    assert road.on_road(n, rays, z).tolist() == [True, False, False, False]


@pytest.mark.parametrize("depth", [np.full(SIZE, np.nan), np.zeros(SIZE), np.ones((4, 4))])
def test_no_depth_is_no_road(depth):
    n = road.fit(depth, K)
    assert np.array_equal(n, np.zeros(3))
    assert not road.on_road(n, RAYS[90], np.full(SIZE[1], 5.0)).any()


def returns(depth, *, share=0.3, seed=0):
    """What a LiDAR sees of it: depth at some pixels, NaN elsewhere."""
    return np.where(np.random.default_rng(seed).random(depth.shape) < share, depth, np.nan).astype(np.float32)


@pytest.mark.parametrize(("pitch", "roll", "height"), [(0, 0, 1.6), (0.03, -0.02, 1.2), (-0.03, 0.02, 2.4)])
def test_a_scan_shows_the_plane_to_a_per_mille(pitch, roll, height):
    depth, n = world(height=height, pitch=pitch, roll=roll)
    depth[:, :60] = np.minimum(depth[:, :60], 5.0)  # a row of parked cars
    np.testing.assert_allclose(road.in_scan(returns(depth), K), n, atol=1e-3)


def test_too_few_returns_or_a_bus_right_ahead_are_no_road():
    depth, _ = world()
    assert road.in_scan(np.full(SIZE, np.nan, np.float32), K) is None
    assert road.in_scan(returns(depth, share=0.003), K) is None
    slanting_side = np.minimum(depth, 4.0 + 0.02 * np.arange(SIZE[1]))
    assert road.in_scan(returns(slanting_side), K) is None


STEP = pose.from_rotation_vector(np.array([0.002, -0.03, 0.001]), np.array([0.02, -0.01, -1.2]))  # to the right


def test_the_homography_takes_the_road_s_points_along():
    depth, n = world(pitch=0.02, roll=-0.01)
    v, u = np.array([60, 75, 90]), np.array([60, 100, 130])
    points = RAYS[v, u] * depth[v, u, None]
    before, after = camera.project(K, points)[0], camera.project(K, pose.transform(STEP, points))[0]
    moved = np.column_stack([before, np.ones(3)]) @ road.homography(n, K, STEP).T
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], after, atol=1e-6)


def test_the_strip_ahead_lies_on_the_road_and_bends_with_the_way():
    _, n = world(pitch=0.02, roll=0.01)
    for T, far_right in ((np.eye(4), 1.5), (STEP, 1.5 + 0.5 * 0.03 / 1.2 * 18**2)):
        outline = road.ahead(n, K, T)
        rays = np.column_stack([(outline - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones(len(outline))])
        points = rays / (rays @ n)[:, None]
        assert points[:, 2].min() == pytest.approx(road.NEAR_M)
        assert points[:, 2].max() == pytest.approx(road.FAR_M)
        assert points[:, 0].max() == pytest.approx(far_right, abs=0.3)
        middle = np.array([points[7, 0] - 1.5, points[7, 1], points[7, 2]])  # of its far end
        assert road.within(n, (middle / middle[2])[None], T, half_width_m=0.1, far_m=18.5).all()
        assert not road.within(n, (middle / middle[2])[None] + [0.2, 0, 0], T, half_width_m=1.5).any()


def test_the_strip_is_free_up_to_what_stands_on_it():
    depth, n = world()
    outline = road.ahead(n, K, np.eye(4))
    assert road.free_m(n, K, depth, outline) == np.inf
    depth[45:70, 85:105] = 7.0
    assert road.free_m(n, K, depth, outline) == pytest.approx(7.0)
    beside, _ = world()
    beside[45:70, :40] = 7.0
    assert road.free_m(n, K, beside, outline) == np.inf
    assert road.free_m(n, K, np.full(SIZE, np.nan), outline) == np.inf
