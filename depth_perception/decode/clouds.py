"""PointCloud2 messages -> scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_perception.decode.stamps import stamp_ns
from depth_perception.frame import BadInput, Scan

_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
# Field names of the common drivers (Velodyne, Ouster, Hesai, RoboSense, Livox), lower case.
_NAMES = {"x": ("x",), "y": ("y",), "z": ("z",), "intensity": ("intensity", "i"), "ring": ("ring", "line", "channel"),
          "time": ("t", "time", "timestamp", "offset_time", "time_stamp", "time_offset_ns")}
_LONGEST_SWEEP_S = 1.0
_LARGEST_OFFSET_S = 10.0
_LARGEST_POINT = 4096
_SINGLE_NS = 4 * 10**9  # later stamps do not fit into 32 bits of nanoseconds, nor to a microsecond into a float32 of seconds


def scan_offset_ns(scan_offset_s: float) -> int:
    """Seconds that are added to every scan's stamp, to make the LiDAR's clock the camera's -> nanoseconds; BadInput for more than 10 s."""
    if isinstance(scan_offset_s, (int, float)) and abs(scan_offset_s) <= _LARGEST_OFFSET_S:
        return round(scan_offset_s * 1e9)
    raise BadInput(f"scan_offset_s: wanted seconds, {-_LARGEST_OFFSET_S:g} to {_LARGEST_OFFSET_S:g}, got {scan_offset_s!r}")


def scan(msg: Any, *, offset_ns: int = 0) -> Scan:
    """sensor_msgs/PointCloud2 of any field order, datatype, padding and byte order -> Scan.

    Points with NaN or inf are left out, and those at exactly (0, 0, 0): so several drivers fill the place of a beam without a return.
    offset_ns: added to the stamp (see `scan_offset_ns`); the points' times stay relative to it, so that the whole sweep moves.
    Raises BadInput, naming the fields that came, when x, y or z is missing, and when the bytes do not fit the layout.
    """
    table = _table(msg)
    with np.errstate(over="ignore", invalid="ignore"):
        points = np.empty((table.size, 3), np.float32)
        for axis, name in enumerate("xyz"):
            points[:, axis] = table[name].reshape(-1)
        x, y, z = points.T
        returned = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
        zero = np.flatnonzero(x == 0)  # few are: y and z of all would cost more than the rest
        returned[zero] &= (y[zero] != 0) | (z[zero] != 0)
        kept = slice(None) if returned.all() else np.flatnonzero(returned)
        columns = {name: table[name].reshape(-1)[kept] for name in table.dtype.names or () if name not in "xyz"}
        stamp = stamp_ns(msg.header)
        return Scan(
            points[kept],
            stamp + offset_ns,
            intensity=columns["intensity"].astype(np.float32) if "intensity" in columns else None,
            ring=columns["ring"].astype(np.int32) if "ring" in columns else None,
            time_s=_seconds(columns["time"], stamp) if "time" in columns else None,
            frame_id=msg.header.frame_id.lstrip("/"),
        )


def _table(msg: Any) -> np.ndarray:
    """(height, width) structured view of the points, with our names for the fields."""
    came: dict[str, Any] = {}
    for field in msg.fields:
        came.setdefault(field.name.lower(), field)
    wanted = {ours: next((came[name] for name in names if name in came), None) for ours, names in _NAMES.items()}
    if any(wanted[axis] is None for axis in "xyz"):
        raise BadInput(f"point cloud: wanted fields x, y, z, got {', '.join(field.name for field in msg.fields) or 'none'}")
    order = ">" if msg.is_bigendian else "<"
    names, formats, offsets = [], [], []
    width, height, point_step, row_step = int(msg.width), int(msg.height), int(msg.point_step), int(msg.row_step)
    if not 0 < point_step <= _LARGEST_POINT:
        raise BadInput(f"point cloud: wanted points of 1 to {_LARGEST_POINT} bytes, got point_step {point_step}")
    for ours, field in wanted.items():
        if field is None:
            continue
        if field.datatype not in _DATATYPES:
            raise BadInput(f"point cloud: field {field.name} has the unknown datatype {field.datatype}")
        dtype = np.dtype(order + _DATATYPES[field.datatype])
        if not 0 <= field.offset <= point_step - dtype.itemsize:
            raise BadInput(f"point cloud: field {field.name} at byte {field.offset} lies outside a point of {point_step} bytes")
        names.append(ours)
        formats.append(dtype)
        offsets.append(int(field.offset))
    layout = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": point_step})
    if width <= 0 or height <= 0:
        return np.empty((0, 0), layout)
    try:
        data = np.frombuffer(msg.data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise BadInput(f"point cloud data: wanted bytes, got {type(msg.data).__name__} ({error})") from None
    if row_step < width * point_step or len(data) < row_step * height:
        raise BadInput(f"point cloud: wanted {height} rows of {width} points of {point_step} bytes, "
                       f"got {len(data)} bytes with a row step of {row_step}")
    return np.ndarray((height, width), layout, data, strides=(row_step, point_step))


def _seconds(time: np.ndarray, stamp: int) -> np.ndarray | None:
    """(N,) raw time field -> (N,) float32 seconds relative to the stamp, or None when it follows another clock.

    Integers are nanoseconds; floats are seconds, or nanoseconds when too large for that. Whether they count from the stamp or
    are absolute is what fits the stamp better: under simulated time, absolute seconds are small as well.
    """
    if time.size == 0:
        return np.zeros(0, np.float32)
    if not np.isfinite(time).all():
        return None
    value = time.astype(np.float64)
    unit = 1e-9 if time.dtype.kind != "f" or np.abs(value).max() > 1e14 else 1.0
    from_stamp, absolute = value * unit, (value - stamp * (1e-9 / unit)) * unit
    nearer = min(from_stamp, absolute, key=lambda seconds: float(np.abs(seconds).max()))
    if nearer is absolute and time.dtype.itemsize < 8 and stamp > _SINGLE_NS:
        return None  # an absolute time in four bytes is minutes coarse, or has run over
    return nearer.astype(np.float32) if np.abs(nearer).max() <= _LONGEST_SWEEP_S else None
