"""report.pictures: near is bright, none is black, things stand where they are."""

import numpy as np

from depth_perception.report import pictures


def test_near_is_brighter_than_far_and_none_is_black():
    depth = np.array([[3.0, 10.0, 30.0, 79.0, np.nan]], np.float32)
    brightness = pictures.colour_depth(depth).astype(int).sum(-1)[0]
    assert (np.diff(brightness[:4]) < 0).all()
    assert brightness[4] == 0


def test_from_above_a_point_ahead_left_is_up_left():
    drawn = pictures.from_above(np.array([[30.0, 10.0, 1.0]], np.float32), pixel_m=0.5)
    row, column = np.argwhere((drawn != 16).any(-1) & (np.arange(drawn.shape[0])[:, None] < 60))[0]
    assert (row, column) == (round((40 - 30) / 0.5), round((20 - 10) / 0.5))


def test_grid_picture_turns_x_up_and_y_left():
    cells = np.full((4, 6), -1, np.int8)
    cells[3, 5] = 100  # far ahead, far left
    drawn = pictures.grid_picture(cells, enlarge=1)
    assert drawn.shape == (6, 4, 3)
    assert drawn[0, 0].tolist() == [0, 0, 0]
