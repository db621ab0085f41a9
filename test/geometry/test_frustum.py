"""geometry.frustum: a camera's rays at each depth, from above, beside a plain loop and exact places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import frustum, pose
from depth_perception.geometry.grid import Grid

AHEAD = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0.25], [0, -1, 0, 1.6], [0, 0, 0, 1]])
# 64x32, the centre between the pixels 31 and 32: at stride 4 a map of 16x8 whose centre lies between its columns 7 and 8.
CAMERA = Calibration(np.array([[40.0, 0, 31.5], [0, 40, 15.5], [0, 0, 1]]), 64, 32, T_base_camera=AHEAD)
SIZE = {"height": 32, "width": 64, "stride": 4}
GRID = Grid(0.0, -4.0, 0.5, 16, 40)
DEPTHS = np.array([4.0, 10.0])


def test_places_of_a_level_camera():
    found = frustum.points(CAMERA, **SIZE, depths=DEPTHS).reshape(2, 8, 16, 3)
    # Column 8 is half a feature to the right of the middle: 0.5 * 4 px / 40 px of the depth.
    np.testing.assert_allclose(found[0, 4, 8], [5.5, 0.25 - 4 * 0.05, 1.6 - 4 * 0.05], atol=1e-6)
    np.testing.assert_allclose(found[1, 3, 7], [11.5, 0.25 + 10 * 0.05, 1.6 + 10 * 0.05], atol=1e-6)
    np.testing.assert_allclose(frustum.heights(CAMERA, **SIZE, depths=DEPTHS).reshape(2, 8, 16)[1, 3], 2.1, atol=1e-6)
    sloped = frustum.heights(CAMERA, **SIZE, depths=DEPTHS, ground=np.array([0.1, 0, -1.0])).reshape(2, 8, 16)
    np.testing.assert_allclose(sloped[1, 3], 2.1 - (1.15 - 1.0), atol=1e-6)


def test_another_network_size_sees_the_same_places():
    double = frustum.points(CAMERA, height=64, width=128, stride=8, depths=DEPTHS)
    np.testing.assert_allclose(double, frustum.points(CAMERA, **SIZE, depths=DEPTHS), atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.floats(-0.5, 0.5), st.floats(-0.3, 0.3), st.floats(0.5, 30))
def test_cells_equal_a_loop(turn, nod, depth):
    T = pose.from_rotation_vector(np.array([0, nod, turn]), np.zeros(3)) @ AHEAD
    camera = Calibration(CAMERA.K, 64, 32, T_base_camera=T)
    cells = frustum.cells(camera, **SIZE, depths=np.array([depth]), grid=GRID)
    assert cells.dtype == np.int64 and cells.shape == (8 * 16,)
    for row in range(8):
        for column in range(16):
            ray = np.array([(4 * column + 1.5 - 31.5) / 40, (4 * row + 1.5 - 15.5) / 40, 1.0])
            place = T @ [*(depth * ray), 1]
            above = place[2] - T[2, 3]
            i, j = np.floor((place[1] + 4) / 0.5), np.floor(place[0] / 0.5)
            wanted = int(i * 40 + j) if 0 <= i < 16 and 0 <= j < 40 and -6 < above < 3 else 640
            on_an_edge = min(abs(v - round(v)) for v in (place[0] / 0.5, place[1] / 0.5, above)) < 1e-4
            assert on_an_edge or cells[row * 16 + column] == wanted


def test_the_sky_is_in_no_cell():
    cells = frustum.cells(CAMERA, **SIZE, depths=np.array([15.0]), grid=GRID).reshape(8, 16)
    assert (cells[0] == GRID.outside).all()  # 3.5 features up: 15 * 0.35 m above the camera
    assert (cells[4, 6:10] != GRID.outside).all()


@pytest.mark.parametrize("wrong, said", [
    ({"depths": np.array([0.0, 1.0])}, "depths: wanted"), ({"depths": np.zeros(0)}, "depths: wanted"),
    ({"depths": np.array([np.nan])}, "depths: wanted"), ({"stride": 5}, "stride: wanted"), ({"stride": 0}, "stride: wanted")])
def test_doors(wrong, said):
    with pytest.raises(BadInput, match=said):
        frustum.cells(CAMERA, **({**SIZE, "depths": DEPTHS} | wrong), grid=GRID)


def test_a_camera_whose_place_is_unknown():
    with pytest.raises(BadInput, match="T_base_camera"):
        frustum.cells(Calibration(CAMERA.K, 64, 32), **SIZE, depths=DEPTHS, grid=GRID)


@pytest.mark.parametrize("yaw, wanted", [(0.0, 0.0), (0.7, 0.0), (-0.7, 0.0), (1.2, -1.2), (-2.0, 2.0), (3.0, -3.0)])
def test_a_camera_that_looks_aside_gets_a_body_that_looks_its_way(yaw, wanted):
    T = frustum.facing(pose.from_rotation_vector(np.array([0, 0, yaw]), np.zeros(3)) @ AHEAD)
    np.testing.assert_allclose(T, pose.from_rotation_vector(np.array([0, 0, wanted]), np.zeros(3)), atol=1e-9)
