"""view.smaller: small, and still what it was."""

import cv2
import numpy as np

from depth_perception.systems.marking_classes import STOP
from depth_perception.systems.palette import COLOURS
from depth_perception.view import smaller


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_depth_is_every_nth_pixel_to_two_millimetres():
    depth = np.linspace(1, 130, 100 * 1300, dtype=np.float32).reshape(100, 1300)
    depth[1, 1] = np.nan
    depth[4, 4] = np.inf
    depth[7, 7] = 200.0
    png, step = smaller.depth_png(depth, widest=640)
    assert step == 3
    found = decoded(png)
    assert found.dtype == np.uint16 and found.shape == (33, 433)
    assert found[0, 0] == found[1, 1] == 0 and found[2, 2] == 65535  # none, none, and beyond 16 bits
    known = depth[1::3, 1::3]
    known = np.where(np.isfinite(known) & (known < 131), known, 0)
    near = np.where(found == 65535, 0, found / smaller.UNITS_PER_M)
    np.testing.assert_allclose(near, known, atol=1 / smaller.UNITS_PER_M)
    assert smaller.depth_png(depth[:, :640])[1] == 1


def test_markings_are_seen_through_where_there_are_none():
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2] = STOP
    picture = decoded(smaller.markings_png(mask))
    assert picture.shape == (4, 6, 4)
    assert tuple(picture[1, 2, 2::-1]) == COLOURS["stop line"] and picture[1, 2, 3] > 100
    assert (np.delete(picture[..., 3].ravel(), 8) == 0).all()


def test_pictures_keep_their_colours():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 200
    np.testing.assert_allclose(decoded(smaller.jpeg(picture))[..., ::-1], picture, atol=4)
    np.testing.assert_allclose(decoded(smaller.confidence_jpeg(np.array([[0.0, 1.0, np.nan, 2.0]]).repeat(16, 1).repeat(16, 0)))[
        8, [8, 24, 40, 56]], [0, 255, 0, 255], atol=6)


def test_clouds_are_thinned_evenly_and_lose_what_is_not_known():
    points = np.column_stack([np.arange(1000.0), np.zeros(1000), np.ones(1000), np.full(1000, 9.0)])
    points[0, 1] = np.nan
    few = smaller.thinned(points, most=300)
    assert few.dtype == np.float32 and few.shape == (249, 3)
    np.testing.assert_array_equal(few[:3, 0], [4, 8, 12])
    assert smaller.thinned(np.zeros((0, 4), np.float32)).shape == (0, 3)


def test_the_same_height_has_the_same_colour_in_every_cloud():
    low, high = smaller.height_colours(np.array([[0, 0, -5.0], [0, 0, 9.0]]))
    np.testing.assert_array_equal(smaller.height_colours(np.array([[3, 1, 9.0], [2, 2, -0.5]])), [high, low])
    assert (low != high).any()
