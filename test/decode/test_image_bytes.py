"""decode.image and decode.depth_image: every encoding, bytes and pixels written by hand; padding, byte order, views."""

from types import SimpleNamespace

import numpy as np
import pytest

from depth_perception import decode
from depth_perception.decode.images import ENCODINGS

# encoding -> two rows of two pixels as bytes (ee is padding, of no meaning), and the RGB of the four pixels.
EIGHT_BIT = {
    "rgb8": (["010203 040506 ee", "0708ff fe0a0b ee"], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 255], [254, 10, 11]]]),
    "bgr8": (["030201 060504 ee", "ff0807 0b0afe ee"], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 255], [254, 10, 11]]]),
    "8UC3": (["030201 060504 ee", "ff0807 0b0afe ee"], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 255], [254, 10, 11]]]),
    "rgba8": (["01020309 04050600 eeee", "0708ffff fe0a0b80 eeee"], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 255], [254, 10, 11]]]),
    "bgra8": (["03020109 06050400 eeee", "ff0807ff 0b0afe80 eeee"], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 255], [254, 10, 11]]]),
    "8UC4": (["03020109 06050400 eeee", "ff0807ff 0b0afe80 eeee"], [[[1, 2, 3], [4, 5, 6]], [[7, 8, 255], [254, 10, 11]]]),
    "mono8": (["01 02 eeeeee", "fe ff eeeeee"], [[[1] * 3, [2] * 3], [[254] * 3, [255] * 3]]),
    "8UC1": (["01 02 eeeeee", "fe ff eeeeee"], [[[1] * 3, [2] * 3], [[254] * 3, [255] * 3]]),
}
# One row of two pixels: least significant byte first, then the same most significant byte first.
# 0x0080 / 257 = 0.498, 0x0081 / 257 = 0.502, 0x1234 / 257 = 18.13, 0x8000 / 257 = 127.502, 0xfffe / 257 = 254.996.
SIXTEEN_BIT = {
    "rgb16": ("8000 8100 3412  0080 feff ffff  ee", "0080 0081 1234  8000 fffe ffff  ee", [[0, 1, 18], [128, 255, 255]]),
    "bgr16": ("3412 8100 8000  ffff feff 0080  ee", "1234 0081 0080  ffff fffe 8000  ee", [[0, 1, 18], [128, 255, 255]]),
    "16UC3": ("3412 8100 8000  ffff feff 0080  ee", "1234 0081 0080  ffff fffe 8000  ee", [[0, 1, 18], [128, 255, 255]]),
    "rgba16": ("8000 8100 3412 aaaa  0080 feff ffff bbbb", "0080 0081 1234 aaaa  8000 fffe ffff bbbb", [[0, 1, 18], [128, 255, 255]]),
    "bgra16": ("3412 8100 8000 aaaa  ffff feff 0080 bbbb", "1234 0081 0080 aaaa  ffff fffe 8000 bbbb", [[0, 1, 18], [128, 255, 255]]),
    "16UC4": ("3412 8100 8000 aaaa  ffff feff 0080 bbbb", "1234 0081 0080 aaaa  ffff fffe 8000 bbbb", [[0, 1, 18], [128, 255, 255]]),
    "mono16": ("8100 0080 ee", "0081 8000 ee", [[1, 1, 1], [128, 128, 128]]),
    "16UC1": ("8100 0080 ee", "0081 8000 ee", [[1, 1, 1], [128, 128, 128]]),
}
# A mosaic of 4x4 pixels. Of the four inner ones each keeps its own colour and has the means of its neighbours for the other two.
MOSAIC = [[10, 100, 30, 140], [60, 200, 80, 220], [50, 120, 70, 160], [40, 240, 20, 180]]
BAYER = {
    "rggb": [[[40, 90, 200], [50, 80, 210]], [[60, 120, 220], [70, 95, 210]]],
    "bggr": [[[200, 90, 40], [210, 80, 50]], [[220, 120, 60], [210, 95, 70]]],
    "gbrg": [[[70, 200, 110], [80, 130, 130]], [[50, 140, 120], [50, 70, 140]]],
    "grbg": [[[110, 200, 70], [130, 130, 80]], [[120, 140, 50], [140, 70, 50]]],
}
# BT.601, 16..235: (Y, U, V) of black, white and red. One row of the pixels black, white; then one of two red pixels.
YUV422 = {
    "uyvy": "80 10 80 eb  ee  5a 51 f0 51  ee", "yuv422": "80 10 80 eb  ee  5a 51 f0 51  ee",
    "yuyv": "10 80 eb 80  ee  51 5a 51 f0  ee", "yuv422_yuy2": "10 80 eb 80  ee  51 5a 51 f0  ee",
}
# Y of 4x2 pixels, in two rows, then the row of chroma pairs: two neutral columns (black, white over white, black), two red ones.
YUV420 = {
    "nv12": "10 eb 51 51 ee  eb 10 51 51 ee  80 80 5a f0 ee",
    "nv21": "10 eb 51 51 ee  eb 10 51 51 ee  80 80 f0 5a ee",
}
BLACK, WHITE, RED = [0, 0, 0], [255, 255, 255], [255, 0, 0]


