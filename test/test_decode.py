"""decode: hand-written bytes with known colours, every cloud layout against plain values, cameras, and what must be refused."""

import array
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception import decode
from depth_perception.bag import messages
from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree

STAMP = 1_700_000_000_123_456_789


def raw_image(data, encoding, *, height, width, step, is_bigendian=0):
    return SimpleNamespace(header=messages.header(STAMP, "camera"), height=height, width=width, encoding=encoding, step=step,
                           is_bigendian=is_bigendian, data=data)


def one_pixel(values, encoding, *, is_bigendian=0):
    data = bytes(values)
    return decode.image(raw_image(data, encoding, height=1, width=1, step=len(data), is_bigendian=is_bigendian))[0, 0].tolist()


@pytest.mark.parametrize(("encoding", "values", "rgb"), [
    ("rgb8", [1, 2, 3], [1, 2, 3]), ("bgr8", [3, 2, 1], [1, 2, 3]), ("8UC3", [3, 2, 1], [1, 2, 3]),
    ("rgba8", [1, 2, 3, 9], [1, 2, 3]), ("bgra8", [3, 2, 1, 9], [1, 2, 3]), ("8UC4", [3, 2, 1, 9], [1, 2, 3]),
    ("mono8", [7], [7, 7, 7]), ("8UC1", [7], [7, 7, 7]),
    ("rgb16", [255, 255, 0, 0, 1, 1], [255, 0, 1]), ("bgr16", [1, 1, 0, 0, 255, 255], [255, 0, 1]),
    ("rgba16", [255, 255, 0, 0, 1, 1, 5, 5], [255, 0, 1]), ("bgra16", [1, 1, 0, 0, 255, 255, 5, 5], [255, 0, 1]),
    ("mono16", [0, 128], [128, 128, 128]), ("16UC1", [255, 255], [255, 255, 255]),
])
def test_one_pixel_of_every_direct_encoding(encoding, values, rgb):
    assert one_pixel(values, encoding) == rgb


