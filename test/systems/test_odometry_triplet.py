"""systems.odometry with a perfect triplet: the pair's path from its last answer, and nothing asked that it was not trained on."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch", reason="compares with the network's forms, which needs torch")

from test_odometry_system import SIZES, TENTH, coded, path, perfect
from worlds import T_BASE_CAMERA, frame

from depth_perception.geometry import pose
from depth_perception.networks.pose import FORMS
from depth_perception.systems import odometry
from depth_perception.systems.odometry import Odometry
from depth_perception.systems.scale import Scale


class Triplet:
    """`perfect` asked about three images: both of its answers, each of which must be of images in a row."""

    inputs = FORMS["triplet"]

    def __init__(self, T_odom_base, **options):
        self.pair = perfect(T_odom_base, **options)
        self.asked = []

    def __call__(self, before, image, neighbour):
        row = (before, image, neighbour)
        self.asked.append(tuple(round(float(x.min()) * 25.5) for x in row))
        return {"pose": np.stack([self.pair(a, b)["pose"] for a, b in pairwise(row)], 1)}


def run(infer, stamps, *, first=0, system=None):
    system = system or Odometry(infer, **SIZES)
    return system, [system.step(frame(stamp_ns=stamp, with_scan=False, image=coded(first + i)), Scale(1.0, 0.02))
                    for i, stamp in enumerate(stamps)]


def test_the_inputs_are_those_of_the_network():
    assert {"pair": odometry.PAIR, "triplet": odometry.TRIPLET} == FORMS


def test_the_path_is_the_pairs_and_the_second_step_comes_with_the_third_image():
    poses, stamps = path(8), [i * TENTH for i in range(8)]
    infer = Triplet(poses)
    _, outputs = run(infer, stamps)
    _, pairs = run(perfect(poses), stamps)
    assert [output is None for output in outputs] == [True, True] + [False] * 6
    (second,) = outputs[2].belated
    assert not any(output.belated for output in outputs[3:]) and not any(output.belated for output in pairs[1:])
    for ours, theirs, truth in zip([second, *outputs[2:]], pairs[1:], poses[1:], strict=True):
        np.testing.assert_allclose(ours.T_odom_base, truth, atol=1e-4)
        for field in fields(ours):
            assert field.name == "belated" or np.array_equal(getattr(ours, field.name), getattr(theirs, field.name)), field.name
    # Once as the images are and once mirrored for each of two steps, then for one; always three in a row.
    assert set(infer.asked) == {(i, i + 1, i + 2) for i in range(6)}


def test_a_first_answer_that_is_wrong_spoils_the_first_step_alone():
    """What drives is the second answer."""
    class Astray(Triplet):
        def __call__(self, **images):
            answer = super().__call__(**images)
            answer["pose"][:, 0, 5] *= 3
            return answer

    poses = path(6)
    _, outputs = run(Astray(poses), [i * TENTH for i in range(6)])
    for before, after in pairwise(range(2, 6)):
        moved = pose.inverse(outputs[before].T_odom_base) @ outputs[after].T_odom_base
        np.testing.assert_allclose(moved, pose.inverse(poses[before]) @ poses[after], atol=1e-4)
    assert np.linalg.norm(outputs[2].belated[0].T_odom_base[:3, 3]) == pytest.approx(3.0, rel=0.05)


def test_after_a_gap_two_images_are_silent_and_their_step_is_not_lost():
    stamps = [0, TENTH, 2 * TENTH, 50 * TENTH, 51 * TENTH, 52 * TENTH]
    _, outputs = run(Triplet(path(6)), stamps)
    assert [output is None for output in outputs] == [True, True, False, True, True, False]
    assert [each.stamp_ns for each in outputs[5].belated] == [51 * TENTH]
    # Four known steps of 1 m; the unknown motion over the gap is owned up to: 10 m/s for 4.8 s.
    np.testing.assert_allclose(outputs[5].T_odom_base, path(5)[-1], atol=1e-4)
    assert outputs[5].pose_covariance[0, 0] > 45**2 > outputs[2].pose_covariance[0, 0]


def test_a_gap_right_after_the_second_image_is_owned_up_to_from_the_first():
    system, (*_, known) = run(Triplet(path(9)), [0, TENTH, 2 * TENTH])
    run(None, [50 * TENTH, 51 * TENTH], first=3, system=system)
    _, outputs = run(None, [100 * TENTH, 101 * TENTH, 102 * TENTH], first=5, system=system)
    assert outputs[:2] == [None, None]
    grown = outputs[2].pose_covariance[0, 0] - known.pose_covariance[0, 0]
    assert grown > (10 * 4.8) ** 2 + (10 * 5.0) ** 2 - 100, "9.8 s of which only 0.2 s were seen"


def test_another_network_may_see_another_number_of_images():
    poses = path(9)
    system, _ = run(Triplet(poses), [i * TENTH for i in range(4)])
    system.use(perfect(poses), **SIZES)
    _, pairs = run(None, [i * TENTH for i in range(4, 6)], first=4, system=system)
    assert [output is None for output in pairs] == [True, False]
    system.use(Triplet(poses), **SIZES)
    _, outputs = run(None, [i * TENTH for i in range(6, 9)], first=6, system=system)
    assert [output is None for output in outputs] == [True, True, False]
    # Two steps lie between networks: six of the eight are known.
    assert np.linalg.norm(outputs[2].T_odom_base[:3, 3]) == pytest.approx(np.linalg.norm(path(7)[-1][:3, 3]), rel=1e-3)


def test_the_mirrored_question_settles_both_steps():
    bias = np.array([0, 0.01, 0, 0.05, 0, 0])
    _, outputs = run(Triplet(path(6), bias=bias), [i * TENTH for i in range(6)])
    _, pairs = run(perfect(path(6), bias=bias), [i * TENTH for i in range(6)])
    for ours, theirs in zip([*outputs[2].belated, *outputs[2:]], pairs[1:], strict=True):
        np.testing.assert_allclose(ours.T_odom_base, theirs.T_odom_base, atol=1e-9)
        np.testing.assert_allclose(ours.twist_covariance, theirs.twist_covariance, rtol=1e-9)


def test_metres_are_those_of_each_step():
    """The belated step is as long as the scale at its own image says."""
    system = Odometry(Triplet(path(3)), **SIZES)
    outputs = [system.step(frame(stamp_ns=i * TENTH, with_scan=False, image=coded(i)), Scale(scale, 0.02))
               for i, scale in enumerate((9.0, 2.0, 3.0))]
    lengths = [np.linalg.norm(output.T_previous_now[:3, 3]) for output in (*outputs[2].belated, outputs[2])]
    cameras = [T @ T_BASE_CAMERA for T in path(3)]
    true = [np.linalg.norm((pose.inverse(a) @ b)[:3, 3]) for a, b in pairwise(cameras)]
    assert lengths == pytest.approx([2 * true[0], 3 * true[1]], rel=1e-4)
