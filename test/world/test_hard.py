"""What photometry fails on: drawn where it was asked for, and the truth of which pixels it is."""

from dataclasses import replace

import numpy as np
import pytest

from depth_perception.bag import Bag
from depth_perception.decode import image as decoded
from depth_perception.frame import BadInput
from depth_perception.geometry import pose
from depth_perception.world import hard as hardness
from depth_perception.world.appearance import Appearance
from depth_perception.world.drive import Config, Trajectory, drive, film
from depth_perception.world.flicker import NOTICEABLE, Flicker, FlickerAt
from depth_perception.world.hard import Hard, asked
from depth_perception.world.light import Film
from depth_perception.world.mesh import Material, box
from depth_perception.world.recording import record
from depth_perception.world.sensors import FULL, Camera, Lidar, photograph
from depth_perception.world.street import Actor
from depth_perception.world.styles import Styles
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Tracer
from depth_perception.world.vehicles import car

SMALL = Camera(160, 96, fov=70.0, mount=1.5, forward=0.0)
CLEAR = Appearance(haze=1e9, noise=0.0, vignette=0.0)
TINY = Config(seconds=0.3, seed=5, camera=Camera(96, 48), lidar=Lidar(rings=8, columns=90))


def painted(*colours):
    styles = Styles(np.random.default_rng(0))
    for colour in ((0.5, 0.5, 0.5), *colours):
        styles.add(colour, 2.0, 3.0)
    return styles


def seen(street, *, look=CLEAR, detail=FULL, flicker=None):
    calibration = SMALL.calibration(None)
    return calibration, photograph(Tracer(street.mesh), street, calibration, calibration.T_base_camera, look, Noise(0), detail, flicker)


def standing(seconds=1.0):
    path = Trajectory(np.random.default_rng(3), seconds, 10.0)
    path._s = np.zeros_like(path._s)
    return path


def test_words_and_flags():
    assert asked("") == 0 and asked("flicker,moving") == Hard.FLICKER | Hard.MOVING
    with pytest.raises(BadInput, match="'night'"):
        asked("moving,night")


def test_the_mask_covers_exactly_the_moving_car(street_of):
    styles = painted()
    (mesh, size), (other, other_size) = (car("wagon", np.random.default_rng(k), styles) for k in (1, 2))
    actors = (Actor("Car", mesh, size, 1, 14.0, 8.0, 1.75, -1), Actor("Car", other, other_size, 2, 18.0, 0.0, -3.0, 1))
    config = Config(seconds=0.1, camera=SMALL, lidar=None, hard=Hard.MOVING)

    def depth_and_mask(*cars):
        street = street_of(actors=cars, styles=styles)
        (moment,) = film(config, street, standing(), lane=-1.75, camera=SMALL, look=CLEAR)
        return moment.depth, moment.hard & Hard.MOVING > 0

    both, mask = depth_and_mask(*actors)
    without, none = depth_and_mask(actors[1])
    changed = ~np.isclose(both, without, equal_nan=True)
    assert changed.sum() > 200 and not none.any(), "a car that stands does not move"
    np.testing.assert_array_equal(mask, changed)


def test_a_car_that_crosses_looks_where_it_goes(street_of):
    styles = painted()
    mesh, size = car("sedan", np.random.default_rng(1), styles)
    crossing = Actor("Car", mesh, size, 1, 15.0, 0.0, -4.0, 1, across=8.0)
    street = street_of(actors=(crossing,), styles=styles)
    config = Config(seconds=0.6, camera=SMALL, lidar=None, hard=Hard.MOVING)
    moments = list(film(config, street, standing(), lane=0.0, camera=SMALL, look=CLEAR))
    lefts = [(moment.boxes[0].T @ [0, 0, 0, 1])[1] for moment in moments]
    np.testing.assert_allclose(np.diff(lefts), 0.8, atol=1e-3)
    np.testing.assert_allclose(moments[0].boxes[0].T[:3, 0], [0, 1, 0], atol=0.02)
    columns = [np.flatnonzero((moment.hard & Hard.MOVING).any(0)).mean() for moment in moments]
    assert (np.diff(columns) < -3).all(), "to the left"


