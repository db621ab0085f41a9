"""geometry.ground: the plane that a car's scan stands on, wherever the body's zero is."""

import numpy as np
import pytest

from depth_perception.geometry import ground


def road(a=0.0, b=0.0, c=0.0, *, seed=0):
    xy = np.random.default_rng(seed).uniform([-20, -15], [20, 15], (4000, 2))
    return np.column_stack([xy, a * xy[:, 0] + b * xy[:, 1] + c])


@pytest.mark.parametrize("wanted", [(0, 0, 0), (0, 0, -0.93), (0.02, -0.03, 0.4)])
def test_road_with_a_wall_and_a_car_on_it(wanted):
    wall = np.column_stack([np.random.default_rng(1).uniform([10, -3], [10.2, 3], (500, 2)), np.linspace(0.5, 3, 500)])
    found = ground.plane(np.vstack([road(*wanted), wall]))
    np.testing.assert_allclose(found, wanted, atol=0.012)
    np.testing.assert_allclose(ground.level(found, np.array([[10.0, 5.0, 99.0]])), [wanted[0] * 10 + wanted[1] * 5 + wanted[2]], atol=0.1)


def test_lowest_points_are_the_first_lowest_of_each_square():
    points = np.random.default_rng(2).integers(-40, 40, (600, 3)).astype(np.float32) / 8
    seen = {}
    for point in points:
        square = tuple(np.floor(point[:2] / 2).astype(int))
        if square not in seen or point[2] < seen[square][2]:
            seen[square] = point
    assert {tuple(p) for p in ground._lowest(points)} == {tuple(p) for p in seen.values()}


def test_few_points_and_none():
    np.testing.assert_allclose(ground.plane(np.zeros((0, 3))), 0)
    np.testing.assert_allclose(ground.plane(np.array([[1.0, 1, -1], [1, 1, 0], [1, 1, 1]])), [0, 0, -0.8])
    far = np.array([[1e30, 0, -7], [0, -1e30, -7.0]], np.float32)
    np.testing.assert_allclose(ground.plane(np.vstack([road(c=1.0), far])), [0, 0, 1], atol=1e-6)
