"""The reference map's shapes: what stands in its tiles, cut into pieces, in the memory of the paint that is there."""

import tracemalloc

import cv2
import numpy as np
import pytest

from depth_perception.geometry.tiles import TILE
from depth_perception.systems.marking_classes import CLASSES, SOLID, ZEBRA
from depth_perception.systems.marking_map import Config, MarkingMap


def mapped(cells, kind):
    """A map in which `cells` (N, 2) x, y hold paint of a class that enough images saw."""
    built = MarkingMap()
    for tile in np.unique(cells // TILE, axis=0):
        x, y = (cells[(cells // TILE == tile).all(1)] - tile * TILE).T
        votes = np.zeros((TILE, TILE, 1 + len(CLASSES)), np.float32)
        votes[..., 0], votes[y, x, 1 + kind] = Config.least_views, 1.0
        built._tiles[int(tile[0]), int(tile[1])] = votes
    return built


def bar(begin, end, width):
    """Cells of a line between two cells, `width` of them thick."""
    low = np.minimum(begin, end) - 2 * width
    picture = np.zeros(np.abs(np.subtract(end, begin))[::-1] + 4 * width + 1, np.uint8)
    cv2.line(picture, (begin - low).tolist(), (end - low).tolist(), 1, width)
    return np.argwhere(picture)[:, ::-1] + low


def test_a_bar_is_a_rectangle_in_metres():
    x, y = np.meshgrid(np.arange(250, 300), np.arange(-3, 5))
    (one,) = mapped(np.column_stack([x.ravel(), y.ravel()]), SOLID).references()
    assert one.id == "solid-line-0" and one.kind == SOLID
    (ring,) = one.rings
    np.testing.assert_allclose([ring.min(0), ring.max(0)], [(250 * 0.04, -3 * 0.04), (300 * 0.04, 5 * 0.04)], atol=1e-9)
    assert one.area_m2 == pytest.approx(50 * 8 * 0.04**2)


def test_bars_that_lie_together_are_one_crossing_and_lose_nothing():
    bars = [np.column_stack([each.ravel() for each in np.meshgrid(np.arange(100), np.arange(k, k + 12))]) for k in (0, 24, 48, 110)]
    found = mapped(np.concatenate(bars), ZEBRA).references()
    assert [len(one.rings) for one in found] == [3, 1]  # the fourth is 2 m away
    assert [one.area_m2 for one in found] == pytest.approx([3 * 1200 * 0.04**2, 1200 * 0.04**2])


def test_a_long_line_is_cut_across_and_nothing_is_lost():
    x, y = np.meshgrid(np.arange(-300, 700), np.arange(40, 45))
    found = mapped(np.column_stack([x.ravel(), y.ravel()]), SOLID).references()
    assert [one.box[1][0] for one in found] == pytest.approx([10.0] * 4, abs=0.05)
    assert sum(one.area_m2 for one in found) == pytest.approx(1000 * 5 * 0.04**2)


def test_a_bend_is_cut_along_both_of_its_ways():
    corner = np.array([0, 0])
    cells = np.unique(np.concatenate([bar(corner, np.array([1000, 0]), 3), bar(corner, np.array([0, 1000]), 3)]), axis=0)
    assert max(one.box[1][0] for one in mapped(cells, SOLID).references()) <= 12


def test_a_street_of_two_kilometres_costs_its_paint_and_not_its_rectangle():
    """At 45 degrees: 1.4 x 1.4 km, 1.25 thousand million cells; its tiles' votes are not counted, they were there before."""
    along = np.arange(35_355)
    cells = np.concatenate([np.column_stack([along + aside, along]) for aside in range(4)])
    built = mapped(cells, SOLID)
    tracemalloc.start()
    found = built.references()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    assert sum(one.box[1][0] for one in found) == pytest.approx(2000, rel=0.01)
    assert max(one.box[1][0] for one in found) < 12.1  # 1.2 times the longest, and a cell
