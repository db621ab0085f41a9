"""geometry.lidar: scans in the camera, beams."""

import numpy as np

from depth_perception.frame import Calibration, Scan
from depth_perception.geometry import lidar

CALIBRATION = Calibration(np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]]), 64, 48,
                          T_camera_lidar=np.array([[0, -1, 0, 0], [0, 0, -1, 0.5], [1, 0, 0, 0.0], [0, 0, 0, 1]]))


def test_a_point_ahead_of_the_lidar_lands_below_the_centre_of_the_image():
    depth = lidar.depth_image(Scan(np.array([[10.0, 0, 0]], np.float32), 0), CALIBRATION)
    assert np.argwhere(np.isfinite(depth)).tolist() == [[24 + 5, 32]]
    assert depth[29, 32] == 10.0


def test_every_nth_point():
    scan = Scan(np.arange(30, dtype=np.float32).reshape(10, 3), 0)
    np.testing.assert_allclose(lidar.in_camera(scan, CALIBRATION, every=3), lidar.in_camera(scan, CALIBRATION)[::3])


def test_beams_without_a_ring_field_follow_elevation():
    angles = np.deg2rad(np.repeat([-20.0, -10.0, 0.0], 50))
    points = np.stack([np.cos(angles), np.zeros(150), np.sin(angles)], 1).astype(np.float32) * 10
    beams = lidar.beam_index(Scan(points, 0))
    assert (np.diff(beams) >= 0).all()
    assert len(set(beams[:50])) == len(set(beams[50:100])) == 1
    assert beams[0] < beams[60] < beams[120]
    ring = np.arange(150, dtype=np.int32)
    assert lidar.beam_index(Scan(points, 0, ring=ring)) is ring