def test_big_endian_is_honoured():
    assert one_pixel([1, 0], "mono16", is_bigendian=1) == [1, 1, 1]  # 256 / 257
    assert one_pixel([1, 0], "mono16") == [0, 0, 0]
    depth = decode.depth_image(raw_image(bytes([0x03, 0xE8]), "16UC1", height=1, width=1, step=2, is_bigendian=1))
    assert depth.tolist() == [[1.0]]


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
@pytest.mark.parametrize("holder", [bytes, bytearray, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8), memoryview])
def test_8_bit_is_a_view_past_the_padding(encoding, holder):
    channels = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}[encoding]
    step = 5 * channels + 3
    rows = np.random.default_rng(0).integers(0, 256, (4, step), np.uint8)
    data = holder(rows.tobytes())
    image = decode.image(raw_image(data, encoding, height=4, width=5, step=step))
    plain = rows[:, :5 * channels].reshape(4, 5, channels)
    expected = {"rgb8": plain, "bgr8": plain[..., ::-1], "rgba8": plain[..., :3], "bgra8": plain[..., 2::-1],
                "mono8": np.repeat(plain, 3, 2)}
    np.testing.assert_array_equal(image, expected[encoding])
    assert np.shares_memory(image, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_of_one_colour(pattern, bits):
    colour = {"r": 200, "g": 100, "b": 50}
    mosaic = np.tile(np.array([[colour[pattern[0]], colour[pattern[1]]], [colour[pattern[2]], colour[pattern[3]]]]), (4, 4))
    values = mosaic.astype(np.uint8) if bits == 8 else (mosaic * 257).astype(np.uint16)
    message = messages.image(values, f"bayer_{pattern}{bits}", stamp_ns=STAMP, frame_id="camera")
    assert decode.image(message)[2:-2, 2:-2].reshape(-1, 3).tolist() == [[200, 100, 50]] * 16


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")])
def test_yuv422(encoding, order):
    y, u, v = 81, 90, 240  # BT.601 red
    data = bytes({"y": y, "u": u, "v": v}[c] for c in order) * 4
    image = decode.image(raw_image(data, encoding, height=2, width=4, step=8))
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(("encoding", "chroma"), [("nv12", [90, 240]), ("nv21", [240, 90])])
def test_yuv420(encoding, chroma):
    data = bytes([81] * 16 + chroma * 4)
    image = decode.image(raw_image(data, encoding, height=4, width=4, step=4))
    assert image.shape == (4, 4, 3)
    assert np.abs(image.astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(("fields", "said"), [
    ({"encoding": "rgb9"}, "rgb9"), ({"step": 5}, "a step of 5"), ({"data": b"12345"}, "5 bytes"), ({"width": 0}, "0x2"),
    ({"data": [1, 2]}, "list"), ({"encoding": "bayer_rggb12"}, "bayer_rggb12"), ({"encoding": ""}, "''"),
])
def test_images_that_are_refused(fields, said):
    message = raw_image(bytes(12), "rgb8", height=2, width=2, step=6)
    vars(message).update(fields)
    with pytest.raises(BadInput, match="image") as refused:
        decode.image(message)
    assert said in str(refused.value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([*decode.images.ENCODINGS, "32FC1", "nonsense", "bayer_", ""]),
       st.integers(-1, 9), st.integers(-1, 9), st.integers(-1, 40), st.integers(0, 1))
def test_random_images_give_an_array_or_bad_input(data, encoding, height, width, step, is_bigendian):
    message = raw_image(data, encoding, height=height, width=width, step=step, is_bigendian=is_bigendian)
    for function, shape in ((decode.image, (height, width, 3)), (decode.depth_image, (height, width))):
        try:
            assert function(message).shape == shape
        except BadInput as refused:
            assert "image" in str(refused)


def test_compressed_images():
    rgb = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)

    def message(pixels, extension, format):
        return messages.compressed_image(cv2.imencode(extension, pixels)[1].tobytes(), format, stamp_ns=STAMP, frame_id="camera")

    np.testing.assert_array_equal(decode.compressed_image(message(rgb[..., ::-1], ".png", "png")), rgb)
    np.testing.assert_array_equal(decode.compressed_image(message(rgb[..., ::-1], ".png", "rgb8; png compressed bgr8")), rgb)
    np.testing.assert_array_equal(decode.compressed_image(message(rgb, ".png", "rgb8; png compressed ")), rgb)
    deep, grey = rgb[..., ::-1].astype(np.uint16) * 257, np.repeat(rgb[..., :1], 3, 2)
    np.testing.assert_array_equal(decode.compressed_image(message(deep, ".png", "rgb16; png compressed bgr16")), rgb)
    np.testing.assert_array_equal(decode.compressed_image(message(rgb[..., 0], ".png", "mono8; png compressed ")), grey)
    flat = np.full((16, 16, 3), [200, 100, 50], np.uint8)
    jpeg = decode.compressed_image(message(flat[..., ::-1], ".jpg", "bgr8; jpeg compressed bgr8"))
    assert np.abs(jpeg.astype(int) - flat).max() <= 4


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["jpeg", "png", "16UC1; compressedDepth png", ""]),
       st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]))
def test_random_compressed_images_are_refused(data, format, magic):
    with pytest.raises(BadInput, match="compressed image"):
        decode.compressed_image(messages.compressed_image(magic + data, format, stamp_ns=STAMP, frame_id="camera"))


