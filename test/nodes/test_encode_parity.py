"""nodes.encode against cv_bridge and sensor_msgs_py, wherever installed: they read our outputs as meant, and write the same."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from worlds import CALIBRATION, frame, true_depth

from depth_perception.nodes import encode
from depth_perception.systems.bev import Bev, Config
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.scale import Scale

STAMP = 1_700_000_000_123_456_789


@pytest.fixture
def bridge():
    # Its compiled part loads only beside the NumPy that it was built for.
    pytest.importorskip("cv_bridge.boost.cv_bridge_boost", reason="needs cv_bridge, which the ROS wheels lack", exc_type=ImportError)
    import cv_bridge

    return cv_bridge.CvBridge()


@pytest.fixture
def point_cloud2():
    pytest.importorskip("sensor_msgs_py", reason="needs sensor_msgs_py, which the ROS wheels lack", exc_type=ImportError)
    from sensor_msgs_py import point_cloud2

    return point_cloud2


@pytest.fixture
def depth():
    values = true_depth().copy()
    values[3, 5] = np.nan
    confidence = np.linspace(0, 1, values.size, dtype=np.float32).reshape(values.shape)
    return DepthOutput(values, confidence, Scale(1.0, 0.1), CALIBRATION, STAMP, np.zeros((1, 3, 48, 96), np.float32), {})


@pytest.mark.parametrize("name", ["depth", "confidence"])
def test_float_images(bridge, depth, name):
    message, values = getattr(encode, f"{name}_image")(depth), getattr(depth, name)
    for encoding in ("passthrough", "32FC1"):
        read = bridge.imgmsg_to_cv2(message, encoding)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values)
    assert bridge.cv2_to_imgmsg(values, "32FC1", header=message.header) == message


def test_cloud(point_cloud2, depth):
    output = Bev(Config(stride=1)).step(frame(), depth, None)
    message = encode.cloud(output)
    read = point_cloud2.read_points(message)
    assert read.dtype.names == ("x", "y", "z", "confidence")
    assert len(read) > 100
    for column, name in enumerate(read.dtype.names):
        np.testing.assert_array_equal(read[name], output.points[:, column])
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(message, field_names=("x", "y", "z")), output.points[:, :3])
    written = point_cloud2.create_cloud(message.header, message.fields, output.points)
    written.is_dense = message.is_dense  # it never says so; ours has no NaN
    assert np.isfinite(output.points).all()
    assert written == message


def test_an_empty_cloud(point_cloud2, depth):
    from dataclasses import replace

    output = replace(Bev(Config(stride=1)).step(frame(), depth, None), points=np.zeros((0, 4), np.float32))
    assert len(point_cloud2.read_points(encode.cloud(output))) == 0
