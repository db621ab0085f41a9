"""systems.refinement inside the odometry, on pictures of a textured street whose motion is known to the last digit."""

from functools import cache

import cv2
import numpy as np
import pytest

from depth_perception.frame import Calibration, Frame
from depth_perception.geometry import camera, pose
from depth_perception.systems.odometry import T_BODY_OPTICAL, Config, Odometry
from depth_perception.systems.scale import Scale

TENTH = 100_000_000
SIZE = (188, 620)
K = np.array([[360.0, 0, 310.0], [0, 360.0, 84.0], [0, 0, 1]])
T_BASE_CAMERA = pose.from_rotation_vector(np.zeros(3), np.array([1.6, 0.0, 1.6])) @ T_BODY_OPTICAL
CALIBRATION = Calibration(K, SIZE[1], SIZE[0], "camera", T_BASE_CAMERA)
RAYS = camera.rays(K, height=SIZE[0], width=SIZE[1]).reshape(-1, 3).astype(np.float64)
# Road, two house fronts and a wall across: normal n and distance d of n . X = d, in the body frame of the first image.
PLANES = [((0, 0, 1), 0.0), ((0, 1, 0), 7.0), ((0, 1, 0), -9.0), ((1, 0, 0), 60.0)]
STEP = pose.from_rotation_vector(np.array([0.001, 0.002, 0.01]), np.array([0.8, 0.01, 0.0]))


@cache
def texture():
    """Noise with something to see at every distance."""
    rng = np.random.default_rng(5)
    layers = [cv2.resize(rng.uniform(0, 1, (n, n)).astype(np.float32), (1024, 1024), interpolation=cv2.INTER_CUBIC) for n in (128, 512)]
    return cv2.normalize(sum(layers), None, 20, 235, cv2.NORM_MINMAX)


