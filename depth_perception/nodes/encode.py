"""Outputs -> ROS messages. Here alone it is decided that depth is 32FC1 in metres and NaN means none."""

from __future__ import annotations

import struct
from array import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Float32MultiArray, Header, MultiArrayDimension

from depth_perception.frame import Calibration
from depth_perception.geometry import pose
from depth_perception.nodes.optional import TFMessage
from depth_perception.systems.bev import BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import OdometryOutput


def time_message(stamp_ns: int) -> Time:
    """Integer nanoseconds -> Time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Stamp and frame of the source."""
    return Header(stamp=time_message(stamp_ns), frame_id=frame_id)


def float_image(values: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """(H, W) float32 -> Image 32FC1."""
    height, width = values.shape
    data = array_of(values)
    return Image(header=header(stamp_ns, frame_id), height=height, width=width, encoding="32FC1", is_bigendian=0, step=4 * width, data=data)


def serialized_float_image(values: np.ndarray, stamp_ns: int, frame_id: str) -> bytes:
    """`float_image`, serialised (little-endian CDR): a publisher sends bytes as they are, and copies the pixels once less."""
    height, width = values.shape
    name = frame_id.encode() + b"\0"
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    head = b"\0\1\0\0" + struct.pack("<iII", seconds, nanoseconds, len(name)) + name
    head += bytes(-len(head) % 4) + struct.pack("<III6sx", height, width, 6, b"32FC1")  # x: not big-endian
    head += bytes(-len(head) % 4) + struct.pack("<II", 4 * width, 4 * values.size)
    return head + memoryview(np.ascontiguousarray(values, "<f4")).cast("B")


def depth_image(output: DepthOutput) -> bytes:
    """Image 32FC1, serialised: depth in metres, NaN = none; the size is that of `depth.size`."""
    values = output.cut if output.config.size == "network" else output.depth
    return serialized_float_image(values, output.stamp_ns, output.calibration.frame_id)


def confidence_image(output: DepthOutput) -> bytes:
    """Image 32FC1, serialised: confidence 0..1, of the depth image's size."""
    values = output.network_confidence if output.config.size == "network" else output.confidence
    return serialized_float_image(values, output.stamp_ns, output.calibration.frame_id)


def depth_info(output: DepthOutput) -> CameraInfo:
    """CameraInfo of the depth image, at its size."""
    return camera_info(output.network_calibration if output.config.size == "network" else output.calibration, output.stamp_ns)


def camera_info(calibration: Calibration, stamp_ns: int) -> CameraInfo:
    """CameraInfo of a rectified image: no distortion, P = [K 0]."""
    K = calibration.K
    P = np.zeros((3, 4))
    P[:, :3] = K
    return CameraInfo(
        header=header(stamp_ns, calibration.frame_id),
        height=calibration.height,
        width=calibration.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=K.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=P.ravel().tolist(),
    )


def odometry(output: OdometryOutput, odom_frame: str) -> Odometry:
    """Pose in odom, twist in the body frame, both with covariance."""
    message = Odometry(header=header(output.stamp_ns, odom_frame), child_frame_id=output.base_frame)
    x, y, z, w = (float(v) for v in pose.quaternion_from_matrix(output.T_odom_base[:3, :3]))
    position, orientation = message.pose.pose.position, message.pose.pose.orientation
    position.x, position.y, position.z = (float(v) for v in output.T_odom_base[:3, 3])
    orientation.x, orientation.y, orientation.z, orientation.w = x, y, z, w
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = (float(v) for v in output.twist)
    message.pose.covariance = output.pose_covariance.ravel()
    message.twist.covariance = output.twist_covariance.ravel()
    return message


def transform(output: OdometryOutput, odom_frame: str) -> TFMessage:
    """TF odom -> body of the same pose."""
    stamped = TransformStamped(header=header(output.stamp_ns, odom_frame), child_frame_id=output.base_frame)
    translation, rotation = stamped.transform.translation, stamped.transform.rotation
    translation.x, translation.y, translation.z = (float(v) for v in output.T_odom_base[:3, 3])
    rotation.x, rotation.y, rotation.z, rotation.w = (float(v) for v in pose.quaternion_from_matrix(output.T_odom_base[:3, :3]))
    return TFMessage(transforms=[stamped])


def cloud(output: BevOutput) -> PointCloud2:
    """x, y, z in metres, body frame, and confidence 0..1."""
    names = ("x", "y", "z", "confidence")
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate(names)]
    count = len(output.points)
    return PointCloud2(
        header=header(output.stamp_ns, output.base_frame),
        height=1,
        width=count,
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * count,
        data=array_of(output.points),
        is_dense=True,
    )


def occupancy_grid(output: BevOutput) -> OccupancyGrid:
    """The grid around the body, in the body frame."""
    return cells_message(output.cells, header(output.stamp_ns, output.base_frame), origin=output.origin, cell_m=output.cell_m)


def cells_message(cells: np.ndarray, head: Header, *, origin: tuple[float, float], cell_m: float) -> OccupancyGrid:
    """(rows, columns) int8 cells of `cell_m`; origin: x, y of their corner, metres."""
    message = OccupancyGrid(header=head, data=array("b", cells.tobytes()))
    info = message.info
    info.map_load_time = message.header.stamp
    info.resolution = cell_m
    info.height, info.width = cells.shape
    info.origin.position.x, info.origin.position.y = origin
    return message


def labelled(values: dict[str, float]) -> Float32MultiArray:
    """Named numbers: one dimension per name, in order."""
    message = Float32MultiArray(data=list(values.values()))
    message.layout.dim = [MultiArrayDimension(label=name, size=1, stride=1) for name in values]
    return message


def array_of(values: np.ndarray) -> array:  # type: ignore[type-arg]
    """An array as the message's own buffer type: the only assignment that rclpy does not check element by element."""
    out = array("B")
    out.frombytes(memoryview(np.ascontiguousarray(values)).cast("B") if values.size else b"")
    return out
