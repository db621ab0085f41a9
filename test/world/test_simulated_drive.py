"""Poses, depth, boxes and scans of a drive agree with each other, and a seed is a drive."""

from dataclasses import replace

import numpy as np
import pytest

from depth_perception.frame import BadInput
from depth_perception.geometry import camera as pinhole
from depth_perception.geometry import pose
from depth_perception.world.appearance import Appearance
from depth_perception.world.drive import Config, Trajectory, _inside, drive, film
from depth_perception.world.layout import random_street
from depth_perception.world.plan import SETTINGS
from depth_perception.world.sensors import Camera, Lidar
from depth_perception.world.street import Actor, Box
from depth_perception.world.styles import Styles, move
from depth_perception.world.vehicles import car

TINY = Camera(200, 64)
FEW = Lidar(rings=48, columns=720, noise=0.0)


def steady(seconds=2.0):
    return Trajectory(np.random.default_rng(3), seconds, 10.0)


def test_the_true_pose_carries_points_from_image_to_image():
    config, path = Config(seconds=0.2, camera=Camera(320, 96), lidar=None), steady()
    street = replace(random_street(np.random.default_rng(4), length=path.length, duration=1.0, setting="residential"), actors=())
    first, second = film(config, street, path, lane=-1.5, camera=config.camera, look=Appearance())
    calibration = first.frame.calibration
    T_base_camera = calibration.T_base_camera
    T_second_first = pose.inverse(second.T_odom_base @ T_base_camera) @ first.T_odom_base @ T_base_camera
    assert np.linalg.norm(T_second_first[:3, 3]) > 0.2
    points = (pinhole.rays(calibration.K, height=96, width=320) * first.depth[..., None]).reshape(-1, 3)
    points = pose.transform(T_second_first, points[np.isfinite(points[:, 2]) & (points[:, 2] < 40)].astype(np.float64))
    pixels, z = pinhole.project(calibration.K, points)
    u, v = np.rint(pixels).astype(int).T
    inside = (u >= 1) & (u < 319) & (v >= 1) & (v < 95) & (z > 0.5)
    u, v, z = u[inside], v[inside], z[inside]
    around = np.stack([second.depth[v + a, u + b] for a in (-1, 0, 1) for b in (-1, 0, 1)])
    smooth = np.isfinite(around).all(0) & (around.max(0) - around.min(0) < 0.1 * z)
    assert smooth.sum() > 3000
    error = np.abs(second.depth[v, u][smooth] / z[smooth] - 1)
    assert np.mean(error < 0.05) > 0.97


def test_odometry_starts_at_its_origin_and_its_twist_is_its_derivative():
    moments = list(drive(Config(seconds=0.5, seed=2, rate=20, camera=Camera(32, 16), lidar=None)))
    np.testing.assert_allclose(moments[0].T_odom_base, np.eye(4), atol=1e-12)
    step = pose.inverse(moments[4].T_odom_base) @ moments[6].T_odom_base
    np.testing.assert_allclose(step[:3, 3] / 0.1, moments[5].twist[:3], atol=0.05)
    np.testing.assert_allclose(pose.log_so3(step[:3, :3]) / 0.1, moments[5].twist[3:], atol=0.02)
    assert moments[5].twist[0] > 1.0


def test_a_box_holds_the_points_of_its_car(street_of):
    styles = Styles(np.random.default_rng(0))
    styles.add((0.5, 0.5, 0.5))
    mesh, size = car("wagon", np.random.default_rng(1), styles)
    oncoming = Actor("Car", mesh, size, 7, 22.0, 8.0, 1.75, -1)
    parked, parked_size = car("suv", np.random.default_rng(2), styles)
    T = move(16.0, -4.5, 0.0, 0.3)
    street = street_of(
        parked.moved(T), boxes=[Box("Car", T @ move(0, 0, parked_size[2] / 2), parked_size, 3)], actors=[oncoming], styles=styles
    )
    config = Config(seconds=0.1, camera=TINY, lidar=FEW)
    (moment,) = film(config, street, steady(), lane=-1.75, camera=TINY, look=Appearance())
    assert sorted((box.label, box.track) for box in moment.boxes) == [("Car", 3), ("Car", 7)]
    points = pose.transform(FEW.T_base_lidar(TINY), moment.frame.scan.points)
    high = points[(points[:, 2] > 0.35) & (points[:, 0] > 5)]  # the road is empty but for the two cars
    inside = [_inside(box, high, 0.2) for box in moment.boxes]
    assert min(inside) > 20 and sum(inside) == len(high)
    moved = next(box for box in moment.boxes if box.track == 7)
    assert moved.T[0, 0] == pytest.approx(-1.0, abs=0.01), "an oncoming car looks at us"
    np.testing.assert_allclose(moved.size, size)


def test_the_scan_is_older_than_the_image_and_taken_from_where_the_car_was_then():
    (moment,) = drive(Config(seconds=0.1, seed=1, camera=TINY, lidar=FEW))
    assert moment.frame.stamp_ns - moment.frame.scan.stamp_ns == 10_000_000
    assert moment.frame.calibration.T_camera_lidar is not None


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_gives_a_road_ahead_and_the_same_one_again(setting):
    config = Config(seconds=0.2, seed=11, camera=TINY, lidar=Lidar(rings=8, columns=120), appearance="varied", setting=setting)
    once, again = list(drive(config)), list(drive(config))
    assert len(once) == 2
    for a, b in zip(once, again, strict=True):
        assert (
            np.array_equal(a.frame.image, b.frame.image)
            and np.array_equal(a.depth, b.depth, equal_nan=True)
            and np.array_equal(a.markings, b.markings)
        )
        assert np.array_equal(a.frame.scan.points, b.frame.scan.points) and np.array_equal(a.T_odom_base, b.T_odom_base)
        assert [box.track for box in a.boxes] == [box.track for box in b.boxes]
    moment = once[0]
    assert np.nanmin(moment.depth) > 0.5 and np.isfinite(moment.depth[-1]).all(), "the bottom row sees the street"
    assert moment.frame.image.std() > 10


def test_seeds_differ():
    a, b = (next(drive(Config(seconds=0.1, seed=seed, camera=TINY, lidar=None))) for seed in (1, 2))
    assert not np.array_equal(a.frame.image, b.frame.image)


def test_a_trajectory_stands_still_without_drifting():
    still = next(t for seed in range(30) if (t := Trajectory(np.random.default_rng(seed), 30.0, 10.0)) and _standing(t) is not None)
    when = _standing(still)
    assert still.s(when) == still.s(when + 0.3)


def _standing(trajectory):
    return next((t for t in np.arange(0, 29, 0.5) if trajectory.s(t) == trajectory.s(t + 0.3)), None)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"seconds": 0}, "seconds"),
        ({"rate": -1}, "rate"),
        ({"seed": -1}, "seed"),
        ({"appearance": "night"}, "appearance"),
        ({"setting": "moon"}, "setting"),
        ({"seconds": float("nan")}, "seconds"),
    ],
)
def test_bad_configs_are_refused(options, word):
    with pytest.raises(BadInput, match=word):
        Config(**options)