def picture(T_world_base, *, planes=PLANES, lorry_m=None):
    """What the camera sees from a pose of the body: (H, W, 3) uint8, and (H, W) depth in metres.

    lorry_m: how far ahead in the world the back of a lorry is, 5 m wide and 4 m high.
    """
    T = T_world_base @ T_BASE_CAMERA
    directions, origin = RAYS @ T[:3, :3].T, T[:3, 3]
    nearest, surface = np.full(len(RAYS), np.inf), np.zeros((len(RAYS), 2))
    for index, (n, d) in enumerate(planes):
        n = np.array(n, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (d - origin @ n) / (directions @ n)
        hit = (z > 0.5) & (z < nearest)
        points = origin + directions[hit] * z[hit, None]
        nearest[hit], surface[hit] = z[hit], np.delete(points, np.argmax(n), axis=1) * 20 + 300 * index
    if lorry_m is not None:
        z = (lorry_m - origin[0]) / directions[:, 0]
        points = origin + directions * z[:, None]
        hit = (z > 0.5) & (z < nearest) & (np.abs(points[:, 1]) < 2.5) & (points[:, 2] < 4)
        nearest[hit], surface[hit] = z[hit], points[hit, 1:] * 40 + 555
    u, v = (np.mod(surface, 1000).astype(np.float32)).T
    grey = cv2.remap(texture(), u.reshape(SIZE), v.reshape(SIZE), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2), nearest.reshape(SIZE).astype(np.float32)


@cache
def drive(count=5):
    """Poses of the body, and pictures and depths seen from there."""
    poses = [np.eye(4)]
    for _ in range(count - 1):
        poses.append(poses[-1] @ STEP)
    return poses, [picture(T) for T in poses]


def guess(image, neighbour):
    """A pose network that only knows that cars drive ahead, half a metre a step, and sees a turn where there is none."""
    return {"pose": np.array([[0, 0.01, 0, 0, 0, -0.5]], np.float32)}


def odometry(config=None, infer=guess):
    return Odometry(infer, height=64, width=208, canonical_focal_px=360.0 * 64 / 188, config=config or Config())


def run(pictures, *, config=None, depth_scale=1.0, roads=None, infer=guess):
    system, outputs = odometry(config, infer), []
    for i, (image, depth) in enumerate(pictures):
        calibration = CALIBRATION if image.shape[:2] == SIZE else Calibration(K, image.shape[1], image.shape[0], "camera", T_BASE_CAMERA)
        small = cv2.resize(depth * np.float32(depth_scale), (208, 64), interpolation=cv2.INTER_NEAREST)
        road = None if roads is None else roads[i]
        outputs.append(system.step(Frame(image, i * TENTH, calibration), Scale(1.0, 0.02), depth=small, road=road))
    return outputs


def test_the_path_is_found_though_the_network_knows_nothing():
    poses, pictures = drive()
    outputs = run(pictures)
    assert outputs[0] is None
    assert all(output.refined for output in outputs[1:])
    off = pose.inverse(poses[-1]) @ outputs[-1].T_odom_base
    assert np.degrees(np.linalg.norm(pose.log_so3(off[:3, :3]))) < 0.05
    assert np.linalg.norm(off[:3, 3]) < 0.03 * 3.2
    alone = run(pictures, config=Config(refine=False))[-1]
    assert not alone.refined
    assert np.linalg.norm((pose.inverse(poses[-1]) @ alone.T_odom_base)[:3, 3]) > 1
    assert np.trace(outputs[-1].twist_covariance[3:, 3:]) < 0.1 * np.trace(alone.twist_covariance[3:, 3:])


def test_a_triplets_first_step_is_refined_though_it_comes_late():
    _, pictures = drive()

    def first_guesses(before, image, neighbour):
        return {"pose": np.stack([guess(before, image)["pose"], guess(image, neighbour)["pose"]], 1)}

    class Triplet:
        inputs = ("before", "image", "neighbour")
        __call__ = staticmethod(first_guesses)

    pairs, outputs = run(pictures), run(pictures, infer=Triplet())
    told = [*outputs[2].belated, *outputs[2:]]
    assert [output is None for output in outputs] == [True, True, False, False, False] and all(output.refined for output in told)
    for ours, theirs in zip(told, pairs[1:], strict=True):
        assert np.array_equal(ours.T_odom_base, theirs.T_odom_base) and np.array_equal(ours.pose_covariance, theirs.pose_covariance)


def test_the_length_of_a_step_is_that_of_the_depth():
    _, pictures = drive()
    lengths = [np.linalg.norm(run(pictures, depth_scale=s)[-1].T_odom_base[:3, 3]) for s in (1.0, 1.2)]
    assert lengths[1] / lengths[0] == pytest.approx(1.2, rel=0.02)


def test_standing_still_is_no_motion():
    outputs = run([drive()[1][0]] * 4)
    np.testing.assert_allclose(outputs[-1].T_odom_base, np.eye(4), atol=2e-3)
    np.testing.assert_allclose(outputs[-1].twist, 0, atol=2e-3)


@pytest.mark.parametrize("blank", [0, 255])
def test_a_plain_image_leaves_it_to_the_network_and_says_so(blank):
    pictures = list(drive()[1])
    pictures[2] = (np.full_like(pictures[2][0], blank), pictures[2][1])
    outputs = run(pictures)
    assert [output.refined for output in outputs[1:]] == [True, False, False, True]
    sigmas = [np.sqrt(np.diag(output.twist_covariance)) for output in outputs[1:]]
    assert (sigmas[1] > sigmas[0]).all()
    assert sigmas[1][3:].min() > 2 * sigmas[0][3:].max()


def test_a_depth_of_nothing_refines_nothing():
    image, depth = drive()[1][0]
    outputs = run([(image, np.full_like(depth, np.nan))] * 2)
    assert not outputs[1].refined
    assert np.isfinite(outputs[1].T_odom_base).all()


def test_pictures_of_noise_are_no_world():
    rng = np.random.default_rng(2)
    pictures = [(rng.integers(0, 255, (*SIZE, 3), np.uint8), drive()[1][0][1]) for _ in range(4)]
    assert not any(output.refined for output in run(pictures)[1:])


def test_an_image_of_another_size_starts_a_new_pair():
    pictures = list(drive()[1])
    image, depth = pictures[2]
    pictures[2] = (np.ascontiguousarray(image[:, :500]), depth[:, :500])
    assert [output.refined for output in run(pictures)[1:]] == [True, False, False, True]


def test_wide_images_are_halved_and_tell_the_same():
    _, pictures = drive()
    full, half = (run(pictures, config=Config(refinement=Config().refinement.__class__(max_width=width)))[-1] for width in (1600, 400))
    assert half.refined
    np.testing.assert_allclose(half.T_odom_base, full.T_odom_base, atol=0.15)


def test_the_same_pictures_give_the_same_bytes():
    first, second = (run(drive()[1])[-1] for _ in range(2))
    assert first.T_odom_base.tobytes() == second.T_odom_base.tobytes()
    assert first.pose_covariance.tobytes() == second.pose_covariance.tobytes()


def roads(*, height_wrong_by=1.0):
    """(3,) n of the road, seen from every pose of `drive`."""
    cameras = [T @ T_BASE_CAMERA for T in drive()[0]]
    return [-T[2, :3] / T[2, 3] / height_wrong_by for T in cameras]


def test_where_a_scan_shows_the_road_it_is_the_ruler_whatever_depth_says():
    poses, pictures = drive()
    true = np.linalg.norm(poses[-1][:3, 3])
    for depth_scale in (1.0, 1.15):
        by_road, by_depth = run(pictures, depth_scale=depth_scale, roads=roads()), run(pictures, depth_scale=depth_scale)
        assert all(output.refined for output in by_road[1:])
        assert np.linalg.norm(by_road[-1].T_odom_base[:3, 3]) == pytest.approx(true, rel=0.01)
        assert np.linalg.norm(by_depth[-1].T_odom_base[:3, 3]) == pytest.approx(depth_scale * true, rel=0.03)
    higher = run(pictures, roads=roads(height_wrong_by=1.1))[-1]
    assert np.linalg.norm(higher.T_odom_base[:3, 3]) == pytest.approx(1.1 * true, rel=0.01)
    assert by_road[-1].twist_covariance[0, 0] < by_depth[-1].twist_covariance[0, 0]


def test_scans_can_be_left_alone():
    pictures = drive()[1]
    alone = Config(refinement=Config().refinement.__class__(strip_corners=0))
    np.testing.assert_array_equal(run(pictures, config=alone, roads=roads())[-1].T_odom_base, run(pictures)[-1].T_odom_base)


def test_a_car_that_drives_ahead_is_no_road():
    """A textured plate as wide as the lane keeps its distance, and hides the road: what is found without a scan stands."""
    pictures = [(image.copy(), depth.copy()) for image, depth in drive()[1]]
    for image, depth in pictures:
        image[78:188, 235:385] = texture()[:110, :150, None].clip(0, 255).astype(np.uint8)
        depth[78:188, 235:385] = 6.5
    by_road, by_depth = run(pictures, roads=roads()), run(pictures)
    np.testing.assert_array_equal(by_road[-1].T_odom_base, by_depth[-1].T_odom_base)
    assert np.linalg.norm(by_road[-1].T_odom_base[:3, 3]) > 2.5


@cache
def standing(count=12, *, drives_off_at=0.0):
    """Poses and pictures of a car that stands and rocks a little, while a lorry 10 m ahead drives off at so many m/s^2."""
    poses = [pose.from_rotation_vector(np.array([0, 0.003 * np.sin(i), 0]), np.zeros(3)) for i in range(count)]
    return poses, [picture(T, lorry_m=10 + 0.5 * drives_off_at * (0.1 * i) ** 2) for i, T in enumerate(poses)]


def nees(outputs, poses):
    """(count,) squared errors of each step's twist in units of its own covariance, per degree of freedom."""
    squared = []
    for output, before, after in zip(outputs[1:], poses[:-1], poses[1:], strict=True):
        moved = pose.inverse(before) @ after
        truth = np.concatenate([moved[:3, :3].T @ moved[:3, 3], pose.log_so3(moved[:3, :3])]) / 0.1
        error = output.twist - truth
        squared.append(error @ np.linalg.solve(output.twist_covariance, error) / 6)
    return np.array(squared)


def roughly(depth):
    """A depth as networks see it: the top of the picture near, all but the road wrong by factors."""
    blotches = cv2.resize(np.random.default_rng(1).normal(0, 0.5, (6, 20)).astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    seen = depth * np.exp(blotches)
    seen[:40] = 4.0
    seen[110:] = depth[110:]
    return seen


@pytest.mark.parametrize("seen_as", [np.copy, roughly], ids=["true_depth", "rough_depth"])
@pytest.mark.parametrize("drives_off_at", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("with_scan", [False, True])
def test_a_lorry_that_drives_off_does_not_take_a_standing_car_along(drives_off_at, seen_as, with_scan):
    poses, pictures = standing(drives_off_at=drives_off_at)
    roads = [-(T @ T_BASE_CAMERA)[2, :3] / (T @ T_BASE_CAMERA)[2, 3] for T in poses] if with_scan else None
    outputs = run([(image, seen_as(depth)) for image, depth in pictures], roads=roads)
    assert all(output.refined for output in outputs[1:])
    assert max(np.linalg.norm(output.twist[:3]) for output in outputs[1:]) < 0.15
    assert np.linalg.norm(outputs[-1].T_odom_base[:3, 3]) < 0.05
    assert nees(outputs, poses).mean() < 2


def test_a_car_that_sets_off_is_followed():
    """From standing to 1.5 m/s: first nothing shows but a turn, then a step does."""
    poses = [pose.from_rotation_vector(np.zeros(3), np.array([0.5 * 1.5 * max(0.1 * i - 0.3, 0) ** 2, 0, 0])) for i in range(14)]
    outputs = run([picture(T) for T in poses])
    assert np.linalg.norm(outputs[-1].T_odom_base[:3, 3] - poses[-1][:3, 3]) < 0.1 * poses[-1][0, 3]
    assert outputs[-1].twist[0] == pytest.approx((poses[-1][0, 3] - poses[-2][0, 3]) / 0.1, rel=0.05)
    assert nees(outputs, poses).mean() < 2


def test_a_far_world_is_not_taken_for_standing_still():
    """Mountains fill the picture and stay where they are; the road below them tells that the car drives."""
    poses = drive()[0]
    far = [((0, 0, 1), 0.0), ((1, 0, 0), 4000.0)]
    pictures = [picture(T, planes=far) for T in poses]
    outputs = run(pictures, roads=roads())
    assert outputs[-1].twist[0] == pytest.approx(8.0, rel=0.05)
