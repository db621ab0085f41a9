"""Mixed traffic has lorries, cyclists and people in numbers, runs into nobody, and changes nothing where it was not asked for."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from depth_perception.world import drive as driving
from depth_perception.world.drive import Config, drive
from depth_perception.world.sensors import Camera, Lidar

SMALL = Config(seconds=3.0, rate=0.3, camera=Camera(32, 16), lidar=None, appearance="varied")
SEEDS = range(12)
US = np.array([4.7, 1.9])


def streets(traffic):
    """Streets with the way of the car through them."""
    made, original = [], driving.random_street

    def remembered(*args, **options):
        street = original(*args, **options)
        middle = -(min(options["lane"], street.road.lanes[0] - 1) + 0.5) * street.road.lane_width
        made.append(SimpleNamespace(street=street, s=options["car"].s, own=middle, setting=options["setting"]))
        return street

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driving, "random_street", remembered)
        for seed in SEEDS:
            next(drive(replace(SMALL, seed=seed, traffic=traffic)))
    return made


@pytest.fixture(scope="module")
def mixed():
    return streets("mixed")


@pytest.fixture(scope="module")
def ordinary():
    return streets("ordinary")


def counted(made):
    return Counter(actor.label for one in made for actor in one.street.actors)


def test_there_are_lorries_cyclists_and_people_in_numbers(mixed, ordinary):
    now, before = counted(mixed), counted(ordinary)
    assert now["Truck"] > 3 * before["Truck"] and now["Truck"] > 3 * len(mixed)
    assert now["Cyclist"] > 3 * before["Cyclist"] and now["Cyclist"] > 2 * len(mixed)
    assert now["Pedestrian"] > before["Pedestrian"] + 2 * len(mixed)
    assert now["Car"] >= 0.9 * before["Car"], "the cars stay"


def test_a_highway_has_lorries_and_nobody_on_foot():
    added = []
    for seed in range(3):
        for traffic in ("mixed", "ordinary"):
            made, original = [], driving.random_street
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(driving, "random_street", lambda *a, o=original, m=made, **k: m.append(o(*a, **k)) or m[-1])
                next(drive(replace(SMALL, seed=seed, traffic=traffic, setting="highway")))
            added.append(Counter(actor.label for actor in made[0].actors))
    for now, before in zip(added[::2], added[1::2], strict=True):
        assert now["Pedestrian"] == before["Pedestrian"] and now["Cyclist"] == before["Cyclist"]
        assert now["Truck"] > before["Truck"]


def test_what_is_added_runs_into_nobody(mixed, ordinary):
    checked = 0
    for one, before in zip(mixed, ordinary, strict=True):
        added = np.array([actor.track for actor in one.street.actors]) > max((actor.track for actor in before.street.actors), default=-1)
        assert added.any()
        for t in np.arange(0.0, 3.01, 0.25):
            at = np.array([actor.at(t, one.s(t)) for actor in one.street.actors])
            sizes = np.array([actor.size[1::-1] if actor.across else actor.size[:2] for actor in one.street.actors])
            gaps = (np.abs(at[:, None] - at[None]) - 0.5 * (sizes[:, None] + sizes[None])).max(-1)
            pairs = (added[:, None] | added[None]) & ~np.eye(len(at), dtype=bool)
            assert gaps[pairs].min() > 0
            from_us = (np.abs(at - [one.s(t) + 1.4, one.own]) - 0.5 * (sizes + US)).max(-1)
            assert from_us[added].min() > 0, "nor into us"
            checked += pairs.sum()
    assert checked > 1000


def test_a_seed_is_a_drive():
    config = replace(SMALL, seed=3, lidar=Lidar(rings=8, columns=120), traffic="mixed")
    once, again = next(drive(config)), next(drive(config))
    np.testing.assert_array_equal(once.frame.image, again.frame.image)
    np.testing.assert_array_equal(once.frame.scan.points, again.frame.scan.points)
    ordinary = next(drive(replace(config, traffic="ordinary")))
    assert not np.array_equal(once.frame.image, ordinary.frame.image)
