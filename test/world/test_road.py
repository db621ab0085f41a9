"""Road coordinates and the ground that follows from them."""

from dataclasses import replace

import numpy as np

from depth_perception.world.mesh import Material
from depth_perception.world.road import ground, random_road


def winding(seed=0, **changes):
    options = {
        "length": 120.0,
        "lanes": (1, 1),
        "lane_width": 3.0,
        "parking": 2.0,
        "sidewalk": 2.0,
        "kerb": 0.12,
        "bend": 0.004,
        "turns": 0.3,
        "crossing_every": 60.0,
        "hilly": 0.02,
    }
    return random_road(np.random.default_rng(seed), **{**options, **changes})


def test_the_centreline_is_measured_in_metres():
    for seed in range(4):
        road = winding(seed)
        np.testing.assert_allclose(np.hypot(np.diff(road.x), np.diff(road.y)), np.diff(road.s), rtol=1e-3)
        assert np.interp(0.0, road.s, road.x) == 0.0 and abs(np.interp(0.0, road.s, road.heading)) < 1e-9


def test_d_is_the_distance_from_the_centreline():
    road = winding(1)
    x, y, _ = road.xy(np.full(3, 40.0), np.array([-5.0, 0.0, 5.0]))
    distance = [np.hypot(road.x - a, road.y - b).min() for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(distance, [5.0, 0.0, 5.0], atol=0.02)


def test_ground_vertices_lie_at_their_road_coordinates():
    road = winding(2)
    mesh = ground(road)
    strip = np.unique(mesh.triangles[mesh.material == Material.GROUND])
    s, d = mesh.coords[strip, 0].astype(float), mesh.coords[strip, 1].astype(float)
    x, y, _ = road.xy(s, d)
    np.testing.assert_allclose(mesh.vertices[strip, :2], np.c_[x, y], atol=2e-3)
    step = mesh.vertices[strip, 2] - road.height(x, y)
    on_road = np.abs(d) < road.half - 0.01
    np.testing.assert_allclose(step[on_road], 0.0, atol=1e-3)
    walk = (np.abs(d) > road.half + 0.01) & ~road.in_crossing(s, 0.1)
    np.testing.assert_allclose(step[walk], 0.12, atol=1e-3)


def test_things_stand_upright_or_on_the_slope():
    road = winding(3)
    upright, tilted = road.place(30.0, -1.0), road.place(30.0, -1.0, on_slope=True)
    np.testing.assert_allclose(upright[:3, 2], [0, 0, 1])
    np.testing.assert_allclose(tilted[:3, :3] @ tilted[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(tilted[:3, 2], road.up(*tilted[:2, 3]), atol=1e-12)


def test_a_bend_brings_the_road_in_the_way():
    straight = winding(4, bend=0.0, turns=0.0)
    assert straight.clear(50.0, 50.0, 0.5)
    s = np.arange(0.0, 140.0, 0.5)  # most of a circle of radius 25 to the left
    bend = replace(straight, s=s, x=25 * np.sin(s / 25), y=25 - 25 * np.cos(s / 25), heading=s / 25)
    assert not bend.clear(10.0, 50.0, 0.5), "50 m to the left is another part of the bend"
    assert bend.clear(10.0, -50.0, 0.5)
