"""Lorries stand on their wheels, have the size that they say, and can be looked through below."""

import numpy as np
import pytest

from depth_perception.geometry import pose
from depth_perception.world.appearance import Appearance
from depth_perception.world.chassis import HALF
from depth_perception.world.drive import Config, Trajectory, _inside, film
from depth_perception.world.lorries import KINDS, LABEL, LONGEST, TALLEST, WIDEST, lorry
from depth_perception.world.mesh import Material
from depth_perception.world.sensors import Camera, Lidar
from depth_perception.world.street import Actor
from depth_perception.world.styles import Styles
from depth_perception.world.tracer import Tracer
from depth_perception.world.trim import trimmed
from depth_perception.world.vehicles import SIZES, car

TINY = Camera(200, 64)
FEW = Lidar(rings=48, columns=720, noise=0.0)


def made(kind, seed):
    styles = Styles(np.random.default_rng(0))
    styles.add((0.5, 0.5, 0.5))
    return *lorry(kind, np.random.default_rng(seed), styles), styles


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_it_stands_on_wheels_and_fills_its_size(kind, seed):
    mesh, size, _ = made(kind, seed)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    np.testing.assert_allclose(low[2], 0, atol=1e-5)
    np.testing.assert_allclose([high[0], -low[0]], 0.5 * size[0], atol=1e-4)
    np.testing.assert_allclose(max(high[1], -low[1]), 0.5 * size[1], atol=1e-4)
    np.testing.assert_allclose(high[2], size[2], atol=1e-4)
    assert 6 < size[0] < LONGEST and 2 * HALF < size[1] <= WIDEST + 1e-4 and 2.4 < size[2] < TALLEST
    on_ground = mesh.vertices[mesh.vertices[:, 2] < 0.01]
    wheels = np.unique(mesh.material[(mesh.triangles[:, :, None] == np.flatnonzero(mesh.vertices[:, 2] < 0.01)).any((1, 2))])
    assert list(wheels) == [Material.WHEEL], "nothing else touches the ground"
    for side in (-1, 1):
        touching = on_ground[side * on_ground[:, 1] > 0.5, 0]
        assert touching.min() < -0.15 * size[0] and touching.max() > 0.2 * size[0]


@pytest.mark.parametrize("kind", ["tanker", "silo", "curtain", "box", "low"])
def test_a_trailer_is_long_and_lets_light_through_below(kind):
    mesh, size, _ = made(kind, 3)
    assert size[0] > 12.5
    tracer = Tracer(mesh)
    x = np.linspace(-0.08, 0.08, 40) * size[0]  # behind the tractor's wheels, ahead of the trailer's

    def across(z):
        origin = np.c_[x, np.full(40, -10.0), np.full(40, z)]
        return tracer.cast(origin, np.tile(np.float32([0, 1, 0]), (40, 1))).t

    assert np.isinf(across(0.25)).all(), "a gap above the road"
    loaded = across(1.4 if kind == "low" else 2.4)
    assert (np.abs(loaded - (10.0 - HALF)) < 0.25).all(), "and a wall above that"


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_lidar_meets_lies_in_the_box(kind, street_of):
    mesh, size, styles = made(kind, 1)
    ahead, beside = Actor(LABEL, mesh, size, 1, 18.0 + 0.5 * size[0], 0.0, -1.75, 1), Actor(LABEL, mesh, size, 2, 6.0, 0.0, 1.75, -1)
    street = street_of(actors=[ahead, beside], styles=styles)
    config = Config(seconds=0.1, camera=TINY, lidar=FEW)
    (moment,) = film(config, street, Trajectory(np.random.default_rng(3), 2.0, 10.0), lane=-1.75, camera=TINY, look=Appearance())
    assert sorted((box.label, box.track) for box in moment.boxes) == [("Truck", 1), ("Truck", 2)]
    points = pose.transform(FEW.T_base_lidar(TINY), moment.frame.scan.points)
    high = points[points[:, 2] > 0.35]
    inside = [_inside(box, high, 0.1) for box in moment.boxes]
    assert min(inside) > 40 and sum(inside) == len(high)


def test_a_drum_is_shaded_round_and_stays_where_it_is():
    mesh, _, _ = made("tanker", 0)
    drum = np.unique(mesh.triangles[mesh.material == Material.DRUM])
    low, high = mesh.vertices[drum, 2].min(), mesh.vertices[drum, 2].max()
    z = np.linspace(low + 0.1, high - 0.1, 60)
    origin = np.c_[np.full(60, -1.0), np.full(60, -10.0), z]
    hits = Tracer(mesh).cast(origin, np.tile(np.float32([0, 1, 0]), (60, 1)))
    on = hits.material == Material.DRUM
    assert on.sum() > 40
    up = hits.normal[on, 2]
    assert (np.diff(up) > 0).all(), "from facet to facet and within them"
    np.testing.assert_allclose(np.linalg.norm(hits.normal[on], axis=1), 1, atol=1e-5)
    assert (hits.normal[on, 1] < 0).all(), "towards who looks"


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_trim_hardly_leaves_the_box_of_its_car(kind, seed):
    rng, styles = np.random.default_rng(seed), Styles(np.random.default_rng(0))
    mesh, size = car(kind, rng, styles)
    more = trimmed(mesh, kind, size, rng, styles)
    added = more.vertices[len(mesh.vertices) :]
    assert len(more.triangles) > len(mesh.triangles) + 50
    assert (np.abs(added[:, :2]) <= 0.5 * size[:2] + 0.1).all() and added[:, 2].min() > 0.2 and added[:, 2].max() < size[2] + 0.05
    np.testing.assert_array_equal(more.vertices[: len(mesh.vertices)], mesh.vertices)
