"""geometry.boxes: corners, overlaps, and what a network says of a box, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.boxes import CLASSES, Box3D, beside, class_of, decode, encode, in_view, overlap, returns
from depth_perception.geometry.grid import Grid

GRID = Grid().coarser(2)


def car(x=10.0, y=2.0, z=0.75, *, yaw=0.0, size=(4.0, 2.0, 1.5), label="car"):
    return Box3D(label, 1.0, np.array([x, y, z]), np.array(size), yaw)


def test_corners():
    np.testing.assert_allclose(car().outline(), [[12, 3], [12, 1], [8, 1], [8, 3]])
    np.testing.assert_allclose(car(yaw=np.pi / 2).outline(), [[9, 4], [11, 4], [11, 0], [9, 0]], atol=1e-12)
    corners = car().corners()
    np.testing.assert_allclose(corners[:4, 2], 0.0)
    np.testing.assert_allclose(corners[4:], np.column_stack([car().outline(), np.full(4, 1.5)]))


def test_moved_into_another_frame_and_back():
    T = pose.from_rotation_vector(np.array([0, 0, 0.5]), np.array([1.0, 2, 3]))
    there = car(yaw=1.0).moved(T)
    assert there.yaw == pytest.approx(1.5)
    np.testing.assert_allclose(there.corners(), pose.transform(T, car(yaw=1.0).corners()))
    np.testing.assert_allclose(there.moved(pose.inverse(T)).corners(), car(yaw=1.0).corners(), atol=1e-12)


def test_overlap():
    assert overlap(car(), car()) == pytest.approx(1)
    assert overlap(car(), car(x=12)) == pytest.approx(1 / 3)
    assert overlap(car(), car(y=3)) == pytest.approx(1 / 3)
    assert overlap(car(), car(yaw=np.pi / 2)) == pytest.approx(4 / 12, abs=1e-5)
    assert overlap(car(), car(x=16)) == 0
    assert overlap(car(x=1000), car(x=1000, yaw=np.pi)) == pytest.approx(1)


def test_names():
    assert [class_of(name) for name in ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "DontCare", "Misc", "Tram")] == [
        "car", "car", "truck", "pedestrian", "pedestrian", "cyclist", None, None, None]
    with pytest.raises(BadInput, match="label 'Unicorn': wanted one of car, van"):
        class_of("Unicorn")


PLACES = st.floats(-30, 60)


@given(st.lists(st.tuples(PLACES, PLACES, st.floats(-2, 3), st.floats(0.2, 15), st.floats(0.2, 3), st.floats(0.2, 4), st.floats(-3.1, 3.1)),
                max_size=8), st.sampled_from([None, np.array([0.01, -0.02, -0.9])]))
def test_said_and_taken_back(numbers, ground):
    boxes = [Box3D("truck", 1.0, np.array(n[:3]), np.array(n[3:6]), n[6]) for n in numbers]
    cells, values = encode(boxes, GRID, ground=ground)
    assert cells.shape == (len(boxes),) and values.shape == (len(boxes), 8)
    inside = np.flatnonzero(cells < GRID.outside)
    assert ((values[inside, :2] >= 0) & (values[inside, :2] <= 1)).all()
    centres, sizes, yaw = decode(cells[inside], values[inside], GRID, ground=ground)
    for k, i in enumerate(inside):
        np.testing.assert_allclose(centres[k], boxes[i].centre, atol=1e-5)
        np.testing.assert_allclose(sizes[k], boxes[i].size, rtol=1e-5)
        assert yaw[k] == pytest.approx(boxes[i].yaw, abs=1e-5)
    for i in set(range(len(boxes))) - set(inside.tolist()):
        x, y, _ = boxes[i].centre
        assert not (0 <= x < 51.2 and -25.6 <= y < 25.6)


def test_whatever_a_network_says_is_a_box():
    values = np.array([[0.5, 0.5, 0, 99, -99, 0, 0, 0]], np.float32)
    centres, sizes, yaw = decode(np.array([0]), values, GRID)
    Box3D(CLASSES[0], 0.5, centres[0], sizes[0], float(yaw[0]))


@pytest.mark.parametrize("wrong", [{"label": "unicorn"}, {"size": (4.0, 0.0, 1.5)}, {"x": np.nan}, {"yaw": np.inf}, {"size": (4.0, 2.0)}])
def test_doors(wrong):
    with pytest.raises(BadInput, match=r"^box"):
        car(**wrong)


def test_returns_in_a_box():
    box = car(yaw=np.pi / 2)  # 9 to 11 m ahead, up to 4 m to the left
    inside, road = [[10, 3.9, 0.2], [10.9, 2, 1.4], [10, 4.05, 0.7]], [[10, 2, 0.1]]
    points = np.array([*inside, *road, [12, 2, 0.7], [10, 4.2, 0.7], [10, 2, 1.7]], np.float32)
    assert returns(box, points) == 3
    assert returns(box, points, margin=0.3) == 5
    assert returns(box, np.zeros((0, 3), np.float32)) == 0


def test_what_a_camera_sees():
    K = np.array([[50.0, 0, 49.5], [0, 50, 24.5], [0, 0, 1]])
    T_base_camera = np.array([[0.0, 0, 1, 1], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
    calibration = Calibration(K, 100, 50, T_base_camera=T_base_camera)
    places = ((11, 0), (11, 9.8), (11, 10.0), (-9, 0), (1.2, 0))
    assert [in_view(car(x, y), calibration) for x, y in places] == [True, True, False, False, False]


def test_a_thing_that_the_images_edge_cuts_is_not_beside_it():
    K = np.array([[50.0, 0, 49.5], [0, 50, 24.5], [0, 0, 1]])
    calibration = Calibration(K, 100, 50, T_base_camera=np.array([[0.0, 0, 1, 1], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]]))
    # 10 m ahead the image ends 9.9 m to the left; a car ends 1 m to the side of its middle, 8 to 12 m ahead.
    cut, just_outside, aside, passing, behind = car(11, 11.5), car(11, 13.6), car(11, 16), car(1, 2.5), car(-9, 0)
    assert not in_view(cut, calibration) and not beside(cut, calibration)
    assert not beside(just_outside, calibration), "so near the edge a label errs"
    assert beside(just_outside, calibration, margin=0.0) and beside(aside, calibration) and beside(behind, calibration)
    assert not beside(passing, calibration, margin=0.0), "its front, 2 m before the camera, is seen at the image's edge"
    assert beside(car(1, 4), calibration) and not beside(car(11, 0), calibration)
