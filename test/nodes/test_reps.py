"""The conventions of the field, one test for each: REP 103, 105, 117, 118 and 2003."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from cars import TENTH, info_at, scan_at, static_tf
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from worlds import CALIBRATION, HEIGHT_M, T_BASE_CAMERA, frame, true_depth

from depth_perception import decode
from depth_perception.geometry import pose
from depth_perception.nodes import encode
from depth_perception.systems.bev import Bev
from depth_perception.systems.depth import Config, Depth
from depth_perception.systems.odometry import T_BODY_OPTICAL, Odometry
from depth_perception.systems.scale import Scale

SIZES = {"height": 96, "width": 192, "canonical_focal_px": 120.0}


def depth_output(metres, config=Config()):  # noqa: B008
    """Depth of a network that says `metres` (96, 192), without a scan."""
    return Depth(lambda image: {"depth": metres[None, None]}, **SIZES, config=config).step(frame(with_scan=False))


# --- REP 103: units and axes -----------------------------------------------------------------------------------------


def test_rep_103_optical_frame_is_right_down_forward_and_body_is_forward_left_up():
    right, down, forward = np.eye(3)
    assert (T_BODY_OPTICAL[:3, :3] @ forward).tolist() == [1, 0, 0]
    assert (T_BODY_OPTICAL[:3, :3] @ -right).tolist() == [0, 1, 0]
    assert (T_BODY_OPTICAL[:3, :3] @ -down).tolist() == [0, 0, 1]


def test_rep_103_metres_radians_and_a_turn_to_the_left_is_positive():
    """One metre forward and 0.1 rad to the left in a tenth of a second."""
    T_before_now = pose.from_rotation_vector(np.array([0, 0, 0.1]), np.array([1.0, 0, 0]))
    T_later_earlier = pose.inverse(pose.inverse(T_BASE_CAMERA) @ T_before_now @ T_BASE_CAMERA)
    said = np.concatenate([pose.log_so3(T_later_earlier[:3, :3]), T_later_earlier[:3, 3]])[None]
    mirror = said * np.array([1, -1, -1, -1, 1, 1])
    answers = iter([said, mirror] * 10)
    from depth_perception.systems import odometry

    system = Odometry(lambda image, neighbour: {"pose": next(answers)}, **SIZES, config=_network_alone(odometry.Config))
    assert system.step(frame(stamp_ns=0), Scale(1.0, 0.01)) is None
    message = encode.odometry(system.step(frame(stamp_ns=TENTH), Scale(1.0, 0.01)), "odom")
    p, q, twist = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist
    np.testing.assert_allclose([p.x, p.y, p.z], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], [0, 0, np.sin(0.05), np.cos(0.05)], atol=1e-6)
    assert twist.angular.z == pytest.approx(1.0, abs=1e-6), "radians per second"
    assert np.hypot(twist.linear.x, twist.linear.y) == pytest.approx(10.0, abs=1e-6), "metres per second"


def _network_alone(config):
    return config(refine=False) if "refine" in config.__dataclass_fields__ else config()


def test_rep_103_the_cloud_is_in_the_body_s_axes():
    """The wall stands 20 m ahead of the camera and the road lies under the body."""
    output = depth_output(true_depth())
    points = Bev().step(frame(with_scan=False), output, None).points
    wall = points[points[:, 0] > 18]
    assert np.median(wall[:, 0]) == pytest.approx(20.5, abs=0.3), "x is forward, from the body"
    road = points[points[:, 0] < 15]
    assert np.median(road[:, 2]) == pytest.approx(0.0, abs=0.1), f"z is up: the road is {HEIGHT_M} m under the camera, level with the body"
    left = points[points[:, 1] > 3]
    assert len(left) > 10
    assert (left @ np.array([0, 1, 0, 0]) > 0).all()


# --- REP 105: coordinate frames --------------------------------------------------------------------------------------


def test_rep_105_odometry_is_from_odom_to_the_body_continuous_and_on_tf(car):
    from tf2_msgs.msg import TFMessage

    links = []
    car.observer.create_subscription(TFMessage, "/tf", lambda message: links.extend(message.transforms), 10)
    car.until(lambda: car.observer.count_subscribers("/tf") > 0, "somebody to listen to TF")
    car.send("/tf_static", static_tf())
    i = iter(range(1, 1000))

    def drive():
        now = next(i)
        car.send("camera_info", info_at(now))
        car.send("points", scan_at(now))
        car.depth_of(now, grey=20 + now % 200)
        return len(links) > 5

    car.until(drive, "TF")
    assert {(link.header.frame_id, link.child_frame_id) for link in links} == {("odom", "base_link")}
    assert car.observer.base_frame == "base_link"
    poses = dict(car.observer.trajectory)
    for link in links[1:]:
        T = poses[decode.stamp_ns(link.header)]
        t = link.transform.translation
        np.testing.assert_allclose([t.x, t.y, t.z], T[:3, 3], atol=1e-12)
    steps = np.diff([T[:3, 3] for _, T in car.observer.trajectory], axis=0)
    assert np.abs(steps).max() < 2.0, "no jumps: odom is continuous"


def test_rep_105_a_body_that_nobody_has_named_gets_its_link_when_tf_has_had_time_to_come(car):
    """TF keeps one parent for each frame: a link that is sent too early would take the robot's own from it. Until then it is told."""
    from tf2_msgs.msg import TFMessage

    links, told = [], set()
    car.observer.create_subscription(TFMessage, "/tf", lambda message: links.extend(message.transforms), 10)
    car.until(lambda: car.observer.count_subscribers("/tf") > 0, "somebody to listen to TF")
    car.send("/tf_static", static_tf([("chassis", "camera", T_BASE_CAMERA)]))
    i = iter(range(1, 1000))

    def drive():
        now = next(i)
        car.send("camera_info", info_at(now))
        car.depth_of(now, grey=20 + now % 200)
        told.add("TF odom -> chassis waits a moment" in car.observer.message)
        return links and "TF odom" not in car.observer.message

    car.until(drive, "TF, and that nothing is told to be waited for any more", seconds=60.0)
    assert True in told and int(car.observer.status["skipped"]) == 0
    assert {(link.header.frame_id, link.child_frame_id) for link in links} == {("odom", "chassis")}
    assert decode.stamp_ns(links[0].header) > car.observer.trajectory[0][0], "the odometry itself does not wait"