def test_depth_images():
    metres = np.array([[1.5, np.nan], [0.0, np.inf]], np.float32)
    expected = np.array([[1.5, np.nan], [np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(decode.depth_image(messages.image(metres, "32FC1", stamp_ns=STAMP, frame_id="camera")), expected)
    millimetres = np.array([[1500, 0], [0, 0]], np.uint16)
    np.testing.assert_array_equal(decode.depth_image(messages.image(millimetres, "16UC1", stamp_ns=STAMP, frame_id="camera")), expected)
    with pytest.raises(BadInput, match="rgb8"):
        decode.depth_image(raw_image(bytes(3), "rgb8", height=1, width=1, step=3))


DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}


def cloud(columns, *, datatypes, order=None, gaps=(), is_bigendian=False, height=1, row_padding=0, tail=0):
    """A PointCloud2 written value by value: columns name -> (N,) values; gaps: unused bytes before each field."""
    order = list(columns) if order is None else order
    offset, fields = 0, []
    for index, name in enumerate(order):
        offset += gaps[index] if index < len(gaps) else 0
        fields.append(messages.make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=datatypes[name], count=1))
        offset += np.dtype(DATATYPES[datatypes[name]]).itemsize
    point_step, count = offset + tail, len(columns[order[0]])
    width = count // height
    row_step = width * point_step + row_padding
    data = bytearray(np.random.default_rng(2).integers(0, 256, row_step * height, np.uint8).tobytes())
    for field in fields:
        for index, value in enumerate(columns[field.name]):
            start = index // width * row_step + index % width * point_step + field.offset
            word = np.array(value).astype(np.dtype(DATATYPES[field.datatype]).newbyteorder(">" if is_bigendian else "<")).tobytes()
            data[start:start + len(word)] = word
    return messages.make("sensor_msgs/msg/PointCloud2", header=messages.header(STAMP, "/lidar"), height=height, width=width, fields=fields,
                         is_bigendian=is_bigendian, point_step=point_step, row_step=row_step, data=np.frombuffer(bytes(data), np.uint8))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_layout_gives_the_plain_values(data):
    height, width = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    names = ["x", "y", "z", *data.draw(st.sets(st.sampled_from(["intensity", "ring", "other"])))]
    columns = {name: np.array(data.draw(st.lists(st.integers(0, 100), min_size=height * width, max_size=height * width))) for name in names}
    message = cloud(columns, datatypes={name: data.draw(st.sampled_from(list(DATATYPES))) for name in names},
                    order=data.draw(st.permutations(names)), gaps=data.draw(st.lists(st.integers(0, 5), max_size=6)),
                    is_bigendian=data.draw(st.booleans()), height=height,
                    row_padding=data.draw(st.integers(0, 7)), tail=data.draw(st.integers(0, 5)))
    scan = decode.scan(message)
    points = np.stack([columns[axis] for axis in "xyz"], 1).astype(np.float32)
    returned = points.any(1)
    np.testing.assert_array_equal(scan.points, points[returned])
    assert scan.points.dtype == np.float32
    for name, column, dtype in (("intensity", scan.intensity, np.float32), ("ring", scan.ring, np.int32)):
        if name in columns:
            np.testing.assert_array_equal(column, columns[name][returned].astype(dtype))
            assert column.dtype == dtype
        else:
            assert column is None
    assert (scan.stamp_ns, scan.frame_id, scan.time_s) == (STAMP, "lidar", None)


def test_points_that_are_not_finite_are_left_out_everywhere():
    message = cloud({"x": [1, np.nan, 3, 4], "y": [1, 2, np.inf, 4], "z": [1, 2, 3, 4], "i": [10, 20, 30, 40], "line": [0, 1, 2, 3]},
                    datatypes={"x": 7, "y": 8, "z": 7, "i": 2, "line": 2})
    scan = decode.scan(message)
    assert scan.points.tolist() == [[1, 1, 1], [4, 4, 4]]
    assert (scan.intensity.tolist(), scan.ring.tolist()) == ([10, 40], [0, 3])


@pytest.mark.parametrize(("name", "datatype", "values", "seconds"), [
    ("time", 7, [-0.1, 0.0, 0.05], [-0.1, 0.0, 0.05]),  # Velodyne: seconds
    ("t", 6, [0, 50_000_000, 99_000_000], [0, 0.05, 0.099]),  # Ouster: ns
    ("offset_time", 6, [0, 50_000_000, 99_000_000], [0, 0.05, 0.099]),  # Livox: ns
    ("timestamp", 8, [STAMP * 1e-9, STAMP * 1e-9 + 0.05], [0, 0.05]),  # Hesai, RoboSense: seconds since 1970
    ("timestamp", 8, [float(STAMP), float(STAMP + 50_000_000)], [0, 0.05]),  # Livox 2: ns since 1970
    ("time", 8, [12345.0, 12345.1], None),  # since the sensor was switched on: another clock
    ("time", 7, [0.0, np.nan], None),
])
def test_times_of_the_common_drivers(name, datatype, values, seconds):
    axis = np.arange(1, len(values) + 1)
    scan = decode.scan(cloud({"x": axis, "y": axis, "z": axis, name: values}, datatypes={"x": 7, "y": 7, "z": 7, name: datatype}))
    if seconds is None:
        assert scan.time_s is None
    else:
        np.testing.assert_allclose(scan.time_s, seconds, atol=1e-6)


def test_clouds_that_are_refused():
    values = {"x": [1.0], "y": [1.0], "z": [1.0]}
    types = {"x": 7, "y": 7, "z": 7}
    with pytest.raises(BadInput, match=r"wanted fields x, y, z, got x, height"):
        decode.scan(cloud({"x": [1.0], "height": [1.0]}, datatypes={"x": 7, "height": 7}))
    for change, said in ({"row_step": 4}, "row step of 4"), ({"height": 2}, "12 bytes"), ({"point_step": 8}, "outside a point of 8"):
        message = cloud(values, datatypes=types)
        for name, value in change.items():
            object.__setattr__(message, name, value)
        with pytest.raises(BadInput, match="point cloud") as refused:
            decode.scan(message)
        assert said in str(refused.value)
    message = cloud(values, datatypes=types)
    object.__setattr__(message.fields[0], "datatype", 9)
    with pytest.raises(BadInput, match="datatype 9"):
        decode.scan(message)


def test_an_empty_cloud_is_an_empty_scan():
    scan = decode.scan(messages.points(Scan(np.zeros((0, 3), np.float32), STAMP, intensity=np.zeros(0))))
    assert (scan.points.shape, scan.intensity.shape) == ((0, 3), (0,))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 5), st.integers(0, 5), st.integers(0, 20), st.integers(0, 60), st.booleans(),
       st.lists(st.tuples(st.sampled_from(["x", "y", "z", "t", "ring", "intensity"]), st.integers(0, 20), st.integers(0, 9)), max_size=7))
