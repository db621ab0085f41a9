"""geometry.pillars: a cloud's statistics per cell, beside a plain loop over its points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from depth_perception.geometry.grid import Grid
from depth_perception.geometry.pillars import CHANNELS, DEEPEST_M, HIGHEST_M, LOG_COUNT, LOWEST_M, SLICE_M, SLICES, ground_of, pillars

GRID = Grid(x_m=0.0, y_m=-1.0, cell_m=0.5, rows=4, columns=6)
FLAT = np.zeros(3)


def plain(points, grid, ground):
    """The same, as one would say it."""
    of_cell = {}
    for x, y, z in points.astype(np.float64):
        row, column = math.floor((y - grid.y_m) / grid.cell_m), math.floor((x - grid.x_m) / grid.cell_m)
        height = z - (ground[0] * x + ground[1] * y + ground[2])
        if 0 <= row < grid.rows and 0 <= column < grid.columns and DEEPEST_M <= height < HIGHEST_M:
            offset = ((x - grid.x_m) / grid.cell_m - column - 0.5, (y - grid.y_m) / grid.cell_m - row - 0.5)
            of_cell.setdefault((row, column), []).append((height, *offset))
    out = np.zeros((CHANNELS, grid.rows, grid.columns), np.float32)
    for (row, column), found in of_cell.items():
        height, x, y = np.array(found).T
        out[:6, row, column] = np.log1p(len(height)) / LOG_COUNT, height.mean(), height.max(), height.min(), x.mean(), y.mean()
        for h in height:
            out[6 + min(max(math.floor((h - LOWEST_M) / SLICE_M), 0), SLICES - 1), row, column] = 1
    return out


# Multiples of 1/64, half of one off every edge of a cell and of a slice: what float32 holds exactly lies on the same side for both.
@settings(deadline=None)
@given(hnp.arrays(np.int32, st.tuples(st.integers(0, 200), st.just(3)), elements=st.integers(-300, 300)))
def test_equals_a_loop_over_points(counts):
    points = ((counts + 0.5) / 64).astype(np.float32)
    np.testing.assert_allclose(pillars(points, GRID, ground=FLAT), plain(points, GRID, FLAT), atol=1e-5)


def test_a_post_on_a_slope_stands_on_the_ground():
    ground = np.array([0.1, 0.0, -1.0])
    points = np.array([[1.2, 0.1, -0.88 + h] for h in (0.0, 0.5, 1.0)] + [[1.2, 0.1, 9.0], [1.2, 0.1, -5.0]], np.float32)
    found = pillars(points, GRID, ground=ground)
    here = found[:, 2, 2]
    np.testing.assert_allclose(here[:6], [np.log1p(3) / LOG_COUNT, 0.5, 1.0, 0.0, -0.1, -0.3], atol=1e-5)
    assert here[6:].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    found[:, 2, 2] = 0
    assert not found.any()


def test_no_points_and_none_on_the_grid():
    for points in (np.zeros((0, 3)), np.array([[-5.0, 0, 0], [1e30, 0, 0]])):
        found = pillars(points, GRID, ground=FLAT)
        assert found.shape == (CHANNELS, 4, 6) and found.dtype == np.float32 and not found.any()


@pytest.mark.parametrize("zero", [0.0, -0.93, 1.5])
def test_the_bodys_zero_does_not_matter(zero):
    rng = np.random.default_rng(0)
    road = np.column_stack([rng.uniform([0, -10], [30, 10], (5000, 2)), np.zeros(5000)])
    car = np.column_stack([rng.uniform([8, -1], [12, 1], (300, 2)), rng.uniform(0.1, 1.5, 300)])
    cloud, grid = np.vstack([road, car]), Grid(0.0, -10.0, 1.0, 20, 30)
    lifted = cloud + np.array([0, 0, zero])
    found = pillars(lifted, grid)
    np.testing.assert_allclose(found[:6], pillars(cloud, grid, ground=FLAT)[:6], atol=2e-3)
    np.testing.assert_allclose(ground_of(lifted), [0, 0, zero], atol=2e-3)
    assert found[2, 10, 9] > 1.3
