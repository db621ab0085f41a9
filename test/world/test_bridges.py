"""Bridges and gantries leave room for what drives beneath them."""

import numpy as np
import pytest

from depth_perception.world.bridges import bridge, gantry
from depth_perception.world.mesh import box, merge
from depth_perception.world.plan import random_plan
from depth_perception.world.site import Site
from depth_perception.world.street import Box
from depth_perception.world.styles import move
from depth_perception.world.tracer import Tracer

HILLS = np.array([[0.03, 0.01, 0.4, 1.2], [0.0, 0.05, 1.0, 0.5]])


def site_on(street_of, **road):
    rng = np.random.default_rng(5)
    return Site(rng, random_plan(rng, "city"), street_of(**road).road)


def above(site, s, d):
    """(N,) metres from road points straight up to what hangs over them."""
    x, y, _ = site.road.xy(s, d)
    origin = np.c_[x, y, site.road.height(x, y)]
    return Tracer(merge(site.parts)).cast(origin, np.tile(np.float32([0, 0, 1]), (len(s), 1))).t


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("hills", [np.zeros((0, 4)), HILLS])
def test_a_bridge_has_its_clearance_over_the_whole_road(street_of, seed, hills):
    site, rng = site_on(street_of, lanes=(2, 2), hills=hills), np.random.default_rng(seed)
    clearance, yaw = float(rng.uniform(4.7, 6)), float(rng.uniform(-0.5, 0.5))
    bridge(site, 40.0, rng, clearance=clearance, wide=float(rng.uniform(5, 16)), yaw=yaw)
    s, d = (v.ravel() for v in np.meshgrid(np.arange(10.0, 70.0, 0.25), np.linspace(-1, 1, 21) * site.road.half))
    over = above(site, s, d)
    assert np.isfinite(over[(np.abs(s - 40) < 2) & (d == 0)]).all(), "it reaches over the road"
    assert np.isinf(over[np.abs(s - 40) > 26]).all()
    assert over.min() >= clearance - 1e-3
    if not len(hills):
        assert over.min() == pytest.approx(clearance, abs=1e-3)


def test_what_stands_in_a_bridge_goes_and_the_rest_stays(street_of):
    site = site_on(street_of)
    tower, far, low = box((38, 6, 0), (42, 9, 12)), box((90, 6, 0), (94, 9, 12)), box((38, 6, 0), (42, 9, 1))
    site.parts = [tower, far, low]
    site.boxes = [Box("Car", move(40.0, 7.0, 0.7), np.array([4.0, 1.8, 1.4]), 1), Box("Car", move(90.0, 7.0, 0.7), np.ones(3), 2)]
    bridge(site, 40.0, np.random.default_rng(0), clearance=5.0, wide=8.0, yaw=0.0)
    assert not any(part is tower for part in site.parts) and any(part is far for part in site.parts)
    assert [one.track for one in site.boxes] == [2]


@pytest.mark.parametrize("seed", range(6))
def test_a_gantry_hangs_where_it_says_and_stands_beside_the_road(street_of, seed):
    site = site_on(street_of, lanes=(2, 2))
    gantry(site, 30.0, np.random.default_rng(seed), clearance=5.2)
    mesh = merge(site.parts)
    half = site.road.half
    over_road = mesh.vertices[np.abs(mesh.vertices[:, 1]) < half]
    assert over_road[:, 2].min() == pytest.approx(5.2, abs=1e-4)
    posts = mesh.vertices[mesh.vertices[:, 2] < 0.5]
    assert (np.abs(posts[:, 1]) > half + 0.5).all() and set(np.sign(posts[:, 1])) == {-1, 1}