def test_random_clouds_give_finite_points_or_bad_input(data, height, width, point_step, row_step, is_bigendian, fields):
    message = SimpleNamespace(header=messages.header(STAMP, "lidar"), height=height, width=width, point_step=point_step, row_step=row_step,
                              is_bigendian=is_bigendian, data=data,
                              fields=[SimpleNamespace(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in fields])
    try:
        assert np.isfinite(decode.scan(message).points).all()
    except BadInput as refused:
        assert "point cloud" in str(refused)


def test_scan_round_trip_through_a_message():
    rng = np.random.default_rng(3)
    scan = Scan(rng.normal(size=(9, 3)).astype(np.float32), STAMP, rng.random(9).astype(np.float32), np.arange(9, dtype=np.int32),
                rng.random(9).astype(np.float32) * 0.1, "velodyne")
    again = decode.scan(messages.points(scan))
    for name in ("points", "intensity", "ring", "time_s"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scan, name))
    assert (again.stamp_ns, again.frame_id) == (STAMP, "velodyne")


K = np.array([[100.0, 0, 33], [0, 110, 22], [0, 0, 1]])


def info(*, D=(), model="plumb_bob", **changes):
    message = messages.camera_info(Calibration(K, 64, 48, "optical"), stamp_ns=STAMP, D=D, distortion_model=model)
    for name, value in changes.items():
        object.__setattr__(message, name, value)
    return message


T_BASE_LIDAR = pose.from_rotation_vector(np.array([0.0, 0.0, 0.3]), np.array([1.0, 0.0, 1.8]))
T_LIDAR_OPTICAL = pose.from_quaternion(np.array([0.1, 0.2, -0.3]), np.array([-0.5, 0.5, -0.5, 0.5]))


