"""Image messages -> arrays. RGB is zero-copy where the message's bytes allow it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from depth_perception.frame import BadInput

# encoding -> (channels, bytes per channel, index that turns (H, W, C) into RGB). 8UC3 and 8UC4 carry OpenCV's order, BGR(A).
_DIRECT: dict[str, tuple[int, int, slice]] = {
    "rgb8": (3, 1, slice(None)), "bgr8": (3, 1, slice(None, None, -1)), "8UC3": (3, 1, slice(None, None, -1)),
    "rgba8": (4, 1, slice(0, 3)), "bgra8": (4, 1, slice(2, None, -1)), "8UC4": (4, 1, slice(2, None, -1)),
    "mono8": (1, 1, slice(None)), "8UC1": (1, 1, slice(None)),
    "rgb16": (3, 2, slice(None)), "bgr16": (3, 2, slice(None, None, -1)), "16UC3": (3, 2, slice(None, None, -1)),
    "rgba16": (4, 2, slice(0, 3)), "bgra16": (4, 2, slice(2, None, -1)), "16UC4": (4, 2, slice(2, None, -1)),
    "mono16": (1, 2, slice(None)), "16UC1": (1, 2, slice(None)),
}
# ROS names a Bayer pattern by its first 2x2 pixels, OpenCV by the second row's and column's.
_BAYER = {"rggb": cv2.COLOR_BayerBG2RGB, "bggr": cv2.COLOR_BayerRG2RGB, "gbrg": cv2.COLOR_BayerGR2RGB, "grbg": cv2.COLOR_BayerGB2RGB}
_YUV422 = {"yuv422": cv2.COLOR_YUV2RGB_UYVY, "uyvy": cv2.COLOR_YUV2RGB_UYVY,
           "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2, "yuyv": cv2.COLOR_YUV2RGB_YUY2}
_YUV420 = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
ENCODINGS = sorted([*_DIRECT, *_YUV422, *_YUV420, *(f"bayer_{pattern}{bits}" for pattern in _BAYER for bits in (8, 16))])


def image(msg: Any) -> np.ndarray:
    """sensor_msgs/Image -> (H, W, 3) uint8 RGB.

    8-bit RGB, BGR (with or without alpha) and grey are views into `msg.data`: no byte is copied, so do not write into them.
    16 bit becomes 8 bit by round(v / 257), which maps 65535 to 255. YUV is BT.601. Raises BadInput.
    """
    if msg.encoding in _DIRECT:
        channels, size, order = _DIRECT[msg.encoding]
        pixels = _pixels(msg, channels, size)[:, :, order]
        pixels = _to_8_bit(pixels) if size == 2 else pixels
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if channels == 1 else pixels
    if msg.encoding in _YUV422:
        if msg.width % 2:
            raise BadInput(f"image: {msg.encoding} wants an even width, got {msg.width}")
        return cv2.cvtColor(np.ascontiguousarray(_pixels(msg, 2, 1)), _YUV422[msg.encoding])
    if msg.encoding in _YUV420:
        if msg.width % 2 or msg.height % 2:
            raise BadInput(f"image: {msg.encoding} wants an even size, got {msg.width}x{msg.height}")
        return cv2.cvtColor(np.ascontiguousarray(_pixels(msg, 1, 1, rows=msg.height * 3 // 2)), _YUV420[msg.encoding])
    pattern, bits = msg.encoding[6:10], msg.encoding[10:]
    if msg.encoding.startswith("bayer_") and pattern in _BAYER and bits in ("8", "16"):
        mosaic = np.ascontiguousarray(_pixels(msg, 1, int(bits) // 8)[..., 0])
        mosaic = mosaic.astype(mosaic.dtype.newbyteorder("="), copy=False)
        colour = cv2.cvtColor(mosaic, _BAYER[pattern])
        return colour if bits == "8" else _to_8_bit(colour)
    raise BadInput(f"image encoding: wanted one of {', '.join(ENCODINGS)}, got {msg.encoding!r}")


def compressed_image(msg: Any) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg, png) -> (H, W, 3) uint8 RGB; 16-bit png as in `image`. Raises BadInput.

    image_transport writes "rgb8; jpeg compressed bgr8": the file itself is a normal one. Without the last "bgr" its writer
    stored R where a file has B, and the colours are swapped back (as compressed_image_transport does).
    """
    if "compressedDepth" in msg.format:
        raise BadInput(f"compressed image: {msg.format!r} is a depth image, not a camera's")
    data = _bytes(msg)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise BadInput(f"compressed image: {len(data)} bytes of {msg.format!r} could not be decoded as jpeg or png")
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    pixels = _to_8_bit(pixels) if pixels.dtype == np.uint16 else pixels
    if pixels.shape[2] == 1:
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if pixels.shape[2] < 3:  # grey and alpha
        return np.broadcast_to(pixels[:, :, :1], (*pixels.shape[:2], 3))
    stored_rgb = ";" in msg.format and "compressed" in msg.format and "compressed bgr" not in msg.format
    return pixels[:, :, :3] if stored_rgb else pixels[:, :, 2::-1]


def depth_image(msg: Any) -> np.ndarray:
    """sensor_msgs/Image of 32FC1 (metres) or 16UC1 / mono16 (millimetres, 0 = none) -> (H, W) float32 metres, NaN = none (REP 118)."""
    if msg.encoding == "32FC1":
        depth = _pixels(msg, 1, 4)[..., 0].astype(np.float32)
    elif msg.encoding in ("16UC1", "mono16"):
        depth = _pixels(msg, 1, 2)[..., 0].astype(np.float32) / np.float32(1000)
    else:
        raise BadInput(f"depth image encoding: wanted 32FC1 or 16UC1, got {msg.encoding!r}")
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def _pixels(msg: Any, channels: int, size: int, rows: int | None = None) -> np.ndarray:
    """(H, W, C) view of the message's bytes that honours `step` and byte order."""
    height, width, step = int(msg.height) if rows is None else rows, int(msg.width), int(msg.step)
    data = _bytes(msg)
    row = width * channels * size
    if height <= 0 or width <= 0:
        raise BadInput(f"image: wanted a size, got {width}x{height}")
    if step < row or len(data) < step * (height - 1) + row:
        raise BadInput(f"image: {width}x{msg.height} {msg.encoding} wants rows of {row} bytes and {height} of them, "
                       f"got a step of {step} and {len(data)} bytes")
    kind = {1: "u1", 2: "u2", 4: "f4"}[size]
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    return np.ndarray((height, width, channels), dtype, data, strides=(step, channels * size, size))


def _bytes(msg: Any) -> np.ndarray:
    """(N,) uint8 view of array.array, numpy array, memoryview or bytes."""
    try:
        return np.frombuffer(msg.data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise BadInput(f"image data: wanted bytes, got {type(msg.data).__name__} ({error})") from None


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
