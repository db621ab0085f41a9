"""systems.drive: the order of outputs, scans moved to the image's time, and a fresh start when time jumps back."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import CALIBRATION, T_BASE_LIDAR, frame, true_depth

from depth_perception.frame import BadInput, Scan
from depth_perception.geometry import deskew, lidar, pose
from depth_perception.systems.bev import Bev, BevOutput
from depth_perception.systems.depth import Config as DepthConfig
from depth_perception.systems.depth import Depth, DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.network_input import focal_ratio
from depth_perception.systems.odometry import T_BODY_OPTICAL, Odometry, OdometryOutput
from depth_perception.systems.scale import Scale

TENTH = 100_000_000


class Seen:
    """Stands in for Depth and keeps the frames it is given."""

    def __init__(self):
        self.frames, self.motions, self.resets = [], [], 0
        self.road = None

    def reset(self):
        self.resets += 1

    def catch_up(self):
        """Nothing to compare."""

    def step(self, frame, T_previous_now):
        self.frames.append(frame)
        self.motions.append(T_previous_now)
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


def test_depth_is_told_the_motion_expected_at_the_last_velocity():
    system, seen = drive()
    for stamp in (0, TENTH, 3 * TENTH):
        list(system.step(frame(stamp_ns=stamp)))
    first, second, third = seen.motions
    assert first is None and second is None  # nothing was known yet
    np.testing.assert_allclose(third, pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 2.0])), atol=1e-6)


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


REAR = pose.from_rotation_vector(np.array([0, 0, np.pi]), np.array([-1.0, 0, 1.5])) @ T_BODY_OPTICAL
AT_FIRST = {"T_base_camera": None, "T_camera_lidar": None}


def seen_by(stamp_ns, **changes):
    """A frame of a camera whose place is another one."""
    now = frame(stamp_ns=stamp_ns)
    return replace(now, calibration=replace(now.calibration, **changes))


@pytest.mark.parametrize("changes", [{"T_base_camera": REAR}, {"base_frame": "car"}], ids=["told at last", "another name"])
def test_a_body_that_becomes_known_in_mid_drive_starts_a_new_drive(changes):
    """TF of a camera that looks back comes with the fifth image: what was forward is backward from then on, and nothing mixes both."""
    system, seen = drive()
    before = {"T_base_camera": REAR} if "base_frame" in changes else AT_FIRST
    first = [list(system.step(seen_by(i * TENTH, **before))) for i in range(4)]
    fifth, sixth, seventh = (list(system.step(seen_by(i * TENTH, **(before | changes)))) for i in (4, 5, 6))
    assert seen.resets == 1
    assert [type(o) for o in fifth] == [DepthOutput, BevOutput]
    assert seen.motions[4] is None
    np.testing.assert_allclose(np.abs(first[3][1].T_odom_base[:3, 3]), [3, 0, 0], atol=1e-6)
    for way, outputs in (1, sixth), (2, seventh):
        _, odometry, _ = outputs
        np.testing.assert_allclose(odometry.T_odom_base[:3, 3], [-way, 0, 0], atol=1e-6)
        assert odometry.base_frame == changes.get("base_frame", "base_link")
    # All that stands ten metres behind the camera, from here and from where it was in the same body.
    assert fifth[1].points[:, 0].max() < 0


def test_what_is_not_the_body_s_place_goes_on():
    """The LiDAR's place that comes later, and a camera's that is told again by somebody who rounds."""
    system, seen = drive()
    rounded = np.round(CALIBRATION.T_base_camera + 1e-5, 4)
    told = [{"T_camera_lidar": None}, {}, {"T_base_camera": rounded}, {}]
    outputs = [list(system.step(seen_by(i * TENTH, **changes))) for i, changes in enumerate(told)]
    assert seen.resets == 0
    np.testing.assert_allclose(outputs[3][1].T_odom_base[:3, 3], [3, 0, 0], atol=1e-3)


class Known:
    """Stands in for Odometry: the body moves as it is told, every tenth of a second the same."""

    def __init__(self, T_before_now):
        T_base_camera = CALIBRATION.T_base_camera
        self._T_previous_now = pose.inverse(T_base_camera) @ T_before_now @ T_base_camera

    def reset(self):
        """Nothing is kept."""

    def step(self, frame, scale, network_input, depth, road):
        none = np.zeros((6, 6))
        return OdometryOutput(np.eye(4), np.zeros(6), none, none, self._T_previous_now, frame.stamp_ns, 0.1, "base_link")


T_BEFORE_NOW = pose.from_rotation_vector(np.array([0.0, 0.01, 0.06]), np.array([1.4, 0.05, 0.0]))
T_LIDAR_BEFORE_NOW = pose.inverse(T_BASE_LIDAR) @ T_BEFORE_NOW @ T_BASE_LIDAR


def swept(still, *, begins_s):
    """The same scan as a LiDAR measures it that moves with the body: its turn takes a tenth of a second, and its points say when."""
    seconds = (begins_s + 0.1 * np.random.default_rng(0).random(len(still.points))).astype(np.float32)
    motions = [pose.inverse(pose.fraction(T_LIDAR_BEFORE_NOW, t / 0.1)) for t in seconds]
    points = [pose.transform(T, point) for T, point in zip(motions, still.points.astype(np.float64), strict=True)]
    return replace(still, points=np.array(points, np.float32), time_s=seconds)


def driven(scan_of, *, config=None, frames=4):
    """Scale after some frames of a network that says the truth in metres, and the frame that depth got last."""
    truth = true_depth(size=(48, 96)) / focal_ratio(CALIBRATION, height=48, canonical_focal_px=30.0)
    depth = Depth(lambda image: {"depth": truth[None, None]}, height=48, width=96, canonical_focal_px=30.0, config=DepthConfig())
    system = Drive(depth, Known(T_BEFORE_NOW), deskew=config)
    for i in range(frames):
        now = frame(stamp_ns=i * TENTH)
        now = replace(now, scan=scan_of(now.scan) if i > 0 else None)
        output, *_ = system.step(now)
        seen = system.at_image_time(now)
        depth.catch_up()
    return output.scale.value, seen


def test_a_swept_scan_gives_the_scale_of_a_still_one():
    still, _ = driven(lambda scan: scan)
    skewed = driven(lambda scan: swept(scan, begins_s=0.0), config=deskew.Config("off"))[0]
    deskewed = driven(lambda scan: swept(scan, begins_s=0.0))[0]
    assert still == pytest.approx(1.0, abs=0.01)
    assert abs(skewed - still) > 0.03
    assert deskewed == pytest.approx(still, abs=2e-3)


@pytest.mark.parametrize("begins_s", [0.0, -0.05, -0.1])
def test_deskewed_points_lie_where_a_still_lidar_sees_them(begins_s):
    truth = lidar.in_camera(frame().scan, CALIBRATION)
    _, off = driven(lambda scan: swept(scan, begins_s=begins_s), config=deskew.Config("off"), frames=2)
    _, on = driven(lambda scan: swept(scan, begins_s=begins_s), frames=2)
    assert off.scan.twist is None
    assert np.abs(lidar.in_camera(off.scan, off.calibration) - truth).max() > 0.5
    np.testing.assert_allclose(lidar.in_camera(on.scan, on.calibration), truth, atol=1e-3)


def test_the_lidar_s_twist_is_the_body_s_seen_from_where_the_lidar_stands():
    """A body that only turns: a LiDAR two metres ahead of it moves sideways."""
    T_base_lidar = pose.from_rotation_vector(np.zeros(3), np.array([2.0, 0.0, 1.8]))
    calibration = replace(CALIBRATION, T_camera_lidar=pose.inverse(CALIBRATION.T_base_camera) @ T_base_lidar)
    system = Drive(Seen(), Known(pose.from_rotation_vector(np.array([0, 0, 0.01]), np.zeros(3))), deskew=deskew.Config("azimuth"))
    for i in range(2):
        list(system.step(replace(frame(stamp_ns=i * TENTH), calibration=calibration)))
    scan = system.depth.frames[-1].scan
    np.testing.assert_allclose(scan.twist, [0, 0.2, 0, 0, 0, 0.1], atol=2e-3)
    np.testing.assert_allclose(scan.seconds_of(np.array([[1.0, 0, 0]])), [0.05], atol=1e-6)


def test_until_the_motion_is_known_scans_stay_as_they_are():
    system = Drive(Seen(), Known(T_BEFORE_NOW))
    first = frame()
    list(system.step(first))
    assert system.depth.frames[-1].scan is first.scan
