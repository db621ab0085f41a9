"""Poses of a bag: interpolated where poses stand on both sides, unknown in a gap; the one that is meant is found."""

import numpy as np
import pytest

from depth_perception.bag import Bag, Writer, messages, poses
from depth_perception.frame import BadInput
from depth_perception.geometry import pose

S = 1_000_000_000


def at(metres: float) -> np.ndarray:
    return pose.from_rotation_vector(np.zeros(3), np.array([metres, 0, 0]))


def path(*seconds: float) -> poses.Poses:
    """3 m/s, seen at these moments."""
    return poses.in_order([round(t * S) for t in seconds], [at(3 * t) for t in seconds], "base_link", "made up")


def asked(known: poses.Poses, *seconds: float) -> tuple[list[float], list[bool]]:
    T, inside = known.at(np.array([round(t * S) for t in seconds], np.int64))
    return T[:, 0, 3].tolist(), inside.tolist()


def test_between_two_poses():
    metres, inside = asked(path(1, 2, 3), 0.5, 1, 1.5, 2.25, 3, 3.5)
    assert inside == [False, True, True, True, True, False] and metres[1:5] == pytest.approx([3, 4.5, 6.75, 9])


def test_in_a_gap_nothing_is_known_but_its_ends_are():
    known = path(0, 1, 2, 120, 121)
    assert asked(known, 1.9, 2, 2.1, 60, 119.9, 120, 120.5)[1] == [True, True, False, False, False, True, True]
    assert asked(path(0, 1, 2.05, 3), 1.5)[1] == [True], "GPS gives a pose a second, and not to the millisecond"


def write(folder, topics):
    """topics: name -> number of messages; odometry, but /goal_pose has PoseStamped."""
    with Writer(folder) as bag:
        for name, count in topics.items():
            for i in range(count):
                bag.write(name, messages.pose_stamped(at(i), stamp_ns=i * S, frame_id="map") if name == "/goal_pose"
                          else messages.odometry(at(i), stamp_ns=i * S, frame_id="odom", child_frame_id="base_link"), i * S)
    return Bag(folder)


def test_one_pose_is_no_path(tmp_path):
    assert poses.find(write(tmp_path / "goal", {"/wheel/odom": 3, "/goal_pose": 1})).source == "/wheel/odom"
    with pytest.raises(BadInput, match="has no odometry"):
        poses.find(write(tmp_path / "alone", {"/goal_pose": 1}))
    with pytest.raises(BadInput, match="wanted at least two poses, got 1"):
        poses.find(Bag(tmp_path / "alone"), "/goal_pose")


def test_the_caller_s_own_option_is_named(tmp_path):
    bag = write(tmp_path / "bag", {"/wheel/odom": 3, "/visual/odom": 3})
    with pytest.raises(BadInput, match=r"^reference: .*several: /visual/odom, /wheel/odom; name one with --reference$"):
        poses.find(bag)
    ours = {"whose": "velocity", "option": "velocity_source"}
    with pytest.raises(BadInput, match=r"^velocity: .*several: /visual/odom, /wheel/odom; name one with velocity_source$"):
        poses.find(bag, **ours)
    for name in ("/wheel", "odom:base_link"):
        with pytest.raises(BadInput, match=f"^velocity '?{name}") as said:
            poses.find(bag, name, **ours)
        assert "kiss-icp" not in str(said.value) and "reference" not in str(said.value)
