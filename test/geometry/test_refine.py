"""geometry.refine on hand-made points: exact answers, and what noise, wrong depth, moving things and too few points do to them."""

import numpy as np
import pytest

from depth_perception.geometry import pose
from depth_perception.geometry.refine import NEAR, Expected, Plane, project, refine

FOCAL = 720.0
PIXEL = 0.2 / FOCAL
STEP = pose.from_rotation_vector(np.array([0.002, -0.01, 0.001]), np.array([0.03, -0.01, -1.2]))
NOTHING = Expected(np.eye(4), np.eye(6) * 1e-6)


def scene(T, count=300, *, seed=0, pixel=0.0, share_road=0.3):
    """Rays before, what is seen now, true log depth, and which points are road: a car's view of a street."""
    rng = np.random.default_rng(seed)
    rays = np.stack([rng.uniform(-0.8, 0.8, count), rng.uniform(-0.25, 0.1, count), np.ones(count)], 1)
    depth = rng.uniform(6, 60, count)
    on_road = np.arange(count) < share_road * count
    rays[on_road, 1] = rng.uniform(0.06, 0.22, on_road.sum())
    depth[on_road] = 1.6 / rays[on_road, 1]
    seen = project(T, rays, np.log(depth))[0] + rng.normal(0, 1, (count, 2)) * pixel
    return rays, seen, np.log(depth), on_road


def solve(rays, seen, log_depth, on_road, *, starts=None, expected=NOTHING, road_sigma=0.03):
    return refine(
        [np.eye(4)] if starts is None else starts,
        rays,
        seen,
        log_depth,
        pixel=np.full(len(rays), PIXEL),
        depth_sigma=np.where(on_road, road_sigma, 10.0),
        expected=expected,
    )


def error(T, truth):
    """(6,) translation and rotation of truth exp(error) = T, error in axes of the camera now."""
    E = T @ pose.inverse(truth)
    return np.concatenate([E[:3, 3], pose.log_so3(E[:3, :3])])


def test_derivatives_are_those_of_finite_differences():
    rays, _, log_depth, _ = scene(STEP, 20)
    there, by_motion, by_depth = project(STEP, rays, log_depth)
    for k in range(6):
        d = np.zeros(6)
        d[k] = 1e-6
        moved = project(pose.from_rotation_vector(d[3:], d[:3]) @ STEP, rays, log_depth)[0]
        np.testing.assert_allclose((moved - there) / 1e-6, by_motion[..., k], atol=1e-4)
    np.testing.assert_allclose((project(STEP, rays, log_depth + 1e-6)[0] - there) / 1e-6, by_depth, atol=1e-4)


@pytest.mark.parametrize(
    "T",
    [STEP, np.eye(4), pose.from_rotation_vector(np.array([0, 0.03, 0]), np.zeros(3)), pose.from_rotation_vector(np.zeros(3), [0, 0, 0.5])],
    ids=["drive", "standing", "turning", "backwards"],
)
def test_perfect_points_give_the_perfect_answer(T):
    found = solve(*scene(T))
    np.testing.assert_allclose(error(found.T, T), 0, atol=1e-6)
    assert found.weight.min() > 0.99


def test_forty_per_cent_of_nonsense_and_a_moving_car_change_little():
    rays, seen, log_depth, on_road = scene(STEP, pixel=PIXEL)
    rng = np.random.default_rng(9)
    wrong = rng.random(len(rays)) < 0.4
    seen[wrong] += rng.uniform(-30, 30, (wrong.sum(), 2)) / FOCAL
    car = ~wrong & ~on_road & (rays[:, 0] > 0.6)
    seen[car] += np.array([0.0, 4.0]) / FOCAL
    off = error(solve(rays, seen, log_depth, on_road).T, STEP)
    assert np.degrees(np.linalg.norm(off[3:])) < 0.02
    assert np.linalg.norm(off[:3]) < 0.03
    assert solve(rays, seen, log_depth, on_road).weight[wrong].mean() < 0.15


