"""decode.scan against sensor_msgs_py, wherever it is installed: the same points for every order, datatype, gap and byte order."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sensor_msgs_py", reason="needs sensor_msgs_py, which the ROS wheels lack", exc_type=ImportError)

from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from depth_perception import decode

NAMES = ("x", "y", "z", "intensity", "ring")
FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}  # PointField.INT8 .. FLOAT64


def cloud(names, datatypes, *, gaps, width=5, height=1, is_bigendian=False, row_padding=0, seed=0) -> PointCloud2:
    """Random values (a float field has NaN and infinity too) in the given order; gaps: bytes before each field and after the last."""
    rng, order = np.random.default_rng(seed), ">" if is_bigendian else "<"
    offsets, end = [], 0
    for gap, datatype in zip(gaps, datatypes, strict=False):
        offsets.append(end + gap)
        end = offsets[-1] + np.dtype(FORMATS[datatype]).itemsize
    layout = np.dtype({"names": names, "formats": [order + FORMATS[datatype] for datatype in datatypes], "offsets": offsets,
                       "itemsize": end + gaps[-1]})
    points = rng.integers(0, 256, (height, width * layout.itemsize), np.uint8).view(layout)
    for name, datatype in zip(names, datatypes, strict=True):
        points[name] = rng.integers(0, 100, (height, width))
        if datatype >= PointField.FLOAT32 and name in "xyz":
            points[name] += rng.choice([0, 0.25, np.nan, np.inf], p=[0.4, 0.4, 0.1, 0.1], size=(height, width))
    rows = [row.tobytes() + b"\xee" * row_padding for row in points]
    fields = [PointField(name=name, offset=offset, datatype=datatype, count=1)
              for name, offset, datatype in zip(names, offsets, datatypes, strict=True)]
    message = PointCloud2(header=Header(frame_id="lidar"), height=height, width=width, fields=fields, is_bigendian=is_bigendian,
                          point_step=layout.itemsize, row_step=len(rows[0]), is_dense=False)
    message.data.frombytes(b"".join(rows))
    return message


def as_sensor_msgs_py_reads(message: PointCloud2) -> np.ndarray:
    """Its structured points, without those that are nowhere or no return. It swaps bytes in the message itself: it gets a copy."""
    points = point_cloud2.read_points(copy.deepcopy(message))
    axes = np.array([points[axis].astype(np.float32) for axis in "xyz"])
    return points[np.isfinite(axes).all(0) & axes.any(0)]


def assert_same(message: PointCloud2, theirs: np.ndarray) -> None:
    ours = decode.scan(message)
    np.testing.assert_array_equal(ours.points, np.stack([theirs[axis].astype(np.float32) for axis in "xyz"], 1))
    for name, kind in (("intensity", np.float32), ("ring", np.int32)):
        if name in theirs.dtype.names:
            np.testing.assert_array_equal(getattr(ours, name), theirs[name].astype(kind))
        else:
            assert getattr(ours, name) is None


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("names", list(itertools.permutations(NAMES)), ids=" ".join)
def test_every_field_order(names, is_bigendian):
    datatypes = {"x": 7, "y": 7, "z": 7, "intensity": 2, "ring": 4}
    message = cloud(names, [datatypes[name] for name in names], gaps=[0] * 6, is_bigendian=is_bigendian)
    assert_same(message, as_sensor_msgs_py_reads(message))


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("datatype", FORMATS)
@pytest.mark.parametrize("changed", NAMES)
def test_every_datatype_of_every_field(changed, datatype, is_bigendian):
    message = cloud(NAMES, [datatype if name == changed else 7 for name in NAMES], gaps=[0, 1, 0, 4, 0, 3], is_bigendian=is_bigendian)
    assert_same(message, as_sensor_msgs_py_reads(message))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_layout(data):
    names = data.draw(st.permutations(NAMES).map(lambda names: [name for name in names if name in "xyz" or data.draw(st.booleans())]))
    message = cloud(names, data.draw(st.lists(st.integers(1, 8), min_size=len(names), max_size=len(names))),
                    gaps=data.draw(st.lists(st.integers(0, 9), min_size=len(names) + 1, max_size=len(names) + 1)),
                    width=data.draw(st.integers(1, 6)), height=data.draw(st.integers(1, 3)), is_bigendian=data.draw(st.booleans()),
                    seed=data.draw(st.integers(0, 99)))
    assert_same(message, as_sensor_msgs_py_reads(message))


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_padded_rows(is_bigendian):
    """sensor_msgs_py takes row_step for width * point_step: it reads the same cloud without the padding."""
    layout = {"names": NAMES, "datatypes": [7, 8, 3, 2, 4], "gaps": [0] * 6, "height": 3, "is_bigendian": is_bigendian}
    padded, packed = cloud(**layout, row_padding=5), cloud(**layout)
    assert padded.row_step == packed.row_step + 5
    assert_same(padded, as_sensor_msgs_py_reads(packed))


@pytest.mark.parametrize("datatypes", [(7, 7, 7, 7, 7), (8, 8, 8, 2, 4), (3, 5, 1, 6, 2)])
def test_clouds_that_sensor_msgs_py_creates(datatypes):
    fields = [PointField(name=NAMES[i], offset=8 * i, datatype=datatypes[i], count=1) for i in range(5)]
    points = np.zeros(4, point_cloud2.dtype_from_fields(fields, point_step=44))
    for i, name in enumerate(NAMES):
        points[name] = np.arange(4) * 10 + i
    message = point_cloud2.create_cloud(Header(frame_id="lidar"), fields, points, point_step=44)
    assert decode.scan(message).points.tolist() == [[10 * i, 10 * i + 1, 10 * i + 2] for i in range(4)]
    assert_same(message, points)


def test_clouds_of_plain_points():
    points = [(1.0, -2.0, 3.5), (float("nan"), 0.0, 0.0), (4.0, 5.0, -6.25)]
    message = point_cloud2.create_cloud_xyz32(Header(frame_id="lidar"), points)
    assert decode.scan(message).points.tolist() == [[1.0, -2.0, 3.5], [4.0, 5.0, -6.25]]
