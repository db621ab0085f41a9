"""LiDAR outlines against image edges: boxes in front of a wall, seen by a LiDAR that stands right, or turned."""

from dataclasses import replace

import numpy as np
import pytest

from depth_perception.frame import Calibration, Frame, Scan
from depth_perception.geometry import camera, pose
from depth_perception.geometry.edge_alignment import EdgeAlignment, depth_edges, image_edges

K = np.array([[350.0, 0, 309.5], [0, 350, 93.5], [0, 0, 1]])
HEIGHT, WIDTH = 188, 620


def boxes(seed, T_camera_lidar=None):
    """A frame of twelve flat boxes at 6 to 20 m before a wall at 30 m; a return at every second pixel of every third row."""
    rng = np.random.default_rng(seed)
    depth = np.full((HEIGHT, WIDTH), 30.0)
    image = np.full((HEIGHT, WIDTH, 3), 90.0)
    for z in sorted(rng.uniform(6, 20, 12), reverse=True):
        w, h = rng.integers(30, 80), rng.integers(30, 70)
        left, top = rng.integers(5, WIDTH - w - 5), rng.integers(5, HEIGHT - h - 5)
        depth[top : top + h, left : left + w] = z
        image[top : top + h, left : left + w] = rng.uniform(0, 255, 3)
    image = (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    xyz = (camera.rays(K, height=HEIGHT, width=WIDTH) * depth[..., None])[::3, ::2].reshape(-1, 3).astype(np.float32)
    calibration = Calibration(K, WIDTH, HEIGHT, T_camera_lidar=np.eye(4) if T_camera_lidar is None else T_camera_lidar)
    return Frame(image, seed, calibration, Scan(xyz, seed))


def test_outlines_are_on_the_nearer_thing_beside_the_step():
    frame = boxes(0)
    found = depth_edges(frame.scan.points, K, height=HEIGHT, width=WIDTH)
    assert 100 < len(found) < 0.3 * len(frame.scan.points) and found[:, 2].max() < 25  # nothing of the wall behind
    edges = image_edges(frame.image)
    u, v = np.rint(camera.project(K, found)[0]).astype(int).T
    assert edges.shape == (HEIGHT, WIDTH) and edges[v, u].mean() > 2 * edges.mean()


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (2, 0, 0), (0, -1, 0), (0, 0, 2), (1.5, 2, 0), (0, 3, 0)])
def test_the_turn_is_found_and_said(turn_deg):
    wrong = pose.from_rotation_vector(np.deg2rad(turn_deg), np.zeros(3))
    alignment = EdgeAlignment()
    assert len(list(alignment.watching(boxes(seed, wrong) for seed in range(6)))) == 6
    turn, as_is, best = alignment.offset()
    assert np.allclose(turn, -np.array(turn_deg), atol=0.35)
    said = alignment.warning()
    if any(turn_deg):
        assert best > 1.1 * as_is and "extrinsics look wrong" in said and f"turned by {np.linalg.norm(turn):.1f} degrees" in said
    else:
        assert said is None


@pytest.mark.parametrize(("count", "wanted"), [(5, [0, 1, 2, 3, 4]), (13, [0, 2, 4, 6, 8, 10, 12]), (60, [0, 8, 16, 24, 32, 40, 48, 56])])
def test_the_frames_that_are_remembered_are_spread_over_the_drive(count, wanted):
    frame = boxes(0)
    alignment, marked = EdgeAlignment(), [frame.calibration.K * np.array([[1], [1], [1 + i]]) for i in range(count)]
    drive = (replace(frame, calibration=replace(frame.calibration, K=K)) for K in marked)
    assert len(list(alignment.watching(drive))) == count
    assert [round(K[2, 2]) - 1 for K in alignment.Ks] == wanted
    assert len(alignment.edges) == len(alignment.outlines) == len(wanted)


def test_few_outlines_tell_nothing():
    alignment = EdgeAlignment()
    frame = boxes(0)
    assert alignment.warning() is None
    alignment.add(replace(frame, scan=None))
    wall = camera.rays(K, height=HEIGHT, width=WIDTH).reshape(-1, 3)[::50] * 30
    alignment.add(replace(frame, scan=Scan(wall, 0)))
    assert alignment.offset() is None and alignment.warning() is None


def test_the_real_drive(kitti_bag):
    from depth_perception.bag import FrameReader

    frames = [frame for i, frame in enumerate(FrameReader(kitti_bag, pairing="nearest")) if i % 8 == 0]
    for degrees in (0.0, 1.0, 3.0):
        turned = pose.from_rotation_vector(np.deg2rad([0, degrees, 0]), np.zeros(3))
        alignment = EdgeAlignment()
        for frame in frames:
            T = turned @ frame.calibration.T_camera_lidar
            alignment.add(replace(frame, calibration=replace(frame.calibration, T_camera_lidar=T)))
        turn, _, _ = alignment.offset()
        assert np.allclose(turn, [0, -degrees, 0], atol=0.5)
        assert (alignment.warning() is None) == (degrees == 0)