def test_a_mirror_shows_what_stands_behind_the_camera_and_keeps_its_own_depth(street_of):
    """A wall of glass 20 m ahead mirrors a red block 10 m behind: it is seen where a block 50 m ahead would be."""
    styles = painted((0.03, 0.03, 0.03), (0.8, 0.02, 0.02))
    glass = box((20.0, -60.0, -1.0), (21.0, 60.0, 60.0), Material.CURTAIN, 1)
    block = box((-12.0, -6.0, 3.0), (-10.0, -2.0, 9.0), Material.BARE, 2)
    mirrors = replace(FULL, mirrors=True)
    calibration, empty = seen(street_of(glass, styles=styles), detail=mirrors)
    _, filled = seen(street_of(glass, block, styles=styles), detail=mirrors)
    np.testing.assert_array_equal(filled.depth, empty.depth)
    change = filled.light - empty.light
    K = calibration.K
    (u0, u1), (v0, v1) = ([K[k, 2] + K[k, k] * x / 50.0 for x in ends] for k, ends in ((0, (2.0, 6.0)), (1, (-7.5, -1.5))))
    v, u = np.mgrid[:96, :160]
    # What the mirrored light is worth depends on the frames of the panes: only where the glass is whole.
    whole = filled.hard & Hard.REFLECTING > 0
    inside = (u > u0 + 1) & (u < u1 - 1) & (v > v0 + 1) & (v < v1 - 1) & whole
    outside = ((u < u0 - 1) | (u > u1 + 1) | (v < v0 - 1) | (v > v1 + 1)) & (v < K[1, 2] - 8)
    assert inside.sum() > 40
    np.testing.assert_allclose(change[outside], 0, atol=1e-5)
    assert (np.abs(change[inside]).max(-1) > 0.02).all()
    _, alone = seen(street_of(glass, styles=styles))
    red = filled.light[inside]
    assert (red[:, 0] > 3 * red[:, 2]).mean() > 0.9, "the mirrored block is red"
    assert not (alone.hard & Hard.REFLECTING).any(), "no mirror rays, no mirrors"


def test_a_wet_road_mirrors_the_wall_beyond_it(street_of):
    styles = painted((0.02, 0.8, 0.02))
    wall = box((25.0, -60.0, -1.0), (26.0, 60.0, 60.0), Material.BARE, 1)
    dry = street_of(wall, styles=styles)
    wet = replace(dry, look=replace(dry.look, wet=0.9))
    mirrors = replace(FULL, mirrors=True)
    (_, before), (_, after) = seen(dry, detail=mirrors), seen(wet, detail=mirrors)
    np.testing.assert_array_equal(before.depth, after.depth)
    puddle = after.hard & Hard.REFLECTING > 0
    road = np.zeros_like(puddle)
    road[60:, 76:84] = True
    assert not (before.hard & Hard.REFLECTING)[road].any() and puddle[road].mean() > 0.4
    at = after.light[puddle & road]
    assert (at[:, 1] > 1.5 * at[:, 0]).all(), "the road shows the green wall"
    np.testing.assert_allclose(after.depth[puddle & road], before.depth[puddle & road])


def test_flicker_changes_pictures_and_not_the_world():
    config = replace(TINY, seconds=0.5)
    for plain, flickering in zip(drive(config), drive(replace(config, hard=Hard.FLICKER)), strict=True):
        np.testing.assert_array_equal(plain.depth, flickering.depth)
        np.testing.assert_array_equal(plain.markings, flickering.markings)
        np.testing.assert_array_equal(plain.T_odom_base, flickering.T_odom_base)
        np.testing.assert_array_equal(plain.frame.scan.points, flickering.frame.scan.points)
        assert np.abs(plain.frame.image.astype(int) - flickering.frame.image).mean() > 2
        assert plain.hard is None and flickering.hard is not None


def test_flickering_pixels_are_those_whose_light_changes(street_of):
    street = street_of(box((14.0, -4.0, 0.0), (15.0, 0.0, 3.0)), box((20.0, 2.0, 0.0), (24.0, 5.0, 4.0)))
    flicker = Flicker(np.random.default_rng(4), CLEAR, Noise(0), lambda t: np.eye(4), seconds=2.0)
    lights = [seen(street, flicker=FlickerAt(flicker, t, 0.1))[1] for t in (0.9, 1.0, 1.1)]
    now = lights[1]
    on = np.isfinite(now.depth)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = [np.abs(np.log(now.light[..., 1] / other.light[..., 1])) for other in (lights[0], lights[2])]
    expected = np.maximum(*steps) > np.log(NOTICEABLE)
    mask = now.hard & Hard.FLICKER > 0
    assert 0.03 < mask[on].mean() < 0.8
    assert (mask == expected)[on].mean() > 0.999 and not mask[~on].any()


def test_the_exposure_hunts_by_what_cameras_do():
    for seed in range(5):
        flicker = Flicker(np.random.default_rng(seed), CLEAR, Noise(0), lambda t: np.eye(4), seconds=10.0)
        steps = np.abs(np.diff([flicker.stops(t) for t in np.arange(0, 10, 0.1)]))
        assert 0.03 < np.median(steps) < 0.4 and 0.4 < steps.max() < 2.0


