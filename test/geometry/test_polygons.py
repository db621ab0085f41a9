import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.geometry import polygons

SQUARE = np.array([(0.0, 0), (4, 0), (4, 4), (0, 4)])
HOLE = np.array([(1.0, 1), (1, 2), (3, 2), (3, 1)])


def test_area_takes_holes_off_and_perimeter_counts_all_edges():
    assert polygons.area([SQUARE]) == 16
    assert polygons.area([SQUARE, HOLE]) == 14
    assert polygons.perimeter([SQUARE, HOLE]) == 16 + 6
    assert polygons.thickness([np.array([(0.0, 0), (10, 0), (10, 0.15), (0, 0.15)])]) < 0.15


def test_inside_is_even_odd():
    points = np.array([(0.5, 0.5), (2, 1.5), (5, 1), (2, 3)])
    assert polygons.inside([SQUARE, HOLE], points).tolist() == [True, False, False, True]


@given(yaw=st.floats(-1.5, 1.5), length=st.floats(2, 20), width=st.floats(0.1, 1.5))
@settings(max_examples=30, deadline=None)
def test_the_smallest_box_of_a_turned_rectangle_is_that_rectangle(yaw, length, width):
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [length / 2, width / 2]
    R = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    centre, size, found = polygons.smallest_box(corners @ R.T + [1000, -500])
    np.testing.assert_allclose(centre, [1000, -500], atol=1e-3)
    np.testing.assert_allclose(size, [length, width], atol=1e-3)
    assert abs(np.sin(found - yaw)) < 2e-3
    assert -np.pi / 2 < found <= np.pi / 2 + 1e-6


def test_contours_run_along_the_pixels_outer_edges():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 10:30] = 1
    mask[20, 5:30] = 1
    mask[30, 40] = 1
    mask[35:39, 50] = 1
    areas = sorted(polygons.area([corners for corners, _ in piece]) for piece in polygons.contours(mask))
    np.testing.assert_allclose(areas, [1, 4, 25, 200])
    block = next(piece for piece in polygons.contours(mask) if len(piece) == 1 and polygons.area([piece[0][0]]) == 200)
    assert block[0][0].min(0).tolist() == [9.5, 4.5]
    assert block[0][0].max(0).tolist() == [29.5, 14.5]


def test_contours_have_holes_and_every_corner_comes_from_a_pixel_of_its_piece():
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 1
    mask[20:40, 20:40] = 0
    ((outer, sources), (hole, _)) = polygons.contours(mask)[0]
    assert polygons.area([outer]) > 0 > polygons.area([hole])
    assert abs(polygons.area([outer, hole]) - mask.sum()) < 6  # the hole's corners are cut, as eight neighbours have it
    assert mask[sources[:, 1], sources[:, 0]].all()


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_contours_of_any_mask_cover_its_area(seed):
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 2, (6, 6)), np.ones((8, 8))).astype(np.uint8)
    total = sum(polygons.area([corners for corners, _ in piece]) for piece in polygons.contours(mask))
    assert abs(total - mask.sum()) < 0.06 * max(mask.sum(), 64)


def test_nothing_has_no_contours():
    assert polygons.contours(np.zeros((5, 5), np.uint8)) == []


def test_fill_draws_what_inside_says():
    picture = np.zeros((50, 50), np.uint8)
    polygons.fill(picture, [SQUARE + 1, HOLE[:, ::-1] * 1.0 + 1], 3, corner=(0.0, 0.0), cell=0.1)
    centres = (np.argwhere(np.ones((50, 50)))[:, ::-1] + 0.5) * 0.1
    exact = polygons.inside([SQUARE + 1, HOLE[:, ::-1] + 1], centres).reshape(50, 50)
    eroded = exact[1:-1, 1:-1] & exact[2:, 1:-1] & exact[:-2, 1:-1] & exact[1:-1, 2:] & exact[1:-1, :-2]
    assert (picture[1:-1, 1:-1][eroded] == 3).all()
    assert set(np.unique(picture)) == {0, 3}
