"""geometry.rest on hand-made points: a turn is found under what drives by, and a step is not taken for one."""

import numpy as np
import pytest

from depth_perception.geometry import pose, rest
from depth_perception.geometry.refine import project

PIXEL = 0.2 / 720
TURN = pose.from_rotation_vector(np.array([0.002, -0.01, 0.004]), np.zeros(3))


def scene(T, count=400, *, seed=0):
    """Rays before, what is seen now, and log depth, 6 to 60 m all over the picture."""
    rng = np.random.default_rng(seed)
    rays = np.stack([rng.uniform(-0.8, 0.8, count), rng.uniform(-0.25, 0.25, count), np.ones(count)], 1)
    log_depth = np.log(rng.uniform(6, 60, count))
    return rays, project(T, rays, log_depth)[0] + rng.normal(0, PIXEL, (count, 2)), log_depth


def stays(rays, seen):
    return rest.rotation(rays, seen, pixel=np.full(len(rays), PIXEL))


@pytest.mark.parametrize("turn", [[0, 0, 0], [0.002, -0.01, 0.004], [0, 0.15, 0]], ids=["none", "some", "much"])
def test_a_turn_is_found_and_everything_stays(turn):
    T = pose.from_rotation_vector(np.array(turn), np.zeros(3))
    rays, seen, _ = scene(T)
    found, stayed = stays(rays, seen)
    np.testing.assert_allclose(found, T, atol=1e-4)
    assert rest.share(stayed, rays) > 0.97


def test_what_drives_by_has_the_say_of_its_place_and_not_of_its_corners():
    rays, seen, _ = scene(TURN)
    lorry = (np.abs(rays[:, 0] - 0.4) < 0.3) & (np.abs(rays[:, 1]) < 0.2)
    more = np.repeat(np.nonzero(lorry)[0], 5)
    rays, seen, lorry = (np.concatenate([of_each, of_each[more]]) for of_each in (rays, seen, lorry))
    assert lorry.mean() > 0.6
    seen[lorry] += [8 / 720, 1 / 720]
    found, stayed = stays(rays, seen)
    np.testing.assert_allclose(found, TURN, atol=2e-4)
    assert 0.55 < rest.share(stayed, rays) < 0.8
    assert not stayed[lorry].any()


def test_a_step_is_no_turn():
    for step in ([0, 0, -0.8], [0.5, 0, 0], [0, 0.5, 0]):
        rays, seen, _ = scene(pose.from_rotation_vector(np.array([0.002, -0.01, 0.004]), np.array(step)))
        assert rest.share(stays(rays, seen)[1], rays) < 0.3


def test_patches_vote_and_points_share_a_vote():
    rays = np.array([[0.01, 0.01, 1], [0.02, 0.03, 1], [0.05, 0.09, 1], [-0.01, 0.01, 1], [0.01, -0.01, 1], [0.31, 0.01, 1]])
    np.testing.assert_allclose(rest.votes(rays), [1 / 3, 1 / 3, 1 / 3, 1, 1, 1])
    assert rest.share(np.array([True, True, True, False, False, False]), rays) == pytest.approx(0.25)


def test_without_points_nothing_turns_and_nothing_contradicts():
    found, stayed = stays(np.zeros((0, 3)), np.zeros((0, 2)))
    np.testing.assert_array_equal(found, np.eye(4))
    assert rest.share(stayed, np.zeros((0, 3))) == 1.0


def test_the_same_points_give_the_same_bytes():
    first, second = stays(*scene(TURN)[:2]), stays(*scene(TURN)[:2])
    assert first[0].tobytes() == second[0].tobytes()
