"""decode against the real cv_bridge, wherever it is installed: the same pixels, bit for bit, for every encoding it knows."""

import numpy as np
import pytest

# Its compiled part loads only beside the NumPy that it was built for.
pytest.importorskip("cv_bridge.boost.cv_bridge_boost", reason="needs cv_bridge, which the ROS wheels lack", exc_type=ImportError)

import cv_bridge
from sensor_msgs.msg import CompressedImage, Image

from depth_perception import decode
from depth_perception.decode.images import ENCODINGS

BRIDGE = cv_bridge.CvBridge()
# cv_bridge turns no OpenCV type into a colour, and knows the new YUV names not yet: the same bytes under the name it knows.
# What 8UC3 shows is thus cv_bridge's own default, BGR. nv12 and nv21 it does not know at all: test_image_bytes.py.
KNOWN_AS = {
    "8UC1": "mono8", "8UC3": "bgr8", "8UC4": "bgra8", "16UC1": "mono16", "16UC3": "bgr16", "16UC4": "bgra16",
    "uyvy": "yuv422", "yuyv": "yuv422_yuy2",
}
UNKNOWN = {"nv12", "nv21"}
COMPARED = [encoding for encoding in ENCODINGS if encoding not in UNKNOWN]


def pixel_bytes(encoding: str) -> int:
    name = KNOWN_AS.get(encoding, encoding)
    channels = 3 if name.startswith(("rgb", "bgr")) else 1
    channels += "a" in name[3:4]
    return 2 if name.startswith("yuv") else channels * (2 if name.endswith("16") else 1)


def random_image(encoding: str, *, padding_pixels: int = 0, is_bigendian: int = 0) -> Image:
    """7 rows of 10 random pixels. cv_bridge's Python shears rows that are padded by a part of a pixel: the padding is whole pixels."""
    step = (10 + padding_pixels) * pixel_bytes(encoding)
    data = np.random.default_rng(len(encoding) + step).integers(0, 256, 7 * step, np.uint8).tobytes()
    return image(encoding, data, height=7, width=10, step=step, is_bigendian=is_bigendian)


def image(encoding: str, data: bytes, *, height: int, width: int, step: int, is_bigendian: int = 0) -> Image:
    message = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=is_bigendian)
    message.data.frombytes(data)
    return message


def as_cv_bridge_reads(message: Image) -> np.ndarray:
    known = KNOWN_AS.get(message.encoding, message.encoding)
    renamed = image(known, message.data.tobytes(), height=message.height, width=message.width, step=message.step,
                    is_bigendian=message.is_bigendian)
    return BRIDGE.imgmsg_to_cv2(renamed, "rgb8")


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("padding_pixels", [0, 2])
@pytest.mark.parametrize("encoding", COMPARED)
def test_images(encoding, padding_pixels, is_bigendian):
    message = random_image(encoding, padding_pixels=padding_pixels, is_bigendian=is_bigendian)
    ours = decode.image(message)
    assert (ours.shape, ours.dtype) == ((7, 10, 3), np.uint8)
    assert len(np.unique(ours)) > 20
    np.testing.assert_array_equal(ours, as_cv_bridge_reads(message))


@pytest.mark.parametrize("encoding", sorted({*KNOWN_AS, *UNKNOWN}))
def test_cv_bridge_refuses_what_is_compared_under_another_name(encoding):
    message = image(encoding, bytes(7 * 80), height=7, width=10, step=80)
    try:
        BRIDGE.imgmsg_to_cv2(message, "rgb8")
    except cv_bridge.CvBridgeError:
        return
    pytest.fail(f"this cv_bridge converts {encoding}: compare with it directly")


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "rgb16", "bayer_gbrg16"])
def test_every_16_bit_value(encoding, is_bigendian):
    values = np.arange(65536, dtype=">u2" if is_bigendian else "<u2").reshape(256, 256)
    channels = 3 if encoding == "rgb16" else 1
    data = np.repeat(values[..., None], channels, 2).tobytes()
    message = image(encoding, data, height=256, width=256, step=512 * channels, is_bigendian=is_bigendian)
    np.testing.assert_array_equal(decode.image(message), as_cv_bridge_reads(message))


@pytest.mark.parametrize("encoding", [name for name in COMPARED if not name.startswith(("yu", "uy"))])
def test_images_that_cv_bridge_writes(encoding):
    kind = np.uint16 if "16" in encoding else np.uint8
    channels = pixel_bytes(encoding) // np.dtype(kind).itemsize
    pixels = np.random.default_rng(1).integers(0, np.iinfo(kind).max + 1, (7, 10, channels), kind)
    message = BRIDGE.cv2_to_imgmsg(pixels[..., 0] if channels == 1 else pixels, encoding)
    assert message.encoding == encoding
    np.testing.assert_array_equal(decode.image(message), as_cv_bridge_reads(message))


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize(("encoding", "size", "to_metres"), [("32FC1", 4, 1), ("16UC1", 2, 1000), ("mono16", 2, 1000)])
def test_depth_images(encoding, size, to_metres, is_bigendian):
    data = np.random.default_rng(2).integers(0, 256, 7 * 12 * size, np.uint8).tobytes()
    message = image(encoding, data, height=7, width=10, step=12 * size, is_bigendian=is_bigendian)
    theirs = BRIDGE.imgmsg_to_cv2(message, "passthrough").astype(np.float32) / np.float32(to_metres)
    with np.errstate(invalid="ignore"):
        theirs[~(np.isfinite(theirs) & (theirs > 0))] = np.nan  # REP 118
    assert np.isfinite(theirs).sum() > 10
    np.testing.assert_array_equal(decode.depth_image(message), theirs)


@pytest.mark.parametrize("format", ["jpg", "png"])
@pytest.mark.parametrize("kind", ["colour", "grey"])
def test_compressed_images(format, kind):
    pixels = np.random.default_rng(3).integers(0, 256, (16, 24, 3) if kind == "colour" else (16, 24), np.uint8)
    message = BRIDGE.cv2_to_compressed_imgmsg(pixels, format)
    assert message.format == format
    if kind == "colour":
        theirs = BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8")
    else:  # it takes every file for BGR, so that a grey one must not be converted
        theirs = np.repeat(BRIDGE.compressed_imgmsg_to_cv2(message)[..., None], 3, 2)
    np.testing.assert_array_equal(decode.compressed_image(message), theirs)


def test_compressed_16_bit_image():
    pixels = np.random.default_rng(4).integers(0, 65536, (16, 24, 3), np.uint16)
    message = CompressedImage(format="bgr16; png compressed bgr16", data=BRIDGE.cv2_to_compressed_imgmsg(pixels, "png").data)
    passed = BRIDGE.compressed_imgmsg_to_cv2(message)  # it does not scale, but its images do
    np.testing.assert_array_equal(passed, pixels)
    theirs = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(passed, "bgr16"), "rgb8")
    np.testing.assert_array_equal(decode.compressed_image(message), theirs)
