"""systems.drive: the order of outputs, scans moved to the image's time, and a fresh start when time jumps back."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import frame

from depth_perception.frame import BadInput, Scan
from depth_perception.geometry import pose
from depth_perception.systems.bev import Bev, BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import Odometry, OdometryOutput
from depth_perception.systems.scale import Scale

TENTH = 100_000_000


class Seen:
    """Stands in for Depth and keeps the frames it is given."""

    def __init__(self):
        self.frames, self.resets = [], 0

    def reset(self):
        self.resets += 1

    def catch_up(self):
        """Nothing to compare."""

    def step(self, frame):
        self.frames.append(frame)
        shape = (frame.calibration.height, frame.calibration.width)
        ten, image = np.full(shape, 10, np.float32), np.zeros((1, 3, 48, 96), np.float32)
        return DepthOutput(ten, ten, Scale(1.0, 0.1), frame.calibration, frame.stamp_ns, image, {})


def forward(image, neighbour):
    """One metre a step: what was ahead of the earlier camera is a metre nearer to the later one."""
    return {"pose": np.array([[0, 0, 0, 0, 0, -1]], np.float32)}


def drive():
    seen = Seen()
    return Drive(seen, Odometry(forward, height=48, width=96, canonical_focal_px=60.0), Bev()), seen


def test_depth_comes_first_then_odometry_then_bev():
    system, _ = drive()
    assert [type(o) for o in system.step(frame(stamp_ns=0))] == [DepthOutput, BevOutput]
    assert [type(o) for o in system.step(frame(stamp_ns=TENTH))] == [DepthOutput, OdometryOutput, BevOutput]


def test_an_older_scan_is_seen_from_where_the_camera_is_now():
    system, seen = drive()
    for i in range(2):
        list(system.step(frame(stamp_ns=i * TENTH)))
    now = frame(stamp_ns=2 * TENTH)
    old = Scan(now.scan.points, now.stamp_ns - TENTH // 2, frame_id=now.scan.frame_id)
    list(system.step(replace(now, scan=old)))
    T_still, T_moved = now.calibration.T_camera_lidar, seen.frames[-1].calibration.T_camera_lidar
    ahead = np.array([[12.0, 0.0, 0.0]])
    # Ten metres a second for 50 ms: what was ahead is half a metre nearer.
    np.testing.assert_allclose(pose.transform(T_moved, ahead) - pose.transform(T_still, ahead), [[0, 0, -0.5]], atol=1e-6)


def test_time_that_jumps_back_starts_a_new_drive():
    system, seen = drive()
    for stamp in (30 * TENTH, 31 * TENTH, 2 * TENTH):
        outputs = list(system.step(frame(stamp_ns=stamp)))
    assert seen.resets == 1
    assert not any(isinstance(output, OdometryOutput) for output in outputs)


def test_an_image_that_is_not_later_than_the_last_is_refused_and_changes_nothing():
    system, seen = drive()
    list(system.step(frame(stamp_ns=30 * TENTH)))
    for stamp in (30 * TENTH, 29 * TENTH):
        with pytest.raises(BadInput, match="not later"):
            list(system.step(frame(stamp_ns=stamp)))
    assert seen.resets == 0
    assert [type(o) for o in system.step(frame(stamp_ns=31 * TENTH))] == [DepthOutput, OdometryOutput, BevOutput]
