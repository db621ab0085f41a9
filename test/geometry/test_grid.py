"""geometry.grid: one point per cube, and cells where they belong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from depth_perception.frame import BadInput
from depth_perception.geometry import grid


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 60), st.just(3)), elements=st.floats(-20, 20, width=32)))
def test_thinning_keeps_the_first_point_of_every_cube(points):
    kept = grid.thin(points, voxel=0.5)
    seen, wanted = set(), []
    for i, cube in enumerate(map(tuple, np.floor(points / 0.5).astype(int))):
        if cube not in seen:
            seen.add(cube)
            wanted.append(i)
    assert kept.tolist() == wanted


def test_cells():
    points = np.array([[0.1, 0.1], [1.9, 0.1], [0.1, 0.9], [2.1, 0.0], [-0.1, 0.0]])
    index, inside = grid.cells(points, origin=(0.0, 0.0), cell=0.5, shape=(2, 4))
    assert inside.tolist() == [True, True, True, False, False]
    assert index[:3].tolist() == [0, 3, 4]


SMALL = grid.Grid(x_m=0.0, y_m=-1.0, cell_m=0.5, rows=4, columns=6)


def test_a_grid_counts_rows_to_the_left_and_columns_ahead():
    points = np.array([[0.1, -0.9, 7], [2.9, -0.9, 0], [0.1, 0.9, 0], [3.0, 0, 0], [0, 1.0, 0], [-0.01, 0, 0], [np.nan, 0, 0]])
    assert SMALL.cells(points).tolist() == [0, 5, 18, 24, 24, 24, 24]
    np.testing.assert_allclose(SMALL.centres()[3, 0], [0.25, 0.75])
    assert SMALL.cells(SMALL.centres().reshape(-1, 2)).tolist() == list(range(24))


def test_a_coarser_grid_is_the_same_ground():
    coarse = SMALL.coarser(2)
    assert (coarse.rows, coarse.columns, coarse.cell_m, coarse.x_m, coarse.y_m) == (2, 3, 1.0, 0.0, -1.0)
    with pytest.raises(BadInput, match="that 4 divides, got 4x6"):
        SMALL.coarser(4)


@pytest.mark.parametrize("wrong", [{"cell_m": 0.0}, {"cell_m": np.inf}, {"x_m": np.nan}, {"rows": 0}, {"columns": 1.5}])
def test_a_grid_that_is_none(wrong):
    with pytest.raises(BadInput, match="grid: wanted"):
        grid.Grid(**wrong)


@pytest.mark.parametrize(("voxel", "far_m"), [(0.2, 30.0), (0.5, 3.0), (1e-5, 1e5)])  # the last: more cubes than a number has room for
def test_thinning_is_what_a_plain_loop_does(voxel, far_m):
    points = np.random.default_rng(3).uniform(-far_m, far_m, (400, 3))
    points[200:] = points[:200] + 0.4 * voxel  # many share a cube
    seen, first = set(), []
    for index, point in enumerate(points):
        cube = tuple(np.floor(point / voxel))
        if cube not in seen:
            seen.add(cube)
            first.append(index)
    np.testing.assert_array_equal(grid.thin(points, voxel=voxel), first)
    assert len(grid.thin(points[:1], voxel=voxel)) == 1
