"""nodes.encode: outputs as standard messages; what decode reads back is what the system said."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from worlds import CALIBRATION, T_BASE_CAMERA, frame, true_depth

from depth_perception import decode
from depth_perception.geometry import pose
from depth_perception.nodes import encode
from depth_perception.systems.bev import Bev, Config
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import OdometryOutput
from depth_perception.systems.scale import Scale

STAMP = 1_700_000_000_123_456_789


@pytest.fixture
def depth():
    values = true_depth().copy()
    values[3, 5] = np.nan
    return DepthOutput(values, values, Scale(1.0, 0.1), CALIBRATION, STAMP, np.zeros((1, 3, 48, 96), np.float32), {})


def test_depth_is_32fc1_metres_with_the_source_s_stamp_and_frame(depth):
    message = deserialize_message(encode.depth_image(depth), Image)
    assert (message.encoding, message.width, message.height, message.step) == ("32FC1", 192, 96, 768)
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (1_700_000_000, 123_456_789, "camera")
    np.testing.assert_array_equal(np.frombuffer(message.data, "<f4").reshape(96, 192), depth.depth)
    np.testing.assert_array_equal(decode.depth_image(message), depth.depth)


@settings(deadline=None)
@given(
    frame_id=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    stamp_ns=st.integers(-(2**31) * 10**9, 2**31 * 10**9 - 1),
    height=st.integers(1, 4),
    width=st.integers(1, 5),
)
def test_serialised_here_or_by_ros_it_is_the_same_image(frame_id, stamp_ns, height, width):
    values = np.arange(height * width, dtype=np.float32).reshape(height, width)
    ours = encode.serialized_float_image(values, stamp_ns, frame_id)
    assert deserialize_message(ours, Image) == encode.float_image(values, stamp_ns, frame_id)
    theirs = serialize_message(encode.float_image(values, stamp_ns, frame_id))
    assert 0 <= len(theirs) - len(ours) < 4, "padding, which ROS leaves as it finds it, may follow"
    transposed = encode.serialized_float_image(values.T, stamp_ns, frame_id)
    np.testing.assert_array_equal(decode.depth_image(decode.serialized_image(transposed)), np.where(values.T > 0, values.T, np.nan))


def test_camera_info_is_the_calibration(depth):
    back = decode.calibration(encode.camera_info(depth.calibration, STAMP))
    np.testing.assert_array_equal(back.K, CALIBRATION.K)
    assert (back.width, back.height, back.frame_id) == (192, 96, "camera")


def test_odometry_and_tf_say_the_same_pose():
    pytest.importorskip("tf2_msgs")
    T = pose.from_rotation_vector(np.array([0.1, -0.2, 2.0]), np.array([1.0, 2.0, 3.0]))
    output = OdometryOutput(T, np.arange(6.0), np.diag(np.arange(1.0, 7)), np.eye(6) * 2, np.eye(4), STAMP, 0.1, "base_link")
    message = encode.odometry(output, "odom")
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    p, q = message.pose.pose.position, message.pose.pose.orientation
    np.testing.assert_allclose(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])), T, atol=1e-9)
    assert message.twist.twist.linear.y == 1.0
    assert message.twist.twist.angular.z == 5.0
    np.testing.assert_array_equal(np.reshape(message.pose.covariance, (6, 6)), output.pose_covariance)
    tf = encode.transform(output, "odom").transforms[0]
    assert (tf.header.frame_id, tf.child_frame_id, tf.transform.translation.y) == ("odom", "base_link", 2.0)
    assert tf.transform.rotation.z == q.z


def test_cloud_and_grid(depth):
    output = Bev(Config(stride=1)).step(frame(), depth, None)
    message = encode.cloud(output)
    assert [field.name for field in message.fields] == ["x", "y", "z", "confidence"]
    assert (message.header.frame_id, message.width) == ("base_link", len(output.points))
    np.testing.assert_array_equal(decode.scan(message).points, output.points[:, :3])
    np.testing.assert_array_equal(np.frombuffer(message.data, "<f4").reshape(-1, 4), output.points)
    grid = encode.occupancy_grid(output)
    assert (grid.info.width, grid.info.height) == output.cells.shape[::-1]
    np.testing.assert_array_equal(np.reshape(grid.data, output.cells.shape), output.cells)
    assert grid.info.resolution == pytest.approx(0.2)
    assert T_BASE_CAMERA[2, 3] == 1.5


def test_labels_keep_their_order():
    message = encode.labelled({"decode": 1.0, "total": 2.5})
    assert [dimension.label for dimension in message.layout.dim] == ["decode", "total"]
    assert list(message.data) == [1.0, 2.5]