def test_depth_that_is_wrong_off_the_road_costs_nothing():
    rays, seen, log_depth, on_road = scene(STEP, pixel=PIXEL)
    predicted = np.where(on_road, log_depth, log_depth - 0.5)  # the network sees all but the road 40 % too near
    found = solve(rays, seen, predicted, on_road)
    off = error(found.T, STEP)
    assert np.degrees(np.linalg.norm(off[3:])) < 0.01
    assert abs(off[2]) < 0.01 * 1.2
    # ... and the points know better than the network in the end.
    near = ~on_road & (log_depth < np.log(20))
    assert np.median(np.abs(found.log_depth - log_depth)[near]) < 0.03


def test_the_length_of_a_step_is_the_road_s():
    rays, seen, log_depth, on_road = scene(STEP)
    found = solve(rays, seen, log_depth + np.log(1.1), on_road)
    assert np.linalg.norm(found.T[:3, 3]) == pytest.approx(1.1 * np.linalg.norm(STEP[:3, 3]), rel=2e-3)
    np.testing.assert_allclose(found.T[:3, :3], STEP[:3, :3], atol=1e-4)


def test_the_better_start_is_taken():
    far_off = pose.from_rotation_vector(np.array([0.3, -0.4, 0.2]), np.array([3.0, 1, 2]))
    found = solve(*scene(STEP), starts=[far_off, np.eye(4)])
    np.testing.assert_allclose(error(found.T, STEP), 0, atol=1e-6)


def test_the_covariance_is_honest():
    squared = []
    for seed in range(40):
        rays, seen, log_depth, on_road = scene(STEP, 120, seed=seed, pixel=PIXEL)
        rng = np.random.default_rng(100 + seed)
        log_depth = log_depth + rng.normal(0, 0.03, len(rays))
        found = solve(rays, seen, log_depth, on_road)
        off = error(found.T, STEP)
        squared.append(off @ np.linalg.solve(found.covariance, off) / 6)
    # Robust weights cost some: what a Cauchy kernel turns down it counts as unsaid.
    assert 0.3 < np.mean(squared) < 1.5


def test_a_few_points_say_little_and_what_was_expected_stands():
    rays, seen, log_depth, on_road = scene(STEP, 3)
    before = pose.from_rotation_vector(np.zeros(3), np.array([0, 0, -1.0]))
    sure = Expected(before, np.diag([1e4] * 3 + [1e5] * 3))
    few, many = solve(rays, seen, log_depth, on_road, expected=sure), solve(*scene(STEP), expected=sure)
    assert np.sqrt(np.diag(few.covariance))[3:].min() > 5 * np.sqrt(np.diag(many.covariance))[3:].max()
    nobody = solve(rays[:0], seen[:0], log_depth[:0], on_road[:0], expected=sure)
    np.testing.assert_allclose(nobody.T, before, atol=1e-9)
    np.testing.assert_allclose(nobody.covariance[3:, 3:], np.eye(3) / 1e5, rtol=1e-6)


def test_a_quarter_of_a_say_is_twice_the_doubt_and_none_is_no_point():
    rays, seen, log_depth, on_road = scene(STEP, pixel=PIXEL)
    asked = {"pixel": np.full(len(rays), PIXEL), "depth_sigma": np.where(on_road, 0.03, 10.0), "expected": NOTHING}
    full, quarter = (refine([STEP], rays, seen, log_depth, **asked, say=np.full(len(rays), say)) for say in (1.0, 0.25))
    np.testing.assert_allclose(quarter.T, full.T, atol=1e-6)
    np.testing.assert_allclose(quarter.covariance, 4 * full.covariance, rtol=1e-3)
    wrong = np.arange(len(rays)) % 3 == 0
    seen[wrong] += [0.5 / FOCAL, 0]
    heard = refine([STEP], rays, seen, log_depth, **asked, say=np.where(wrong, 0.0, 1.0))
    alone = solve(rays[~wrong], seen[~wrong], log_depth[~wrong], on_road[~wrong], starts=[STEP])
    assert np.abs(error(heard.T, alone.T)).max() < 0.1 * np.sqrt(np.diag(alone.covariance)).min()


