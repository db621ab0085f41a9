"""Exact depth and ranges in front of things whose place is known."""

import numpy as np
import pytest

from depth_perception.frame import BadInput
from depth_perception.geometry import camera as pinhole
from depth_perception.geometry import lidar as projection
from depth_perception.geometry import pose
from depth_perception.geometry.deskew import Config as Deskew
from depth_perception.geometry.deskew import deskew
from depth_perception.world.appearance import Appearance
from depth_perception.world.mesh import box
from depth_perception.world.sensors import Camera, Lidar, photograph, sweep
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Tracer

SMALL = Camera(160, 96, fov=70.0, mount=1.5, forward=1.0)


def picture(street, camera=SMALL, T_world_base=None):
    calibration = camera.calibration(None)
    T = np.eye(4) if T_world_base is None else T_world_base
    return calibration, photograph(Tracer(street.mesh), street, calibration, T @ calibration.T_base_camera, Appearance(), Noise(0))


def test_a_wall_across_the_road_has_one_depth(street_of):
    wall = box((11.0, -40.0, -1.0), (12.0, 40.0, 30.0))
    calibration, seen = picture(street_of(wall))
    upper = seen.depth[: int(calibration.K[1, 2])]
    np.testing.assert_allclose(upper, 10.0, atol=1e-4)  # 11 m from the axle, the camera 1 m ahead of it


def test_flat_ground_follows_from_the_camera_height(street_of):
    calibration, seen = picture(street_of())
    rows = np.arange(60, 96)
    expected = calibration.K[1, 1] * 1.5 / (rows - calibration.K[1, 2])
    np.testing.assert_allclose(seen.depth[60:, 80], expected, rtol=1e-4)
    assert np.isnan(seen.depth[0]).all(), "above the horizon of an empty plain is sky"


def test_a_box_covers_the_pixels_it_projects_to(street_of):
    calibration, seen = picture(street_of(box((9.0, -1.0, 0.5), (9.5, 1.0, 2.5))))
    near = np.abs(seen.depth - 8.0) < 1e-3
    K = calibration.K
    columns, rows = np.flatnonzero(near.any(0)), np.flatnonzero(near.any(1))
    assert abs(columns[0] - (K[0, 2] - K[0, 0] / 8)) <= 1 and abs(columns[-1] - (K[0, 2] + K[0, 0] / 8)) <= 1
    assert abs(rows[0] - (K[1, 2] - K[1, 1] * 1.0 / 8)) <= 1 and abs(rows[-1] - (K[1, 2] + K[1, 1] * 1.0 / 8)) <= 1


def test_pitch_turns_the_camera_down(street_of):
    level, _ = picture(street_of())
    down, _ = picture(street_of(), Camera(160, 96, pitch=3.0))
    assert level.T_base_camera[2, 2] == pytest.approx(0.0)  # the viewing direction's z in the body frame
    assert down.T_base_camera[2, 2] == pytest.approx(-np.sin(np.deg2rad(3.0)))


def test_scan_and_depth_image_agree(street_of):
    street = street_of(box((14.0, -4.0, 0.0), (15.0, 0.0, 3.0)), box((20.0, 2.0, 0.0), (24.0, 5.0, 4.0)))
    lidar, camera = Lidar(rings=40, columns=720, noise=0.0), Camera(320, 192)
    calibration = camera.calibration(lidar)
    tracer = Tracer(street.mesh)
    scan = sweep(tracer, street, lidar, lidar.T_base_lidar(camera), 0, np.random.default_rng(0))
    depth = photograph(tracer, street, calibration, calibration.T_base_camera, Appearance(), Noise(0)).depth
    points = projection.in_camera(scan, calibration)
    points = points[points[:, 2] > 1.0]
    pixels, z = pinhole.project(calibration.K, points)
    u, v = np.rint(pixels).astype(int).T
    inside = (u >= 2) & (u < 318) & (v >= 2) & (v < 190)
    u, v, z = u[inside], v[inside], z[inside]
    patches = np.stack([depth[v + a, u + b] for a in (-2, 0, 2) for b in (-2, 0, 2)])
    smooth = np.nanmax(patches, 0) - np.nanmin(patches, 0) < 0.05 * z
    assert smooth.sum() > 1000
    np.testing.assert_allclose(z[smooth], depth[v, u][smooth], rtol=0.03)


def test_scan_points_lie_on_the_wall_within_the_noise(street_of):
    street = street_of(box((20.0, -60.0, -1.0), (21.0, 60.0, 30.0)))
    lidar = Lidar(rings=16, columns=720, noise=0.015)
    scan = sweep(
        Tracer(street.mesh), street, lidar, pose.from_rotation_vector(np.zeros(3), np.array([0.0, 0.0, 1.7])), 5, np.random.default_rng(1)
    )
    on_wall = (np.abs(scan.points[:, 0] - 20.0) < 0.3) & (np.abs(scan.points[:, 1]) < 4) & (scan.points[:, 2] > -1.5)
    assert on_wall.sum() > 100
    assert 0.005 < np.std(scan.points[on_wall, 0]) < 0.03
    assert scan.stamp_ns == 5 and scan.ring.min() >= 0 and scan.ring.max() < 16
    assert len(scan.points) == len(scan.intensity) == len(scan.ring) == len(scan.time_s) and np.isfinite(scan.points).all()
    assert np.linalg.norm(scan.points, axis=1).max() <= lidar.reach + 0.2


@pytest.mark.parametrize(
    ("make", "word"), [(lambda: Camera(width=2), "camera size"), (lambda: Camera(fov=179.0), "fov"), (lambda: Lidar(rings=0), "lidar")]
)
def test_bad_sensors_are_refused(make, word):
    with pytest.raises(BadInput, match=word):
        make()


def test_a_lidar_that_turns_while_driving_sees_a_wall_bent_and_deskewing_straightens_it(street_of):
    wall = box((21.0, -60.0, -1.0), (22.0, 60.0, 60.0))
    lidar, camera = Lidar(rings=12, columns=720, lowest=1.0, highest=10.0, noise=0.0, sweep_s=0.1), Camera()
    T_base_lidar = lidar.T_base_lidar(camera)
    twist = np.array([14.0, 0.3, 0, 0, 0, 0.6])
    scan = sweep(Tracer(street_of(wall).mesh), street_of(wall), lidar, T_base_lidar, 0, np.random.default_rng(0), twist)
    ahead = np.flatnonzero(scan.points[:, 0] > 15)
    assert len(ahead) > 1000
    distance = 21.0 - T_base_lidar[0, 3]
    assert np.abs(scan.points[ahead, 0] - distance).max() > 0.2
    np.testing.assert_allclose(deskew(scan.points, scan.time_s, twist)[ahead, 0], distance, atol=1e-3)
    np.testing.assert_allclose(Deskew("azimuth", stamp_at=0.5).seconds_of(scan.points[ahead]), scan.time_s[ahead], atol=1e-5)


def test_a_sweep_longer_than_a_second_is_refused():
    with pytest.raises(BadInput, match="sweep of 0 to 1 seconds"):
        Lidar(sweep_s=2.0)