def message(encoding, data, *, width, height, is_bigendian=0):
    """Raw image whose rows share the bytes evenly. Its data may be written to, as a live message's."""
    data = np.frombuffer(bytearray.fromhex(data), np.uint8)
    rows = height * 3 // 2 if encoding in YUV420 else height
    assert len(data) % rows == 0
    return SimpleNamespace(height=height, width=width, encoding=encoding, step=len(data) // rows, is_bigendian=is_bigendian, data=data)


def test_every_encoding_is_in_a_table():
    bayer = {f"bayer_{pattern}{bits}" for pattern in BAYER for bits in (8, 16)}
    assert set(ENCODINGS) == {*EIGHT_BIT, *SIXTEEN_BIT, *bayer, *YUV422, *YUV420}


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", EIGHT_BIT)
def test_8_bit_is_a_view(encoding, is_bigendian):
    rows, pixels = EIGHT_BIT[encoding]
    raw = message(encoding, "".join(rows), width=2, height=2, is_bigendian=is_bigendian)
    image = decode.image(raw)
    assert image.dtype == np.uint8
    assert image.tolist() == pixels
    assert np.shares_memory(image, raw.data)
    raw.data[0] = 77  # the first byte is red, or blue, or grey
    assert 77 in image[0, 0]


@pytest.mark.parametrize("encoding", EIGHT_BIT)
def test_8_bit_without_padding(encoding):
    rows, pixels = EIGHT_BIT[encoding]
    assert decode.image(message(encoding, "".join(rows).replace("ee", ""), width=2, height=2)).tolist() == pixels


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", SIXTEEN_BIT)
def test_16_bit_becomes_8_bit_by_rounding(encoding, is_bigendian):
    *data, pixels = SIXTEEN_BIT[encoding]
    image = decode.image(message(encoding, data[is_bigendian] * 2, width=2, height=2, is_bigendian=is_bigendian))
    assert image.dtype == np.uint8
    assert image.tolist() == [pixels, pixels]


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_every_16_bit_value_is_rounded_to_the_nearest(encoding):
    raw = SimpleNamespace(height=256, width=256, encoding=encoding, step=512, is_bigendian=0, data=np.arange(65536, dtype="<u2").tobytes())
    nearest = [int(value / 257 + 0.5) for value in range(65536)]
    assert decode.image(raw)[..., 0].ravel().tolist() == nearest


@pytest.mark.parametrize("form", ["8", "16 little", "16 big"])
@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_inner_pixels(pattern, form):
    pixel = {"8": "{0:02x}", "16 little": "{0:02x}{0:02x}", "16 big": "{0:02x}{0:02x}"}[form]  # 257 * v has two equal bytes
    data = "".join(pixel.format(value) for row in MOSAIC for value in [*row, 0xEE])
    raw = message(f"bayer_{pattern}{form.split()[0]}", data, width=4, height=4, is_bigendian=int("big" in form))
    image = decode.image(raw)
    assert image.shape == (4, 4, 3)
    assert image[1:3, 1:3].tolist() == BAYER[pattern]


def test_bayer_honours_the_byte_order():
    little, big = ("0001" * 16, "0100" * 16)  # 256 / 257 rounds to 1
    for data, is_bigendian, value in ((little, 0, 1), (big, 1, 1), (big, 0, 0)):
        image = decode.image(message("bayer_rggb16", data, width=4, height=4, is_bigendian=is_bigendian))
        assert image.tolist() == [[[value] * 3] * 4] * 4


@pytest.mark.parametrize("encoding", YUV422)
def test_yuv422(encoding):
    image = decode.image(message(encoding, YUV422[encoding], width=2, height=2))
    assert image[0].tolist() == [BLACK, WHITE]
    np.testing.assert_allclose(image[1].astype(int), [RED, RED], atol=1)


@pytest.mark.parametrize("encoding", YUV420)
def test_yuv420(encoding):
    image = decode.image(message(encoding, YUV420[encoding], width=4, height=2))
    assert image[:, :2].tolist() == [[BLACK, WHITE], [WHITE, BLACK]]
    np.testing.assert_allclose(image[:, 2:].astype(int), [[RED, RED], [RED, RED]], atol=1)


@pytest.mark.parametrize(("encoding", "data", "is_bigendian"), [
    ("32FC1", "0000c03f 0000807f ee  0000c07f 00000000 ee", 0),  # 1.5 and infinite; NaN and 0
    ("32FC1", "3fc00000 7f800000 ee  7fc00000 00000000 ee", 1),
    ("16UC1", "dc05 0000 ee  0000 0000 ee", 0), ("16UC1", "05dc 0000 ee  0000 0000 ee", 1),  # 1500 mm
    ("mono16", "dc05 0000 ee  0000 0000 ee", 0), ("mono16", "05dc 0000 ee  0000 0000 ee", 1),
])
def test_depth_in_metres_or_nan(encoding, data, is_bigendian):
    depth = decode.depth_image(message(encoding, data, width=2, height=2, is_bigendian=is_bigendian))
    assert depth.dtype == np.float32
    assert depth[0, 0] == 1.5
    assert np.isnan(depth.ravel()[1:]).all()
