"""From a camera image to what a network eats."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from depth_perception.frame import Calibration
from depth_perception.geometry.stored import as_stored

# As `prepare` is called; what it gives is (1, 3, height, width), an array or what makes itself one.
Prepare = Callable[..., np.ndarray]


def prepare(image: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (1, 3, height, width) float32 in 0..1: the whole view.

    Networks normalise inside, so that the same array feeds every engine. A GPU does the same (engine/image_kernels.cu): a change here
    is a change there.
    """
    pixels, is_bgr = as_stored(image)
    if image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        # Averaging over an area of any size is several times slower than linear to twice the size, then 2x2 averages. The
        # finest stripes keep half their contrast instead of a third, and nothing coarser differs.
        pixels = cv2.resize(pixels, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if pixels.shape[0] > height else cv2.INTER_LINEAR)
    if small.ndim == 2:
        small = cv2.merge([small] * 3)
    return cv2.dnn.blobFromImage(small, 1 / 255, swapRB=is_bgr)


def focal_ratio(calibration: Calibration, *, height: int, canonical_focal_px: float) -> float:
    """How much farther this camera sees than the one the network imagines.

    A network sees sizes in pixels; the same pixels mean f times the distance under f times the focal length. Depth and
    translation in canonical units times this ratio are metres. The vertical focal length counts: ground and heights,
    which carry most of monocular scale, are vertical.
    """
    return float(calibration.K[1, 1]) * height / calibration.height / canonical_focal_px
