"""Plain arrays -> ROS messages, without ROS: what the simulator and the tests write into bags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.geometry import pose

TYPES = get_typestore(Stores.ROS2_JAZZY)
"""The message types that bags are written with."""

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "8UC3": 3, "mono16": 1, "16UC1": 1, "32FC1": 1}


def make(type_name: str, **fields: Any) -> Any:
    """A message of any known type; fields that are not given are zero, empty or false.

    Example: `make("std_msgs/msg/Float32", data=1.0)`.
    """
    if type_name not in TYPES.fielddefs:
        raise BadInput(f"message type: wanted one of ROS 2 Jazzy's, got {type_name!r}")
    known = [name for name, _ in TYPES.fielddefs[type_name][1]]
    if unknown := sorted(set(fields) - set(known)):
        raise BadInput(f"{type_name}: no field {unknown[0]!r}, it has {', '.join(known)}")
    values = {name: fields[name] if name in fields else _zero(kind) for name, kind in TYPES.fielddefs[type_name][1]}
    return TYPES.types[type_name](**values)


def time(stamp_ns: int) -> Any:
    """Nanoseconds -> builtin_interfaces/Time."""
    return make("builtin_interfaces/msg/Time", sec=int(stamp_ns) // 10**9, nanosec=int(stamp_ns) % 10**9)


def header(stamp_ns: int, frame_id: str) -> Any:
    """std_msgs/Header."""
    return make("std_msgs/msg/Header", stamp=time(stamp_ns), frame_id=frame_id)


def string(text: str) -> Any:
    """std_msgs/String."""
    return make("std_msgs/msg/String", data=text)


def image(array: np.ndarray, encoding: str, *, stamp_ns: int, frame_id: str) -> Any:
    """(H, W) or (H, W, C) array -> sensor_msgs/Image; the array's channels are already in the encoding's order."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or _CHANNELS.get(encoding, channels) != channels:
        raise BadInput(f"image: {encoding} wants {_CHANNELS.get(encoding, 'some')} channels, got shape {array.shape}")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    height, width = array.shape[:2]
    return make("sensor_msgs/msg/Image", header=header(stamp_ns, frame_id), height=height, width=width, encoding=encoding,
                is_bigendian=0, step=width * channels * array.itemsize, data=array.reshape(-1).view(np.uint8))


def compressed_image(data: bytes, format: str, *, stamp_ns: int, frame_id: str) -> Any:
    """Encoded file bytes (jpeg, png) -> sensor_msgs/CompressedImage."""
    return make("sensor_msgs/msg/CompressedImage", header=header(stamp_ns, frame_id), format=format, data=np.frombuffer(data, np.uint8))


def camera_info(calibration: Calibration, *, stamp_ns: int, D: Sequence[float] = (0.0,) * 5, distortion_model: str = "plumb_bob") -> Any:
    """sensor_msgs/CameraInfo in the calibration's frame; without D it says that the image is rectified already."""
    P = np.hstack([calibration.K, np.zeros((3, 1))])
    return make("sensor_msgs/msg/CameraInfo", header=header(stamp_ns, calibration.frame_id), height=calibration.height,
                width=calibration.width, distortion_model=distortion_model, d=np.asarray(D, np.float64),
                k=calibration.K.reshape(-1).copy(), r=np.eye(3).reshape(-1), p=P.reshape(-1))


def points(scan: Scan) -> Any:
    """sensor_msgs/PointCloud2 with x y z and, where the scan has them, intensity, ring (uint16) and time (seconds)."""
    columns = {"x": scan.points[:, 0], "y": scan.points[:, 1], "z": scan.points[:, 2]}
    kinds = {"x": "<f4", "y": "<f4", "z": "<f4", "intensity": "<f4", "ring": "<u2", "time": "<f4"}
    for name, column in (("intensity", scan.intensity), ("ring", scan.ring), ("time", scan.time_s)):
        if column is not None:
            columns[name] = column
    rows = np.empty(len(scan.points), np.dtype([(name, kinds[name]) for name in columns]))
    for name, column in columns.items():
        rows[name] = column
    datatypes = {"<f4": 7, "<u2": 4}
    offsets = {name: field[1] for name, field in (rows.dtype.fields or {}).items()}
    fields = [make("sensor_msgs/msg/PointField", name=name, offset=offsets[name], datatype=datatypes[kinds[name]], count=1)
              for name in columns]
    return make("sensor_msgs/msg/PointCloud2", header=header(scan.stamp_ns, scan.frame_id), height=1, width=len(rows), fields=fields,
                is_bigendian=False, point_step=rows.itemsize, row_step=rows.nbytes, data=rows.view(np.uint8).reshape(-1), is_dense=True)


