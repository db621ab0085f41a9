"""Meshes: areas, volumes and places that are known."""

import numpy as np
import pytest

from depth_perception.world.mesh import Material, ball, box, cylinder, merge
from depth_perception.world.people import person
from depth_perception.world.plants import tree
from depth_perception.world.styles import Styles, move
from depth_perception.world.vehicles import PROFILES, car


def area(mesh):
    a, b, c = (mesh.vertices[mesh.triangles[:, k]].astype(float) for k in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()


def test_a_box_has_six_sides():
    mesh = box((0, 0, 0), (2, 3, 4))
    assert len(mesh.triangles) == 12 and area(mesh) == pytest.approx(2 * (6 + 8 + 12))


def test_a_cylinder_has_a_wall_and_a_lid():
    assert area(cylinder(1.0, 2.0, sides=200)) == pytest.approx(2 * np.pi * 2 + np.pi, rel=1e-3)


def test_a_ball_is_round_and_closed():
    v, t = ball(2)
    assert len(t) == 320 and len(v) == 162
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1.0)
    edges = np.sort(np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_merge_and_move_keep_every_triangle():
    a, b = box((0, 0, 0), (1, 1, 1), style=1), box((0, 0, 0), (1, 1, 1), style=2).moved(move(5, 0, 0), 2.0)
    both = merge([a, b])
    assert both.vertices[both.triangles[both.style == 2]].min(axis=(0, 1)).tolist() == [5, 0, 0]
    assert area(both) == pytest.approx(6 + 24)


@pytest.mark.parametrize("kind", list(PROFILES))
def test_a_car_fills_its_size(kind):
    mesh, size = car(kind, np.random.default_rng(5), Styles(np.random.default_rng(0)))
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert abs(low[2]) < 0.02 and high[2] == pytest.approx(size[2], abs=0.01)
    assert high[0] - low[0] == pytest.approx(size[0], abs=0.05)
    body = mesh.vertices[mesh.triangles[mesh.material == Material.PAINT]]
    assert np.ptp(body[..., 1]) <= size[1] + 1e-3


def test_people_and_trees_stand_on_their_feet():
    mesh, size = person(np.random.default_rng(1), Styles(np.random.default_rng(0)))
    assert abs(mesh.vertices[:, 2].min()) < 0.02 and mesh.vertices[:, 2].max() == pytest.approx(size[2], abs=0.1)
    for kind in ("round", "tall", "conifer", "bare"):
        shape = tree(kind, np.random.default_rng(2))
        assert set(np.unique(shape.style)) == {0, 1} and shape.vertices[shape.triangles[shape.style == 1]][..., 2].min() >= -1e-6
