"""From a camera image to what a network eats."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.frame import Calibration


def prepare(image: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (1, 3, height, width) float32 in 0..1: the whole view, area-averaged when it shrinks.

    Networks normalise inside, so that the same array feeds every engine.
    """
    shrinks = image.shape[0] > height
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def focal_ratio(calibration: Calibration, *, height: int, canonical_focal_px: float) -> float:
    """How much farther this camera sees than the one the network imagines.

    A network sees sizes in pixels; the same pixels mean f times the distance under f times the focal length. Depth and
    translation in canonical units times this ratio are metres. The vertical focal length counts: ground and heights,
    which carry most of monocular scale, are vertical.
    """
    return float(calibration.K[1, 1]) * height / calibration.height / canonical_focal_px