def transforms(links: Iterable[tuple[str, str, np.ndarray]], *, stamp_ns: int) -> Any:
    """(parent, child, (4, 4) T_parent_child) links -> tf2_msgs/TFMessage, for /tf and /tf_static."""
    return make("tf2_msgs/msg/TFMessage", transforms=[
        make("geometry_msgs/msg/TransformStamped", header=header(stamp_ns, parent), child_frame_id=child,
             transform=make("geometry_msgs/msg/Transform", translation=vector(T[:3, 3]), rotation=quaternion(T)))
        for parent, child, T in links])


def vector(xyz: Sequence[float] | np.ndarray) -> Any:
    """geometry_msgs/Vector3."""
    x, y, z = (float(v) for v in xyz)
    return make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)


def quaternion(T: np.ndarray) -> Any:
    """geometry_msgs/Quaternion of the rotation of a (3, 3) or (4, 4) matrix."""
    x, y, z, w = (float(v) for v in pose.quaternion_from_matrix(T[:3, :3]))
    return make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def pose_of(T: np.ndarray) -> Any:
    """geometry_msgs/Pose of a (4, 4) T_parent_child."""
    x, y, z = (float(v) for v in T[:3, 3])
    return make("geometry_msgs/msg/Pose", position=make("geometry_msgs/msg/Point", x=x, y=y, z=z), orientation=quaternion(T))


def pose_stamped(T_parent_child: np.ndarray, *, stamp_ns: int, frame_id: str) -> Any:
    """geometry_msgs/PoseStamped."""
    return make("geometry_msgs/msg/PoseStamped", header=header(stamp_ns, frame_id), pose=pose_of(T_parent_child))


def odometry(T_parent_child: np.ndarray, *, stamp_ns: int, frame_id: str = "odom", child_frame_id: str = "base_link",
             linear: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0), angular: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0),
             pose_covariance: np.ndarray | None = None, twist_covariance: np.ndarray | None = None) -> Any:
    """nav_msgs/Odometry; twist in the child frame (m/s, rad/s), (6, 6) covariances."""
    def flat(covariance: np.ndarray | None) -> np.ndarray:
        return np.zeros(36) if covariance is None else np.asarray(covariance, np.float64).reshape(36)

    return make("nav_msgs/msg/Odometry", header=header(stamp_ns, frame_id), child_frame_id=child_frame_id,
                pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose_of(T_parent_child), covariance=flat(pose_covariance)),
                twist=make("geometry_msgs/msg/TwistWithCovariance", covariance=flat(twist_covariance),
                           twist=make("geometry_msgs/msg/Twist", linear=vector(linear), angular=vector(angular))))


def imu(*, stamp_ns: int, frame_id: str, angular_velocity: Sequence[float], linear_acceleration: Sequence[float]) -> Any:
    """sensor_msgs/Imu, rad/s and m/s^2 in its own frame, without an orientation (covariance -1, as REP 145 says)."""
    unknown = np.zeros(9)
    unknown[0] = -1.0
    return make("sensor_msgs/msg/Imu", header=header(stamp_ns, frame_id), orientation=quaternion(np.eye(4)), orientation_covariance=unknown,
                angular_velocity=vector(angular_velocity), linear_acceleration=vector(linear_acceleration))


def _zero(kind: Any) -> Any:
    """The default of one field, from the typestore's field description: (node type, details)."""
    node, details = int(kind[0]), kind[1]
    if node == 1:  # a plain type: (name, string limit)
        name = details[0]
        return "" if name == "string" else False if name == "bool" else 0.0 if name.startswith("float") else 0
    if node == 2:  # another message
        return make(details)
    (element, length) = details  # 3: fixed array, 4: sequence (length is its limit)
    size = length if node == 3 else 0
    if int(element[0]) == 1 and element[1][0] not in ("string", "bool"):
        return np.zeros(size, {"byte": "uint8", "char": "uint8"}.get(element[1][0], element[1][0]))
    return [_zero(element) for _ in range(size)]