def test_from_a_near_start_what_slowly_drives_off_takes_less_along():
    rays, seen, log_depth, on_road = scene(np.eye(4), pixel=PIXEL)
    lorry = np.abs(rays[:, 0]) < 0.5
    assert lorry.mean() > 0.5
    seen[lorry] -= 0.006 * rays[lorry, :2]
    asked = {"pixel": np.full(len(rays), PIXEL), "depth_sigma": np.where(on_road, 0.03, 0.5), "expected": NOTHING}
    near = refine([np.eye(4)], rays, seen, log_depth, **asked, narrowing=NEAR)
    wide = refine([np.eye(4)], rays, seen, log_depth, **asked)
    assert np.linalg.norm(near.T[:3, 3]) < min(0.012, 0.5 * np.linalg.norm(wide.T[:3, 3]))


def test_the_same_points_give_the_same_bytes():
    first, second = solve(*scene(STEP, pixel=PIXEL)), solve(*scene(STEP, pixel=PIXEL))
    assert first.T.tobytes() == second.T.tobytes()
    assert first.covariance.tobytes() == second.covariance.tobytes()


ROAD = np.array([0.0, 1 / 1.6, 0.0])


def solve_on_plane(rays, seen, log_depth, on_road, n, *, height_log=0.02, tilt=0.002):
    return refine(
        [np.eye(4)],
        rays,
        seen,
        log_depth,
        pixel=np.full(len(rays), PIXEL),
        depth_sigma=np.where(on_road, 0.01, 10.0),
        expected=NOTHING,
        plane=Plane.known(n, height_log=height_log, tilt=tilt),
        on_plane=on_road,
    )


def test_points_of_a_known_plane_need_no_depth():
    rays, seen, log_depth, on_road = scene(STEP)
    found = solve_on_plane(rays, seen, np.where(on_road, 9.9, log_depth), on_road, ROAD)
    np.testing.assert_allclose(error(found.T, STEP), 0, atol=1e-6)
    np.testing.assert_allclose(found.plane.n, ROAD, atol=1e-6)
    np.testing.assert_allclose(found.log_depth, log_depth, atol=1e-3)


def test_the_height_of_the_plane_is_the_ruler_and_its_doubt_the_doubt_of_the_length():
    rays, seen, log_depth, on_road = scene(STEP)
    length = np.linalg.norm(STEP[:3, 3])
    for height_log in (0.01, 0.05):
        found = solve_on_plane(rays, seen, log_depth, on_road, ROAD / 1.1, height_log=height_log)
        assert np.linalg.norm(found.T[:3, 3]) == pytest.approx(1.1 * length, rel=2e-3)
        # A hundred points do not know more of the length than the plane that they share.
        along = STEP[:3, 3] / length
        assert np.sqrt(along @ found.covariance[:3, :3] @ along) / length == pytest.approx(height_log, rel=0.25)


def test_the_flow_of_the_road_tells_a_tilt_that_was_not_known():
    rays, seen, log_depth, on_road = scene(STEP)
    tilted = pose.exp_so3(np.array([0.01, 0.0, 0.005])) @ ROAD
    vague = solve_on_plane(rays, seen, log_depth, on_road, tilted, height_log=1e-4, tilt=0.1)
    np.testing.assert_allclose(vague.plane.n, ROAD, atol=2e-4)
    assert np.trace(vague.plane.covariance) < 0.01 * np.trace(Plane.known(tilted, height_log=1e-4, tilt=0.1).covariance)


def test_what_is_known_of_a_plane_is_its_distance_and_its_tilt():
    n = pose.exp_so3(np.array([0.1, 0.0, -0.05])) @ ROAD
    covariance = Plane.known(n, height_log=0.02, tilt=0.003).covariance
    unit = n / np.linalg.norm(n)
    assert np.sqrt(unit @ covariance @ unit) == pytest.approx(0.02 * np.linalg.norm(n))
    across = np.cross(unit, [1.0, 0, 0]) / np.linalg.norm(np.cross(unit, [1.0, 0, 0]))
    assert np.sqrt(across @ covariance @ across) == pytest.approx(0.003 * np.linalg.norm(n))