def test_calibration_from_info_and_static_transforms():
    tree = FrameTree()
    decode.transforms(messages.transforms([("base_link", "lidar", T_BASE_LIDAR), ("lidar", "optical", T_LIDAR_OPTICAL)], stamp_ns=0), tree)
    camera = decode.calibration(info(), tree, lidar_frame="lidar")
    np.testing.assert_array_equal(camera.K, K)
    np.testing.assert_allclose(camera.T_base_camera, T_BASE_LIDAR @ T_LIDAR_OPTICAL, atol=1e-12)
    np.testing.assert_allclose(camera.T_camera_lidar, pose.inverse(T_LIDAR_OPTICAL), atol=1e-12)
    assert (camera.frame_id, camera.base_frame, camera.width, camera.height) == ("optical", "base_link", 64, 48)


def test_the_body_is_the_topmost_frame_without_a_base_link():
    tree = FrameTree()
    tree.add("car", "optical", T_LIDAR_OPTICAL)
    camera = decode.calibration(info(), tree, lidar_frame="lidar")
    np.testing.assert_allclose(camera.T_base_camera, T_LIDAR_OPTICAL)
    assert (camera.base_frame, camera.T_camera_lidar) == ("car", None)
    alone = decode.calibration(info())
    assert (alone.base_frame, alone.T_base_camera, alone.T_camera_lidar) == ("base_link", None, None)
    assert camera.is_guess and not alone.is_guess and not decode.calibration(info(), tree, base_frame="/car").is_guess
    tree.add("base_link", "car", np.eye(4))
    assert not decode.calibration(info(), tree).is_guess


@pytest.mark.parametrize(("changes", "said"), [
    ({"width": 0}, "0x48"), ({"k": np.zeros(9)}, "fx=0"), ({"k": np.full(9, np.nan)}, "finite"),
    ({"k": np.array([100.0, 0, 99, 0, 100, 22, 0, 0, 1])}, r"\(99, 22\)"), ({"D": (0.1,) * 5, "model": "kannala"}, "kannala"),
    ({"D": (0.1,) * 3}, "got 3"), ({"D": (np.nan,) * 5}, "D: wanted finite"),
    ({"D": (0.1,) * 5, "model": "equidistant"}, "wanted 4 numbers, got 5"),
])
def test_infos_that_are_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        decode.calibration(info(**changes))


def test_transforms_that_are_refused():
    message = messages.transforms([("a", "b", np.eye(4))], stamp_ns=0)
    object.__setattr__(message.transforms[0].transform.rotation, "w", 0.0)
    with pytest.raises(BadInput, match="TF a -> b: quaternion"):
        decode.transforms(message, FrameTree())
    with pytest.raises(BadInput, match="two frame names"):
        decode.transforms(messages.transforms([("", "b", np.eye(4))], stamp_ns=0), FrameTree())


def test_the_calibration_is_that_of_the_rectified_image():
    P = np.array([[80.0, 0, 30, 0], [0, 90, 25, 0], [0, 0, 1, 0]])
    distorted = info(D=(-0.2, 0.05, 0, 0, 0), p=P.ravel())
    np.testing.assert_array_equal(decode.calibration(distorted).K, P[:, :3])
    np.testing.assert_array_equal(decode.Rectifier(distorted).K, P[:, :3])
    np.testing.assert_array_equal(decode.calibration(info(p=P.ravel())).K, K)  # rectified already
    rotated = info(D=(-0.2, 0.05, 0, 0, 0), p=P.ravel(), r=pose.exp_so3(np.array([0, 0.1, 0])).ravel())
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode.Rectifier(rotated)(image), decode.Rectifier(distorted)(image))  # TF holds


def test_region_and_binning_move_the_camera():
    region = messages.make("sensor_msgs/msg/RegionOfInterest", x_offset=8, y_offset=4, width=40, height=40)
    camera = decode.calibration(info(roi=region, binning_x=2, binning_y=2))
    assert (camera.width, camera.height) == (20, 20)
    np.testing.assert_allclose(camera.K, [[50, 0, (33 - 8 + 0.5) / 2 - 0.5], [0, 55, (22 - 4 + 0.5) / 2 - 0.5], [0, 0, 1]])
    with pytest.raises(BadInput, match="leaves the 64x48 image"):
        decode.calibration(info(roi=messages.make("sensor_msgs/msg/RegionOfInterest", x_offset=30, width=40, height=40)))


