"""geometry.grid: one point per cube, and cells where they belong."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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
