"""geometry.cross_view against worlds whose depth from anywhere is known."""

import numpy as np

from depth_perception.geometry import camera, pose
from depth_perception.geometry.cross_view import disagreement

K = np.array([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]])
SIZE = (64, 96)


def plane(normal, distance, T_view_world=None):
    """(64, 96) depth of the plane normal . p = distance (world frame), seen from a camera."""
    T = np.eye(4) if T_view_world is None else T_view_world
    n = T[:3, :3] @ np.asarray(normal, float)
    d = distance + n @ T[:3, 3]
    return (d / (camera.rays(K, height=SIZE[0], width=SIZE[1]) @ n)).astype(np.float32)


def test_two_views_of_one_plane_agree_and_nothing_is_said_of_what_one_does_not_see():
    T_other_this = pose.from_rotation_vector(np.array([0.02, -0.05, 0.01]), np.array([0.4, -0.1, 1.5]))
    normal, distance = np.array([0.2, 0.3, 0.93]), 12.0
    seen = disagreement(plane(normal, distance), plane(normal, distance, T_other_this), K, T_other_this)
    assert np.isfinite(seen).mean() > 0.7
    assert np.isnan(seen).any()
    assert np.nanmax(seen) < 2e-3
    # The inverse motion is another one.
    wrong = disagreement(plane(normal, distance), plane(normal, distance, T_other_this), K, pose.inverse(T_other_this))
    assert np.nanmedian(wrong) > 0.05


def test_what_came_along_disagrees_by_how_far_it_went():
    wall = np.full(SIZE, 10.0, np.float32)
    seen = disagreement(wall, wall, K, pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 2.0])))
    np.testing.assert_allclose(seen[10:-10, 15:-15], 2 / 22, rtol=1e-5)


def test_behind_the_other_camera_and_without_depth_nothing_is_said():
    depth = np.full(SIZE, 3.0, np.float32)
    depth[20:30] = np.nan
    behind = disagreement(depth, depth, K, pose.from_rotation_vector(np.zeros(3), np.array([0, 0, -4.0])))
    assert np.isnan(behind).all()
    still = disagreement(depth, depth, K, np.eye(4))
    assert np.isnan(still[20:30]).all()
    np.testing.assert_allclose(still[1:15, 1:-1], 0, atol=1e-6)  # the very border may round to the outside
