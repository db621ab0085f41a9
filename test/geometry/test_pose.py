"""geometry.pose: rotations and transforms against known answers and each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.frame import BadInput
from depth_perception.geometry import pose

rotation_vectors = st.tuples(*[st.floats(-1.7, 1.7)] * 3).map(np.array)


def test_a_quarter_turn_about_z_sends_x_to_y():
    T = pose.from_rotation_vector(np.array([0, 0, np.pi / 2]), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(pose.transform(T, np.array([[1.0, 0, 0]])), [[1, 3, 3]], atol=1e-12)


@given(rotation_vectors)
def test_log_undoes_exp(rotation):
    np.testing.assert_allclose(pose.log_so3(pose.exp_so3(rotation)), rotation, atol=1e-7)


@given(rotation_vectors)
def test_quaternion_round_trip(rotation):
    R = pose.exp_so3(rotation)
    np.testing.assert_allclose(pose.matrix_from_quaternion(pose.quaternion_from_matrix(R)), R, atol=1e-9)


def test_inverse_of_many_at_once():
    T = np.stack([pose.from_rotation_vector(np.array([0.1, i, 0.3]), np.array([i, 1, 2])) for i in range(3)])
    np.testing.assert_allclose(pose.inverse(T) @ T, np.tile(np.eye(4), (3, 1, 1)), atol=1e-12)


def test_two_halves_of_a_turn_make_the_turn():
    T = pose.from_rotation_vector(np.array([0, 0.4, 0]), np.zeros(3))
    half = pose.fraction(T, 0.5)
    np.testing.assert_allclose(half @ half, T, atol=1e-12)


@pytest.mark.parametrize("q", [[0, 0, 0, 0], [np.nan, 0, 0, 1]])
def test_no_rotation_is_refused(q):
    with pytest.raises(BadInput, match="quaternion"):
        pose.matrix_from_quaternion(np.array(q, float))


def test_frame_tree_connects_through_the_root():
    tree = pose.FrameTree()
    tree.add("base_link", "mast", pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 1.5])))
    tree.add("/mast", "camera", pose.from_rotation_vector(np.zeros(3), np.array([0.2, 0, 0])))
    tree.add("base_link", "lidar", pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 2.0])))
    np.testing.assert_allclose(tree.between("lidar", "camera")[:3, 3], [0.2, 0, -0.5])
    assert tree.between("camera", "elsewhere") is None
    assert tree.root("camera") == "base_link"


def test_frame_tree_refuses_a_loop():
    tree = pose.FrameTree()
    tree.add("a", "b", np.eye(4))
    with pytest.raises(BadInput, match="b -> a closes a loop"):
        tree.add("b", "a", np.eye(4))


@pytest.mark.parametrize(("parent", "child"), [("a", "a"), ("c", "a"), ("/c", "/a")])
def test_frame_tree_refuses_longer_loops_and_stays_as_it_was(parent, child):
    tree = pose.FrameTree()
    tree.add("a", "b", np.eye(4))
    tree.add("b", "c", np.eye(4))
    with pytest.raises(BadInput, match="closes a loop"):
        tree.add(parent, child, np.eye(4))
    assert (tree.root("c"), tree.root("a")) == ("a", "a")


def test_a_frame_may_get_another_parent():
    tree = pose.FrameTree()
    tree.add("base_link", "mast", pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 1.5])))
    tree.add("mast", "camera", pose.from_rotation_vector(np.zeros(3), np.array([0.2, 0, 0])))
    tree.add("roof", "mast", pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 0.3])))
    np.testing.assert_allclose(tree.between("roof", "camera")[:3, 3], [0.2, 0, 0.3])
    assert tree.between("base_link", "camera") is None
    tree.add("camera", "base_link", np.eye(4))  # no loop any more
    assert tree.root("base_link") == "roof"


def test_what_is_not_connected_is_said():
    tree = pose.FrameTree()
    tree.add("base_link", "mast", np.eye(4))
    tree.add("mast", "camera", np.eye(4))
    tree.add("velodyne", "imu", np.eye(4))
    assert tree.gap("/camera", "base_link") is None
    assert tree.gap("camera", "velodyne") == "TF does not connect camera (under base_link) with velodyne (no parent)"
    assert tree.gap("camera", "/imu") == "TF does not connect camera (under base_link) with imu (under velodyne)"
    assert tree.gap("radar", "camera") == "TF does not connect radar (unknown to TF) with camera (under base_link)"
    assert tree.gap("radar", "radar") is None


@pytest.mark.parametrize("step", [1, 3, -1])
def test_many_points_go_the_same_way_as_few(step):
    T = pose.from_rotation_vector(np.array([0.3, -0.2, 2.0]), np.array([1.0, -20.0, 3.0]))
    points = np.random.default_rng(0).uniform(-80, 80, (3 * pose.MANY, 4)).astype(np.float32)[::step, :3]
    found = pose.transform(T, points)
    assert found.dtype == np.float32 and found.shape == points.shape
    np.testing.assert_allclose(found, points.astype(np.float64) @ T[:3, :3].T + T[:3, 3], atol=5e-5)
