"""A jam is dense, close and heavy, runs into nobody, and changes nothing where none was asked for."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from depth_perception.frame import BadInput
from depth_perception.geometry import pose
from depth_perception.world import drive as driving
from depth_perception.world.appearance import Appearance
from depth_perception.world.drive import Config, _inside, drive
from depth_perception.world.hard import asked
from depth_perception.world.jam import glaring
from depth_perception.world.layout import random_street
from depth_perception.world.sensors import Camera, Lidar
from depth_perception.world.traffic import CarAhead

SMALL = Config(seconds=3.0, rate=0.3, camera=Camera(32, 16), lidar=None, appearance="varied", traffic="jam")
SEEDS = range(16)
US = np.array([4.7, 1.9])


@pytest.fixture(scope="module")
def jams():
    """Streets with the way of the car through them."""
    made, original = [], driving.random_street

    def remembered(*args, **options):
        street = original(*args, **options)
        middle = -(min(options["lane"], street.road.lanes[0] - 1) + 0.5) * street.road.lane_width
        made.append(SimpleNamespace(street=street, s=options["car"].s, own=middle))
        return street

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driving, "random_street", remembered)
        for seed in SEEDS:
            next(drive(replace(SMALL, seed=seed)))
    return made


def vehicles(jam):
    return [actor for actor in jam.street.actors if actor.label in ("Car", "Van", "Truck")]


def places(jam, t):
    """(N, 2) road coordinates of all vehicles from our car's middle, (N, 2) their lengths and widths."""
    at = np.array([actor.at(t, jam.s(t)) for actor in vehicles(jam)])
    return at - [jam.s(t) + 1.35, jam.own], np.array([actor.size[:2] for actor in vehicles(jam)])


def test_nobody_runs_into_anybody(jams):
    for jam in jams:
        for t in np.arange(0.0, 3.01, 0.25):
            at, sizes = places(jam, t)
            gaps = (np.abs(at[:, None] - at[None]) - 0.5 * (sizes[:, None] + sizes[None])).max(-1)
            assert (gaps > 0)[~np.eye(len(at), dtype=bool)].all()
            assert (np.abs(at) - 0.5 * (sizes + US)).max(-1).min() > 0.3, "nor into us"


def test_most_jams_have_a_lorry_right_beside_us(jams):
    beside, gaps = 0, []
    for jam in jams:
        at, sizes = places(jam, 0.0)
        large = np.array([actor.size[0] > 6 and actor.size[2] > 2.3 for actor in vehicles(jam)])
        lateral = np.abs(at[:, 1]) - 0.5 * (sizes[:, 1] + US[1])
        near = large & (lateral > 0) & (lateral < 2.0) & (at[:, 0] + 0.5 * sizes[:, 0] > 3) & (at[:, 0] - 0.5 * sizes[:, 0] < 5)
        beside += near.any()
        gaps += list(lateral[near])
    assert beside >= 0.6 * len(jams)
    assert min(gaps) > 0.4


def test_somebody_is_close_ahead_and_every_jam_is_another(jams):
    ahead = []
    for jam in jams:
        at, sizes = places(jam, 0.0)
        gap = at[:, 0] - 0.5 * (sizes[:, 0] + US[0])
        ahead.append(gap[(np.abs(at[:, 1]) < 1.0) & (gap > 0)].min())
    assert max(ahead) < 15 and np.mean(np.array(ahead) < 6) > 0.4 and np.std(ahead) > 1
    assert len({jam.street.road.lanes for jam in jams}) > 1
    ways = [jam.s(3.0) for jam in jams]
    assert min(ways) < 4 and max(ways) < 21 and np.std(ways) > 2


def test_all_lanes_have_queues(jams):
    for jam in jams:
        road = jam.street.road
        lanes = np.floor(np.array([actor.d for actor in vehicles(jam)]) / road.lane_width)
        assert set(lanes) == set(range(-road.lanes[0], road.lanes[1]))


def test_returns_from_our_lane_lie_on_boxes():
    found = 0
    for seed in range(3):
        config = replace(SMALL, seed=seed, lidar=Lidar(rings=48, columns=720, noise=0.0), setting="suburb")
        moment = next(drive(config))
        points = pose.transform(config.lidar.T_base_lidar(moment_camera(moment, config)), moment.frame.scan.points)
        lane = points[((points > [3.8, -1.2, 0.5]) & (points < [20.0, 1.2, 3.5])).all(1)]
        counts = [_inside(box, lane, 0.2) for box in moment.boxes]
        assert sum(counts) >= len(lane)
        found += len(lane)
    assert found > 300


def moment_camera(moment, config):
    """The camera that the seed drew, as far as the LiDAR's place depends on it."""
    T = moment.frame.calibration.T_base_camera
    return replace(config.camera, forward=float(T[0, 3]), mount=float(T[2, 3]))


def test_a_seed_is_a_jam():
    config = replace(SMALL, seed=3, lidar=Lidar(rings=8, columns=120))
    once, again = next(drive(config)), next(drive(config))
    np.testing.assert_array_equal(once.frame.image, again.frame.image)
    np.testing.assert_array_equal(once.frame.scan.points, again.frame.scan.points)
    other = next(drive(replace(config, seed=4)))
    assert not np.array_equal(once.frame.image, other.frame.image)


def test_glare_is_in_the_light_and_not_in_the_camera():
    look = Appearance()
    looks = [glaring(look, np.random.default_rng(seed)) for seed in range(60)]
    glared = [one for one in looks if one != look]
    assert 25 < len(glared) < 55
    for one in glared:
        assert one.sky > 2 and one.skylight < look.skylight and (one.blur, one.noise, one.white) == (look.blur, look.noise, look.white)


def test_another_word_is_refused():
    with pytest.raises(BadInput, match="traffic: wanted one of ordinary, mixed, jam, got 'rush'"):
        Config(traffic="rush")


@pytest.mark.parametrize(
    ("setting", "hard", "triangles", "actors", "parked", "along", "styles"),
    [
        ("city", "", 394867, 27, 34, 2452.825053, 1982.535),
        ("suburb", "moving,reflections", 406996, 46, 58, 5785.179336, 2310.8526),
        ("highway", "", 1525476, 29, 0, 3395.29743, 1323.6421),
    ],
)
def test_ordinary_streets_are_what_they_were_before_there_were_jams(setting, hard, triangles, actors, parked, along, styles):
    car = CarAhead(lambda t: 8 * t, lambda s: s / 8)
    rng = np.random.default_rng(8)
    street = random_street(rng, length=20.0, duration=2.0, setting=setting, lane=1, hard=asked(hard), car=car)
    assert (len(street.mesh.triangles), len(street.actors), len(street.boxes)) == (triangles, actors, parked)
    assert sum(actor.s0 for actor in street.actors) == pytest.approx(along, abs=1e-4)
    assert street.styles.sum(dtype=np.float64) == pytest.approx(styles, rel=1e-6)