def test_texture_less_pixels_have_no_gradient(street_of):
    styles = painted((0.4, 0.5, 0.3))
    wall = [(12.0, -60.0, -1.0), (13.0, 60.0, 60.0)]
    _, bare = seen(street_of(box(*wall, Material.BARE, 1), styles=styles))
    _, bricks = seen(street_of(box(*wall, Material.MASONRY, 1), styles=styles))
    np.testing.assert_array_equal(bare.depth, bricks.depth)
    mask = bare.hard & Hard.TEXTURELESS > 0
    on_wall = np.abs(bare.depth - 12.0) < 1e-3
    assert mask[on_wall].mean() > 0.9 and not mask[~on_wall].any() and not (bricks.hard & Hard.TEXTURELESS).any()
    pair = mask[:, 1:] & mask[:, :-1]
    light = bare.light.mean(-1)
    assert (np.abs(np.diff(light, axis=1))[pair] <= 0.01 * light[:, 1:][pair]).all()
    picture = Film(CLEAR, 0).develop(bare.light).astype(int)
    inner = mask.copy()
    for axis in (0, 1):
        for step in (-4, 4):
            inner &= np.roll(mask, step, axis)
    pair = inner[:, 1:] & inner[:, :-1]
    assert pair.sum() > 2000 and np.abs(np.diff(picture, axis=1))[pair].max() <= 1


def test_a_shadow_on_a_bare_wall_is_texture():
    light, bare = np.full((5, 6, 3), 0.5), np.ones((5, 6), bool)
    light[:, 3:] = 0.3
    even = hardness.even(light, bare)
    np.testing.assert_array_equal(even.all(0), [True, True, False, False, True, True])
    np.testing.assert_array_equal(even.any(0), even.all(0))


def test_hard_traffic_is_plentiful_and_drives_through_nothing(monkeypatch):
    from depth_perception.world import drive as driving

    made = []

    def remembered(*args, make=driving.random_street, **options):
        made.append((make(*args, **options), options["car"]))
        return made[-1][0]

    monkeypatch.setattr(driving, "random_street", remembered)
    config = replace(TINY, seconds=2.0, rate=2.0, lidar=None)
    shares = [np.mean([(m.hard & Hard.MOVING > 0).mean() for m in drive(replace(config, hard=h))]) for h in (Hard.MOVING, Hard.TEXTURELESS)]
    assert shares[0] > 0.04 and shares[0] > 2 * shares[1]
    street, own = made[0]
    cars = [actor for actor in street.actors if actor.label in ("Car", "Van", "Truck")]
    assert any(actor.across for actor in cars) and any(actor.follows for actor in cars) and any(actor.facing < 0 for actor in cars)
    sizes = np.array([actor.size[1::-1] if actor.across else actor.size[:2] for actor in cars])
    for t in np.arange(0.0, 2.0, 0.25):
        at = np.array([actor.at(t, own.s(t)) for actor in cars])
        gaps = (np.abs(at[:, None] - at[None]) - 0.5 * (sizes[:, None] + sizes[None])).max(-1)
        assert (gaps > 0)[~np.eye(len(cars), dtype=bool)].all()


def test_the_bag_says_which_pixels(tmp_path):
    config = replace(TINY, seconds=0.2, hard=asked("moving,flicker,reflections,textureless"))
    moments = list(drive(config))
    record(tmp_path / "hard", moments)
    bag = Bag(tmp_path / "hard")
    found = [decoded(bag.decode(kind, raw))[..., 0] for _, kind, _, raw in bag.messages(["/truth/hard"])]
    np.testing.assert_array_equal(found, [moment.hard for moment in moments])
    assert np.array(found).any()
    record(tmp_path / "again", drive(config))
    one, other = (next((tmp_path / name).glob("*.mcap")).read_bytes() for name in ("hard", "again"))
    assert one == other
    record(tmp_path / "plain", drive(TINY))
    assert "/truth/hard" not in Bag(tmp_path / "plain").topics


def test_a_sky_that_is_mirrored_moves_with_the_viewer(street_of):
    """The same place of a puddle sends another light when it is looked at from elsewhere: what breaks photometry."""
    styles = painted((0.8, 0.02, 0.02))
    wall = box((40.0, -3.0, -1.0), (41.0, 3.0, 5.0), Material.BARE, 1)
    street = street_of(wall, styles=styles)
    street = replace(street, look=replace(street.look, wet=0.98, rough=0.0, stains=0.0))
    calibration, tracer = SMALL.calibration(None), Tracer(street.mesh)
    K, greens = calibration.K, []
    for forward in (0.0, 17.5):
        T = pose.from_rotation_vector(np.zeros(3), np.array([forward, 0.0, 0.0])) @ calibration.T_base_camera
        picture = photograph(tracer, street, calibration, T, CLEAR, Noise(0), replace(FULL, mirrors=True))
        z = 22.0 - forward  # one place on the road, 22 m down the road: first it mirrors the wall's foot, then the sky above the wall
        v, u = round(K[1, 2] + K[1, 1] * 1.5 / z), round(K[0, 2])
        assert abs(picture.depth[v, u] / z - 1) < 0.1
        red, green, _ = picture.light[v, u]
        greens.append(green / red)
    assert greens[0] < 0.8 < greens[1]