def test_a_rectified_camera_passes_unchanged():
    image = np.zeros((48, 64, 3), np.uint8)
    rectify = decode.Rectifier(info())
    assert rectify(image) is image
    with pytest.raises(BadInput, match="64x48, got 48x64"):
        rectify(np.zeros((64, 48, 3), np.uint8))


@pytest.mark.parametrize(("model", "D"), [
    ("plumb_bob", (-0.3, 0.1, 0.002, -0.001, 0.0)), ("rational_polynomial", (-0.3, 0.1, 0, 0, 0, 0.05, 0, 0)),
    ("equidistant", (0.05, -0.02, 0.0, 0.0)),
])
def test_rectification_puts_a_spot_where_the_pinhole_camera_sees_it(model, D):
    camera = Calibration(np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]]), 320, 240)
    point = np.array([[[0.25, -0.2, 1.0]]])
    distort = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    seen = distort(point, np.zeros(3), np.zeros(3), camera.K, np.array(D))[0].reshape(2)
    v, u = np.mgrid[:240, :320]
    spot = np.exp(-((u - seen[0]) ** 2 + (v - seen[1]) ** 2) / 18.0)
    image = np.repeat((255 * spot).astype(np.uint8)[..., None], 3, 2)
    rectified = decode.Rectifier(messages.camera_info(camera, stamp_ns=0, D=D, distortion_model=model))(image)[..., 0].astype(float)
    found = np.array([(rectified * u).sum(), (rectified * v).sum()]) / rectified.sum()
    straight = camera.K[:2, 2] + camera.K[[0, 1], [0, 1]] * point[0, 0, :2]
    assert np.abs(seen - straight).max() > 2
    np.testing.assert_allclose(found, straight, atol=0.3)


FILE = """
width: 64
height: 48
K: {fx: 100, fy: 110, cx: 33, cy: 22}
camera_frame: optical
tf:
  - {parent: base_link, child: lidar, translation: [1, 0, 1.8], rotation: [0, 0, 0, 1]}
  - {parent: lidar, child: optical, translation: [0, 0, 0], rotation: [-0.5, 0.5, -0.5, 0.5]}
"""


