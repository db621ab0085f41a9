"""RGB images as they lie in memory: OpenCV copies a view of other strides pixel by pixel, several times slower than it resizes."""

from __future__ import annotations

import cv2
import numpy as np


def as_stored(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """(H, W, 3) uint8 RGB -> its bytes as OpenCV takes them without a copy, and whether their order is BGR.

    Of a view of a BGR image (bgr8) that is (H, W, 3) BGR, of a grey image seen as RGB (mono8) it is (H, W); anything else comes back as
    it is.
    """
    if image.strides[-1] == 0:
        return image[..., 0], False
    return (image[..., ::-1], True) if image.strides[-1] < 0 else (image, False)


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W) uint8: its brightness (BT.601), as `cv2.COLOR_RGB2GRAY` has it."""
    stored, is_bgr = as_stored(image)
    return stored if stored.ndim == 2 else np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2GRAY if is_bgr else cv2.COLOR_RGB2GRAY))


def remapped(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB at the maps of `cv2.remap` -> (H, W, 3) RGB, linear between pixels; its bytes keep their order."""
    stored, is_bgr = as_stored(image)
    out = np.asarray(cv2.remap(np.ascontiguousarray(stored), x, y, cv2.INTER_LINEAR))
    if out.ndim == 2:
        return np.broadcast_to(out[..., None], (*out.shape, 3))
    return out[..., ::-1] if is_bgr else out
