"""report.objects: what is drawn lies where it is."""

import numpy as np
import pytest

from depth_perception.frame import Calibration
from depth_perception.geometry.boxes import Box3D
from depth_perception.geometry.grid import Grid
from depth_perception.report import objects as pictures

GRID = Grid(0.0, -4.0, 1.0, 8, 10)
T_BASE_CAMERA = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]])
CALIBRATION = Calibration(np.array([[50.0, 0, 50], [0, 50, 25], [0, 0, 1]]), 101, 51, T_base_camera=T_BASE_CAMERA)
CAR = Box3D("car", 0.9, np.array([6.0, 2.0, 1.0]), np.array([2.0, 1.0, 1.0]), 0.0)


def drawn(picture, before):
    """(rows, columns) that were changed."""
    rows, columns = np.nonzero((picture != before).any(2))
    return (rows.min(), rows.max()), (columns.min(), columns.max())


def test_a_box_over_its_image():
    image = np.zeros((51, 101, 3), np.uint8)
    picture = pictures.over_camera(image, CALIBRATION, (), true=[CAR])
    # Its rear is 5 m away, its front 7 m, 1.5 to 2.5 m to the left and half a metre above and below the camera. A line has soft edges.
    np.testing.assert_allclose(drawn(picture, image), ((20, 30), (25, 39)), atol=1)
    assert not image.any()
    assert tuple(pictures.over_camera(image, CALIBRATION, [CAR])[30, 30]) == pictures.COLOURS["car"]


def test_a_box_that_passes_the_camera_is_cut():
    long = Box3D("truck", 1.0, np.array([0.0, 2.0, 1.0]), np.array([20.0, 1.0, 1.0]), 0.0)
    image = np.zeros((51, 101, 3), np.uint8)
    _, columns = drawn(pictures.over_camera(image, CALIBRATION, [long]), image)
    assert columns[0] == 0 and columns[1] <= 44
    behind = Box3D("truck", 1.0, np.array([-20.0, 0.0, 1.0]), np.array([2.0, 1.0, 1.0]), 0.0)
    assert not pictures.over_camera(image, CALIBRATION, [behind]).any()


def test_points_and_boxes_from_above():
    points = np.array([[9.95, 3.95, 0.0], [0.05, -3.95, 2.0], [50, 0, 0]], np.float32)
    picture = pictures.over_cloud(points, (), GRID)
    assert picture.shape == (100, 80, 3)
    assert set(zip(*np.nonzero((picture != 16).any(2)), strict=True)) == {(0, 0), (99, 79)}
    rows, columns = drawn(pictures.over_cloud(points, [CAR], GRID), picture)
    np.testing.assert_allclose((rows, columns), ((30, 50), (15, 25)), atol=2)  # two pixels wide
    assert (pictures.over_cloud(np.zeros((0, 3), np.float32), (), GRID) == 16).all()


def test_features_are_turned_ahead_up_and_alike_are_alike():
    features = np.zeros((5, 8, 10))
    features[:, 0, 0] = 1.0  # near, to the right
    features[:, 7, 9] = 1.0
    features[0, 4, 5] = 3.0
    picture = pictures.features_picture(features, enlarge=1)
    assert picture.shape == (10, 8, 3)
    assert {tuple(place) for place in np.argwhere(picture.any(2))} == {(9, 7), (0, 0), (4, 3)}
    assert (picture[9, 7] == picture[0, 0]).all() and (picture[9, 7] != picture[4, 3]).any()


def test_colours_stay_from_picture_to_picture():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 6, 8, 10))
    colours = pictures.Colours.of(one, other)
    far_above_near = np.concatenate([colours.paint(other, enlarge=2), colours.paint(one, enlarge=2)])
    np.testing.assert_array_equal(colours.paint(np.concatenate([one, other], 2), enlarge=2), far_above_near)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_few_channels_and_nothing_seen(channels):
    assert not pictures.features_picture(np.zeros((channels, 8, 10)), enlarge=1).any()
    assert pictures.features_picture(np.ones((channels, 8, 10)), enlarge=1).any()


def test_boxes_over_features():
    plain = pictures.features_picture(np.ones((4, 8, 10)), enlarge=10)
    rows, columns = drawn(pictures.over_features(np.ones((4, 8, 10)), [CAR], GRID, enlarge=10), plain)
    np.testing.assert_allclose((rows, columns), ((30, 50), (15, 25)), atol=1)


def test_pairs():
    image = np.zeros((50, 100, 3), np.uint8)
    at = np.array([[9.0, 3.0, 0.0], [1.0, -3.0, 0.0]], np.float32)
    pixels = np.array([[20.0, 10.0], [90.0, 40.0]])
    picture = pictures.pairs_picture(image, pixels, at, at, GRID, right=np.array([True, False]))
    assert picture.shape == (100, 280, 3)
    for (row, column), channel in (((20, 43), 1), ((10, 213), 1), ((80, 183), 0), ((90, 273), 0)):  # on a ring about each end
        assert picture[row - 2 : row + 3, column - 2 : column + 3, channel].max() > 150
    none = pictures.pairs_picture(image, np.zeros((0, 2)), at, np.zeros((0, 3)), GRID)
    assert not none[:, :200].any()
