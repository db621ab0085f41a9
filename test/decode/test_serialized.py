"""decode.serialized: the same image and the same scan out of serialised bytes as out of messages; broken bytes are a sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from depth_perception import decode
from depth_perception.frame import BadInput

STORE = get_typestore(Stores.ROS2_JAZZY)
NAMES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/PointField", "std_msgs/msg/Header",
         "builtin_interfaces/msg/Time")
T = {name.rsplit("/", 1)[1]: STORE.types[name] for name in NAMES}
RNG = np.random.default_rng(0)


def header(frame_id, stamp_ns=-5_000_000_003):
    return T["Header"](T["Time"](*divmod(stamp_ns, 10**9)), frame_id)


def image(frame_id="camera", encoding="bgr8"):
    return T["Image"](header(frame_id), 4, 6, encoding, 0, 20, RNG.integers(0, 256, 80).astype(np.uint8))


def cloud(frame_id="lidar", names=("x", "y", "z", "intensity"), count=17):
    fields = [T["PointField"](name, 4 * i, 7, 1) for i, name in enumerate(names)]
    points = RNG.uniform(-50, 50, (count, len(names))).astype(np.float32)
    step, data = 4 * len(names), points.view(np.uint8).ravel()
    return T["PointCloud2"](header(frame_id), 1, count, fields, False, step, step * count, data, True)


def serialized(message, *, little=True):
    return bytes(STORE.serialize_cdr(message, message.__msgtype__, little_endian=little))


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize(("frame_id", "encoding"), [("", "bgr8"), ("a", "rgb8"), ("ab", "8UC3"), ("abc", "bgr8"), ("caméra", "rgb8")])
def test_an_image_whatever_its_strings_do_to_the_alignment(frame_id, encoding, little):
    message = image(frame_id, encoding)
    seen = decode.serialized_image(serialized(message, little=little))
    assert decode.stamp_ns(seen.header) == -5_000_000_003
    assert (seen.header.frame_id, seen.encoding, seen.height, seen.width, seen.step) == (frame_id, encoding, 4, 6, 20)
    np.testing.assert_array_equal(decode.image(seen), decode.image(message))


def test_the_pixels_stay_where_they_are():
    buffer = serialized(image())
    assert np.shares_memory(decode.image(decode.serialized_image(buffer)), np.frombuffer(buffer, np.uint8))


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("names", [("x", "y", "z"), ("x", "y", "z", "intensity"), ("a_long_name", "z", "y", "x")])
def test_a_cloud(names, little):
    message = cloud("the_lidar", names)
    scan, wanted = decode.scan(decode.serialized_cloud(serialized(message, little=little))), decode.scan(message)
    np.testing.assert_array_equal(scan.points, wanted.points)
    assert (scan.stamp_ns, scan.frame_id, scan.intensity is None) == (wanted.stamp_ns, "the_lidar", "intensity" not in names)
    assert scan.intensity is None or np.array_equal(scan.intensity, wanted.intensity)


def test_cut_off_anywhere_it_is_a_sentence():
    for message, read in ((image(), decode.serialized_image), (cloud(count=2), decode.serialized_cloud)):
        whole = serialized(message)
        for length in range(len(whole) - 3):  # padding may end it
            with pytest.raises(BadInput, match=r"^(image|cloud): wanted"):
                read(whole[:length])


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_message_or_a_sentence(junk):
    for read, decoded in ((decode.serialized_image, decode.image), (decode.serialized_cloud, decode.scan)):
        try:
            decoded(read(b"\0\1\0\0" + junk))
        except BadInput as error:
            assert len(str(error).splitlines()) == 1
