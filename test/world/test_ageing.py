"""Old roads: what is left of the paint is said of every pixel, and is what the picture shows."""

from dataclasses import replace

import numpy as np
import pytest

from depth_perception.frame import BadInput
from depth_perception.world import ageing
from depth_perception.world.ageing import VISIBLE, Aged, aged, asked, left, repaired
from depth_perception.world.appearance import Appearance, harsh, random_appearance
from depth_perception.world.drive import Config, drive
from depth_perception.world.paint import Line, Paint
from depth_perception.world.sensors import Camera, photograph
from depth_perception.world.street import Ageing
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Tracer

TINY = Camera(208, 64)
ALL = Aged.WORN | Aged.FADED | Aged.WET | Aged.SHADOWED | Aged.PATCHED
LINES = Paint((Line(0.0, 1.5, 0, 0), Line(-3.0, 0.8, 0, 0)), (), np.full(3, 0.8, np.float32), 0.0)
FAINT = Appearance(sunlight=0.0)


def seen(street, look=FAINT):
    calibration = Camera(400, 120, mount=1.6, forward=0.0).calibration(None)
    return photograph(Tracer(street.mesh), street, calibration, calibration.T_base_camera, look, Noise(0))


def test_words_become_flags_and_others_are_refused():
    assert asked("worn,wet") == Aged.WORN | Aged.WET and asked("") == Aged(0)
    with pytest.raises(BadInput, match=r"road: wanted some of worn,faded,wet,shadowed,patched, got 'old'"):
        asked("worn,old")


def test_a_new_road_says_nothing_of_wear_and_an_aged_one_all(street_of):
    street = street_of(paint=LINES)
    assert seen(street).wear is None
    picture = seen(replace(street, ageing=Ageing(worn=0.6)))
    assert picture.wear.dtype == np.uint8 and picture.wear.shape == picture.markings.shape
    assert (picture.wear[picture.markings == 0] == 0).all()
    assert np.array_equal(picture.markings, seen(street).markings), "what was painted stays what was painted"
    values = picture.wear[picture.markings > 0]
    assert min((values < 40).sum(), (values > 215).sum()) > 10, "rubbed off in spots, whole in others"


def test_the_picture_is_as_bright_as_paint_is_left(street_of):
    street = street_of(paint=LINES)
    whole = seen(street).light.mean(-1)
    bare = seen(replace(street, paint=replace(LINES, lines=()))).light.mean(-1)
    for what in (Ageing(worn=0.7), Ageing(faded=0.7)):
        picture = seen(replace(street, ageing=what))
        inside = np.zeros(bare.shape, bool)
        inside[1:-1, 1:-1] = True
        covered = (picture.markings > 0) & (whole > 0.9 * whole[picture.markings > 0].max()) & inside
        share = (picture.light.mean(-1) - bare)[covered] / (whole - bare)[covered]
        np.testing.assert_allclose(share, picture.wear[covered] / 255, atol=0.03)
        assert covered.sum() > 500 and np.ptp(share) > 0.1


def test_repairs_cover_paint_and_darken_the_road(street_of):
    street, s, d = street_of(paint=LINES), np.linspace(0, 400, 4000), np.zeros(4000)
    what, fine = Ageing(patched=0.6), np.full(4000, 0.01)
    patch = repaired(what, s, d, blur=fine)
    assert 0.02 < patch.mean() < 0.7 and set(np.unique(patch[patch % 1 == 0])) == {0.0, 1.0}
    np.testing.assert_allclose(left(replace(street, ageing=what), s, d, Noise(0), blur=fine), 1 - patch, atol=1e-6)
    old = seen(replace(street, paint=replace(LINES, lines=()), ageing=what)).light
    new = seen(replace(street, paint=replace(LINES, lines=()))).light
    assert (old <= new + 1e-6).all() and (old < 0.7 * new).any()


def test_shade_takes_sun_away_and_leaves_the_sky(street_of):
    street = street_of(paint=LINES)
    dark = replace(street, ageing=Ageing(shadowed=0.9))
    sunny = Appearance(clouds=0.0)
    assert (seen(dark, sunny).light <= seen(street, sunny).light + 1e-6).all()
    assert seen(dark, sunny).light.mean() < 0.93 * seen(street, sunny).light.mean()
    np.testing.assert_array_equal(seen(dark).light, seen(street).light)
    assert (seen(dark).wear[seen(dark).markings > 0] > 250).all(), "shade wears nothing"


def test_wet_roads_are_under_water_and_nothing_else_changes(street_of):
    street = street_of(paint=LINES)
    wet = aged(street, Aged.WET, np.random.default_rng(0))
    assert wet.look.wet > 0 and wet.ageing == Ageing() and aged(street, Aged(0), np.random.default_rng(0)) is street
    both = aged(street, Aged.WET | Aged.WORN, np.random.default_rng(0))
    assert both.look.wet == wet.look.wet, "a further word draws nothing anew"


def test_a_drive_on_an_old_road_is_the_same_drive_with_less_paint():
    options = {"seconds": 0.2, "rate": 5, "seed": 12, "camera": TINY, "lidar": None, "appearance": "varied", "setting": "city"}
    (new,), (old,), (again,) = (list(drive(Config(**options, road=road))) for road in (Aged(0), ALL, ALL))
    assert new.painted is None and new.wear is None
    assert np.array_equal(old.painted, new.markings) and np.array_equal(old.depth, new.depth, equal_nan=True)
    visible = old.wear >= 255 * VISIBLE
    assert np.array_equal(old.markings[old.markings > 0], old.painted[old.markings > 0]) and not (old.markings > 0)[~visible].any()
    assert (old.markings > 0)[visible & (old.painted > 0)].mean() > 0.5, "puddles hide some of it"
    assert 0 < (old.markings > 0).sum() < (new.markings > 0).sum()
    assert not np.array_equal(old.frame.image, new.frame.image) and np.array_equal(old.frame.image, again.frame.image)


def test_a_poor_camera_is_another_one_in_the_same_weather():
    look = random_appearance(np.random.default_rng(5))
    poor = harsh(look, np.random.default_rng(6))
    assert poor.sun == look.sun and poor.clouds == look.clouds
    assert poor.contrast < 0.9 and poor.noise >= 3 and poor.haze <= look.haze
    (moment,) = drive(Config(seconds=0.1, seed=4, camera=TINY, lidar=None, appearance="harsh"))
    assert moment.frame.image.std() > 3


def test_shade_moves_with_the_sun_not_with_the_height():
    sun, points = np.array([0.6, 0.0, 0.8]), np.random.default_rng(0).uniform(-20, 20, (500, 3))
    lifted = points + 2.0 * np.array([0.75, 0.0, 1.0])
    what, noise = Ageing(shadowed=0.7), Noise(1)
    np.testing.assert_allclose(ageing.shade(what, points, sun, noise), ageing.shade(what, lifted, sun, noise), atol=1e-3)
