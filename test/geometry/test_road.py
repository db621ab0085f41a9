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
