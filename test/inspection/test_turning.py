"""What the camera and the LiDAR say of a turn: known motions, exact answers."""

import numpy as np
import pytest

from depth_perception.geometry import pose
from depth_perception.inspection import scan_matching
from depth_perception.inspection.turning import rotation_between

FORWARD = np.array([0, 0, 1.0])


@pytest.mark.parametrize(("turn_deg", "metres"), [((0, 0, 0), 1.0), ((0.3, 3, -0.2), 1.0), ((0, -5, 0), 0.4), ((0, 2, 0), 0.0)])
def test_a_rotation_beside_a_way_ahead(turn_deg, metres):
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(-12, 12, 400), rng.uniform(-4, 1.5, 400), rng.uniform(6, 50, 400)], 1)
    T_before_now = pose.from_rotation_vector(np.deg2rad(turn_deg), np.array([0.02, 0, 1.0]) * metres)
    now = pose.transform(pose.inverse(T_before_now), points)
    before, seen = points / points[:, 2:], now / now[:, 2:]
    seen[:, :2] += rng.normal(0, 0.1 / 400, (400, 2))
    seen[::10, 0] += 0.05  # what moves by itself, or was not found again
    T = rotation_between(before, seen, pixel=1 / 400, ahead=FORWARD)
    assert np.rad2deg(pose.log_so3(T[:3, :3].T)) == pytest.approx(np.array(turn_deg), abs=0.05)


def yard(rng):
    walls = [np.stack([np.linspace(-20, 40, 600), np.full(600, y) + 0.3 * np.sin(np.linspace(0, 30, 600)), rng.uniform(0.6, 2.5, 600)], 1)
             for y in (-9, 11)]
    corners = np.stack([*np.meshgrid(np.linspace(0, 1.2, 8), np.linspace(0, 1.2, 8)), np.full((8, 8), 1.0)], -1).reshape(-1, 3)
    boxes = [corners + np.array([x, y, 0]) for x, y in rng.uniform(-8, 30, (25, 2))]
    ground = np.stack([rng.uniform(-20, 40, 2000), rng.uniform(-9, 11, 2000), np.zeros(2000)], 1)
    return np.concatenate([*walls, *boxes, ground])


@pytest.mark.parametrize("motion", [(0.0, 0.0, 0.0), (1.0, 0.02, 0.03), (2.2, 0.1, -0.08), (0.3, 0.0, 0.06)])
def test_the_motion_between_two_sweeps(motion):
    points = yard(np.random.default_rng(3))
    T = pose.from_rotation_vector(np.array([0, 0, motion[2]]), np.array([motion[0], motion[1], 0]))
    noise = np.random.default_rng(4).normal(0, 0.02, points.shape)
    before, now = scan_matching.plan(points), scan_matching.plan(pose.transform(pose.inverse(T), points) + noise)
    found = scan_matching.motion(before, now, guess=np.zeros(3))
    assert found == pytest.approx(np.array(motion), abs=0.12)  # along the walls there is little to hold on to
    assert found[1:] == pytest.approx(np.array(motion[1:]), abs=0.03) and found[2] == pytest.approx(motion[2], abs=0.002)


def test_two_sweeps_of_different_places_do_not_match():
    rng = np.random.default_rng(0)
    a, b = (np.concatenate([np.stack([*rng.uniform(-30, 30, (2, 300)), np.full(300, 1.0)], 1), np.stack(
        [*rng.uniform(-20, 20, (2, 500)), np.zeros(500)], 1)]) for _ in range(2))
    assert scan_matching.motion(scan_matching.plan(a), scan_matching.plan(b), guess=np.zeros(3)) is None
    assert scan_matching.motion(np.zeros((0, 2)), scan_matching.plan(a), guess=np.zeros(3)) is None
