"""decode.scan: every PointField datatype and layout, bytes and points written by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from depth_perception import decode

INT8, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64 = range(1, 9)  # sensor_msgs/PointField

# datatype -> x, y, z of one point, least significant byte first, then most significant byte first.
DATATYPES = {
    INT8: ("01 fe 03", "01 fe 03", [1, -2, 3]),
    UINT8: ("01 fe 03", "01 fe 03", [1, 254, 3]),
    INT16: ("0100 feff 2c01", "0001 fffe 012c", [1, -2, 300]),
    UINT16: ("0100 feff 2c01", "0001 fffe 012c", [1, 65534, 300]),
    INT32: ("01000000 feffffff 2c010000", "00000001 fffffffe 0000012c", [1, -2, 300]),
    UINT32: ("01000000 00000080 2c010000", "00000001 80000000 0000012c", [1, 2147483648, 300]),
    FLOAT32: ("0000003f 000000c0 00009643", "3f000000 c0000000 43960000", [0.5, -2, 300]),
    FLOAT64: ("000000000000e03f 00000000000000c0 0000000000c07240",
              "3fe0000000000000 c000000000000000 4072c00000000000", [0.5, -2, 300]),
}
SIZE = {INT8: 1, UINT8: 1, INT16: 2, UINT16: 2, INT32: 4, UINT32: 4, FLOAT32: 4, FLOAT64: 8}
# datatype -> the number 7 as bytes, in both orders.
SEVEN = {
    INT8: ("07", "07"), UINT8: ("07", "07"), INT16: ("0700", "0007"), UINT16: ("0700", "0007"), INT32: ("07000000", "00000007"),
    UINT32: ("07000000", "00000007"), FLOAT32: ("0000e040", "40e00000"), FLOAT64: ("0000000000001c40", "401c000000000000"),
}
XYZ = "0000803f 00000040 00004040"  # 1, 2, 3


def cloud(data, fields, *, point_step, width=1, height=1, row_step=None, is_bigendian=False):
    """PointCloud2 of hexadecimal bytes; fields: (name, offset, datatype)."""
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=1_700_000_000, nanosec=5), frame_id="lidar"), height=height, width=width,
        fields=[SimpleNamespace(name=name, offset=offset, datatype=datatype, count=1) for name, offset, datatype in fields],
        is_bigendian=is_bigendian, point_step=point_step, row_step=width * point_step if row_step is None else row_step,
        data=bytes.fromhex(data), is_dense=True,
    )


def xyz(datatype=FLOAT32):
    return [(name, i * SIZE[datatype], datatype) for i, name in enumerate("xyz")]


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_points_of_every_datatype(datatype, is_bigendian):
    *data, point = DATATYPES[datatype]
    scan = decode.scan(cloud(data[is_bigendian], xyz(datatype), point_step=3 * SIZE[datatype], is_bigendian=is_bigendian))
    assert scan.points.dtype == np.float32
    assert scan.points.tolist() == [point]
    assert (scan.stamp_ns, scan.frame_id, scan.intensity, scan.ring) == (1_700_000_000_000_000_005, "lidar", None, None)


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("datatype", SEVEN)
@pytest.mark.parametrize("name", ["intensity", "ring"])
def test_intensity_and_ring_of_every_datatype(name, datatype, is_bigendian):
    point = DATATYPES[FLOAT32][is_bigendian] + SEVEN[datatype][is_bigendian]
    message = cloud(point, [*xyz(), (name, 12, datatype)], point_step=12 + SIZE[datatype], is_bigendian=is_bigendian)
    scan = decode.scan(message)
    assert scan.points.tolist() == [[0.5, -2, 300]]
    assert getattr(scan, name).tolist() == [7]


def test_fields_in_any_order_with_gaps():
    data = "00004040 ee 0000803f eeee 0700 eeeeee 00000040 ee"  # z . x .. ring ... y .
    fields = [("ring", 11, UINT16), ("z", 0, FLOAT32), ("y", 16, FLOAT32), ("x", 5, FLOAT32)]
    scan = decode.scan(cloud(data + data, fields, point_step=21, width=2))
    assert scan.points.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert scan.ring.tolist() == [7, 7]


def test_mixed_datatypes():
    data = "0100 00000040 0000000000000840 07"
    scan = decode.scan(cloud(data, [("x", 0, INT16), ("y", 2, FLOAT32), ("z", 6, FLOAT64), ("intensity", 14, UINT8)], point_step=15))
    assert scan.points.tolist() == [[1, 2, 3]]
    assert scan.intensity.tolist() == [7]


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_rows_with_padding(is_bigendian):
    row = ["0000 0100 0200  0300 0400 0500  eeeeee", "0000 0001 0002  0003 0004 0005  eeeeee"][is_bigendian]
    message = cloud(row + row, xyz(INT16), point_step=6, width=2, height=2, row_step=15, is_bigendian=is_bigendian)
    assert decode.scan(message).points.tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("bad", ["0000c07f", "0000807f", "000080ff"])  # NaN, inf, -inf
def test_points_without_a_return_are_left_out(bad):
    data = f"{XYZ} 01  0000803f {bad} 00004040 02  {XYZ} 03"
    scan = decode.scan(cloud(data, [*xyz(), ("intensity", 12, UINT8)], point_step=13, width=3))
    assert scan.points.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert scan.intensity.tolist() == [1, 3]