# --- REP 117 and 118: distances and depth images ---------------------------------------------------------------------


def test_rep_117_what_is_no_measurement_is_nan_and_never_a_distance():
    metres = true_depth().copy()
    metres[:10], metres[10:20], metres[20:30] = 0.0, -3.0, np.nan
    depth = decode.depth_image(decode.serialized_image(encode.depth_image(depth_output(metres, Config(max_depth_m=15.0)))))
    assert np.isnan(depth[:31]).all(), "zero, negative and NaN are no distances"
    assert np.isnan(depth[31:][true_depth()[31:] > 15.5]).all(), "out of reach is none: a network's guess is no proof of free space"
    assert np.nanmin(depth) > 0 and np.nanmax(depth) <= 15.0
    cloud = encode.cloud(Bev().step(frame(with_scan=False), depth_output(true_depth()), None))
    assert cloud.is_dense
    assert np.isfinite(np.frombuffer(cloud.data, np.float32)).all()


def test_rep_118_depth_is_float32_metres_along_z_with_a_camera_info_that_fits():
    output = depth_output(true_depth())
    image, info = deserialize_message(encode.depth_image(output), Image), encode.camera_info(output.calibration, output.stamp_ns)
    assert (image.encoding, image.step, image.is_bigendian) == ("32FC1", 4 * 192, 0)
    values = np.frombuffer(image.data, np.float32).reshape(96, 192)
    np.testing.assert_allclose(values[5], 20.0, rtol=1e-6, err_msg="z, not the length of the ray: a wall across the view has one depth")
    assert (info.width, info.height) == (image.width, image.height)
    assert info.header == image.header
    assert image.header.frame_id == "camera"
    assert not any(info.d), "the image is rectified"
    np.testing.assert_allclose(np.reshape(info.p, (3, 4)), np.column_stack([CALIBRATION.K, np.zeros(3)]))


# --- REP 2003: quality of service ------------------------------------------------------------------------------------


def test_rep_2003_sensors_are_read_best_effort_and_the_grid_is_a_map(car):
    for topic in ("/image", "/camera_info", "/points"):
        (info,) = [info for info in car.observer.get_subscriptions_info_by_topic(topic) if info.node_name == "drive"]
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT, topic
        assert info.qos_profile.durability == DurabilityPolicy.VOLATILE, topic
    (grid,) = car.observer.get_publishers_info_by_topic("/bev/grid")
    assert grid.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert grid.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    for topic in ("/depth/image", "/bev/points", "/odometry"):
        (info,) = car.observer.get_publishers_info_by_topic(topic)
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE, f"{topic}: both kinds of subscribers hear it"
        assert info.qos_profile.history in (HistoryPolicy.KEEP_LAST, HistoryPolicy.UNKNOWN)