def test_calibration_file(tmp_path):
    path = tmp_path / "car.yaml"
    path.write_text(FILE)
    camera, rectify = decode.read_calibration(path)
    np.testing.assert_array_equal(camera.K, K)
    np.testing.assert_allclose(camera.T_base_camera, [[0, 0, 1, 1], [-1, 0, 0, 0], [0, -1, 0, 1.8], [0, 0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(camera.T_camera_lidar, [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], atol=1e-12)
    assert rectify.is_identity
    path.write_text("width: 64\nheight: 48\nK: [100, 0, 33, 0, 110, 22, 0, 0, 1]\nD: [0.1, 0, 0, 0, 0]\n"
                    "T_base_camera: [[0, 0, 1, 1], [-1, 0, 0, 0], [0, -1, 0, 1.8], [0, 0, 0, 1]]\n")
    again, rectify = decode.read_calibration(path)
    np.testing.assert_array_equal(again.T_base_camera, camera.T_base_camera.round(9))
    assert again.T_camera_lidar is None
    assert not rectify.is_identity


@pytest.mark.parametrize(("text", "said"), [
    ("widht: 3", "unknown key 'widht', known are width, height, K"), ("width: 64\nheight: 48", "K missing"), ("[1, 2]", "got list"),
    ("width: 64\nheight: 48\nK: [1, 2]", "K: wanted 9"), ("width: 64.5\nheight: 48\nK: [1, 2]", "width: wanted whole pixels"),
    ("a: [", "not YAML"), (FILE + "  - {parent: a, child: b}", "translation, rotation missing"),
    (FILE.replace("fx: 100", "f: 100"), "unknown key 'f'"),
    (FILE + "T_base_camera: [[1, 0], [0, 1]]", "T_base_camera: wanted 16"), (FILE.replace("fx: 100, ", ""), "K: wanted 9 finite"),
])
def test_calibration_files_that_are_refused(tmp_path, text, said):
    path = tmp_path / "car.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said) as refused:
        decode.read_calibration(path)
    assert str(path) in str(refused.value)


def test_transforms_that_disagree_are_said_in_centimetres_and_degrees():
    tf = pose.from_rotation_vector(np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0]))
    moved = tf @ pose.from_rotation_vector(np.zeros(3), np.array([0.03, 0.0, 0.04]))
    turned = tf @ pose.from_rotation_vector(np.array([0, np.deg2rad(1.25), 0]), np.zeros(3))
    assert decode.disagreement("T_a_b", tf, tf) is None
    assert "T_a_b: TF and what was given differ by 5.0 cm and 0.00 degrees" in decode.disagreement("T_a_b", tf, moved)
    assert "differ by 0.0 cm and 1.25 degrees" in decode.disagreement("T_a_b", tf, turned)
    assert decode.disagreement("T_a_b", tf, moved, metres=0.06) is None
    assert decode.disagreement("T_a_b", tf, turned, degrees=1.3) is None
    assert decode.disagreement("T_a_b", tf, tf @ pose.from_rotation_vector(np.zeros(3), np.array([0.019, 0, 0]))) is None


def test_calibrations_that_disagree_are_said_one_by_one():
    ours = Calibration(K, 64, 48, T_base_camera=np.eye(4), T_camera_lidar=np.eye(4))
    far = pose.from_rotation_vector(np.zeros(3), np.array([0, 0.5, 0]))
    assert decode.disagreements(ours, ours) == []
    assert decode.disagreements(ours, replace(ours, T_base_camera=None)) == []
    longer = replace(ours, K=np.array([[105.0, 0, 33], [0, 110, 22], [0, 0, 1]]), T_camera_lidar=far)
    first, second = decode.disagreements(ours, longer)
    assert first == "K: CameraInfo (fx 100.0 fy 110.0 cx 33.0 cy 22.0) and what was given (105.0 110.0 33.0 22.0) differ by 5.0 %"
    assert "T_camera_lidar" in second
    assert "50.0 cm" in second
    assert decode.disagreements(ours, longer, share=0.06, metres=0.6) == []
    assert decode.disagreements(ours, Calibration(K, 66, 48)) == ["image size: CameraInfo says 64x48, what was given 66x48"]


def test_a_missing_calibration_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"nothing\.yaml"):
        decode.read_calibration(tmp_path / "nothing.yaml")


def test_live_messages_pass_as_well():
    live = pytest.importorskip("sensor_msgs.msg")
    image = live.Image(height=2, width=2, encoding="bgr8", step=6, data=array.array("B", range(12)))
    assert decode.image(image)[0, 0].tolist() == [2, 1, 0]
    png = cv2.imencode(".png", np.full((2, 2, 3), 9, np.uint8))[1].tobytes()
    assert decode.compressed_image(live.CompressedImage(format="png", data=png)).tolist() == [[[9] * 3] * 2] * 2
    message = messages.points(scan := Scan(np.arange(6, dtype=np.float32).reshape(2, 3), STAMP, frame_id="lidar"))
    fields = [live.PointField(name=field.name, offset=field.offset, datatype=field.datatype, count=1) for field in message.fields]
    data = array.array("B", message.data.tobytes())
    cloud_message = live.PointCloud2(height=1, width=2, point_step=12, row_step=24, data=data, fields=fields)
    cloud_message.header.stamp.sec, cloud_message.header.stamp.nanosec = STAMP // 10**9, STAMP % 10**9
    np.testing.assert_array_equal(decode.scan(cloud_message).points, scan.points)
    assert decode.scan(cloud_message).stamp_ns == STAMP
    camera = live.CameraInfo(width=64, height=48, k=K.reshape(-1).tolist(), d=[-0.1, 0.0, 0.0, 0.0, 0.0], distortion_model="plumb_bob")
    np.testing.assert_array_equal(decode.calibration(camera).K, K)
    assert not decode.Rectifier(camera).is_identity
