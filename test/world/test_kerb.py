"""Stones at the road's edge lie where they are said to, are as light as they are said to be, and are no markings."""

from dataclasses import replace

import numpy as np
import pytest

from depth_perception.world.drive import Config, drive
from depth_perception.world.ground_colour import ground
from depth_perception.world.kerb import LIGHTEST, Kerb, random_kerb
from depth_perception.world.points import Points
from depth_perception.world.sensors import Camera
from depth_perception.world.texture import Noise

HALF = 3.5  # of the road of conftest
STONES = Kerb(width=0.2, tone=2.0, gutter=0.4, gutter_tone=1.5, stone=1e6, flush=True)


def across(street, d, s=20.0):
    """(N, 3) albedo and (N,) class on a line across the road, seen from straight above."""
    n = len(d)
    coords = np.stack([np.full(n, s), d, np.zeros(n)], 1)
    zeros = np.zeros(n, np.int64)
    return ground(Points(coords, coords, np.tile([0.0, 0, 1], (n, 1)), zeros, zeros, np.full(n, 0.001), np.ones(n)), street, Noise(0))


@pytest.mark.parametrize("side", [-1, 1])
def test_kerb_and_gutter_lie_at_the_roads_edge_and_are_no_markings(street_of, side):
    street = street_of()
    street = replace(street, look=replace(street.look, kerb=STONES))
    assert street.road.half == HALF
    d = side * np.array([HALF - 0.5, HALF - 0.3, HALF - 0.05, HALF + 0.1, HALF + 0.3])
    albedo, kind = across(street, d)
    assert np.allclose(albedo[1:3], 1.5 * 0.2) and np.allclose(albedo[3], 2.0 * 0.2)
    assert albedo[0].max() < 0.3 and albedo[4].max() < 0.3, "asphalt before them, slabs behind"
    assert not kind.any()


def test_without_a_step_only_flush_stones_lie_there_and_none_in_a_side_street(street_of):
    street = street_of(crossings=np.array([[40.0, 4.0]]))
    with_step = replace(street, look=replace(street.look, kerb=replace(STONES, flush=False)))
    flush = replace(street, look=replace(street.look, kerb=STONES))
    d = np.array([HALF + 0.1, HALF - 0.2])
    assert np.allclose(across(flush, d)[0], [[0.4], [0.3]])
    assert across(with_step, d)[0][0].max() < 0.3
    assert across(flush, d, s=40.0)[0].max() < 0.28


def test_they_are_drawn_from_dark_to_nearly_as_light_as_paint():
    drawn = [random_kerb(np.random.default_rng(seed)) for seed in range(200)]
    assert min(k.tone for k in drawn) < 0.7 and max(k.tone for k in drawn) > 2.1
    assert 0.3 < np.mean([k.gutter > 0 for k in drawn]) < 0.7 and 0.2 < np.mean([k.flush for k in drawn]) < 0.6


def test_the_lightest_stone_is_darker_than_paint(street_of):
    street = street_of()
    look = replace(street.look, pavement=np.full(3, 0.5, np.float32), kerb=replace(STONES, tone=2.2, gutter_tone=2.2))
    albedo, _ = across(replace(street, look=look), np.array([HALF + 0.1, HALF - 0.2]))
    assert np.allclose(albedo, LIGHTEST) and street.paint.colour.min() > LIGHTEST


def test_varied_drives_have_their_own_and_the_default_street_keeps_its(monkeypatch):
    laid = []

    def film(config, street, *rest, **also):
        laid.append(street.look.kerb)
        return iter(())

    monkeypatch.setattr("depth_perception.world.drive.film", film)
    for seed, appearance in ((1, "default"), (1, "varied"), (2, "harsh"), (1, "varied")):
        list(drive(Config(seconds=0.5, seed=seed, appearance=appearance, camera=Camera(64, 32), lidar=None)))
    assert laid[0] == Kerb() and laid[1] == laid[3] and len({*laid}) == 3
