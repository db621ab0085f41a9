"""geometry.stored: what OpenCV makes of an image as it lies in memory is what it makes of the RGB image."""

import cv2
import numpy as np
import pytest

from depth_perception.geometry.stored import as_stored, grey, remapped
from depth_perception.systems.network_input import prepare

RNG = np.random.default_rng(0)
BGR = RNG.integers(0, 256, (60, 84, 3), np.uint8)
MONO = RNG.integers(0, 256, (60, 84, 1), np.uint8)
RGBA = RNG.integers(0, 256, (60, 84, 4), np.uint8)
SEEN = {"rgb8": BGR, "bgr8": BGR[..., ::-1], "mono8": np.broadcast_to(MONO, (60, 84, 3)), "rgba8": RGBA[..., :3]}


@pytest.mark.parametrize("encoding", SEEN)
def test_no_byte_is_copied_where_opencv_can_do_without(encoding):
    stored, is_bgr = as_stored(SEEN[encoding])
    assert np.shares_memory(stored, SEEN[encoding])
    assert is_bgr == (encoding == "bgr8")
    if encoding != "rgba8":
        assert stored.flags.c_contiguous
    again = stored[..., ::-1] if is_bgr else stored
    np.testing.assert_array_equal(again if again.ndim == 3 else again[..., None].repeat(3, 2), SEEN[encoding])


@pytest.mark.parametrize("encoding", SEEN)
def test_it_is_what_opencv_makes_of_a_copy(encoding):
    image = SEEN[encoding]
    copy = np.array(image, order="C")
    np.testing.assert_array_equal(grey(image), cv2.cvtColor(copy, cv2.COLOR_RGB2GRAY))
    x, y = (RNG.uniform(-2, 62, (40, 50)).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal(remapped(image, x, y), cv2.remap(copy, x, y, cv2.INTER_LINEAR))
    for height, width in ((16, 32), (64, 96), (40, 64)):  # two steps, larger, one step
        np.testing.assert_array_equal(prepare(image, height=height, width=width), prepare(copy, height=height, width=width))
