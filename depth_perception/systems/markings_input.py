"""Where in a camera image the marking network looks, and how what it says goes back. Learning and driving share it.

The road lies below the horizon, so the network sees the band from a little above the horizon down to the last row, over the full width.
Thin far lines keep nearly twice the rows that the whole view would leave them.
"""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.frame import Calibration
from depth_perception.systems.network_input import prepare as prepare_view

ABOVE = 0.04  # shares of the image's height: what is kept above the horizon, for a car that pitches
LEAST = 0.4  # the band is never lower than this: a camera that looks up still shows something
HORIZON = 0.45  # where the horizon is taken to be when nobody knows


def top_row(calibration: Calibration | None, *, image_height: int) -> int:
    """First row of the band, 0 .. (1 - LEAST) image_height.

    The horizon is where a level road ahead would vanish: from K and the camera's attitude; from K alone when the body frame is unknown;
    HORIZON without a calibration. A camera that looks down on the road (a roadside one) has it above the image: the band is all of it.
    """
    if calibration is None:
        horizon = HORIZON * image_height
    else:
        scale = image_height / calibration.height
        horizon = scale * _horizon(calibration)
    return round(float(np.clip(horizon - ABOVE * image_height, 0, int((1 - LEAST) * image_height))))


def _horizon(calibration: Calibration) -> float:
    K = calibration.K
    if calibration.T_base_camera is None:
        return float(K[1, 2])
    down = -calibration.T_base_camera[2, :3]  # the body's downward axis, seen by the camera
    if down[1] < 0.1:  # it looks at the sky or straight down: no row is the horizon
        return -np.inf
    # In the column of the centre: the ray (0, y, 1) that is level has down . (0, y, 1) = 0.
    return float(K[1, 2] - K[1, 1] * down[2] / down[1])


def band(image: np.ndarray, calibration: Calibration | None = None) -> np.ndarray:
    """(H, W, ...) image or mask -> its band (H - top, W, ...), a view of it."""
    return image[top_row(calibration, image_height=image.shape[0]) :]


def prepare(image: np.ndarray, calibration: Calibration | None = None, *, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (1, 3, height, width) float32 in 0..1: the band, as the marking network eats it."""
    return prepare_view(band(image, calibration), height=height, width=width)


def restore(logits: np.ndarray, calibration: Calibration | None = None, *, image_height: int, image_width: int
            ) -> tuple[np.ndarray, np.ndarray]:
    """The network's answer at the image's size.

    logits: (C, h, w) or (1, C, h, w) float32 of the band, at any size. Returns the mask (H, W) uint8 of class ids and the confidence
    (H, W) float32. What is paint, of any class, rather than background is named by its likeliest class: solid or dashed is hard to tell
    far away, and two halves of a doubt are no reason to see no line. The confidence is that of paint, or of background. Above the band
    there is background, of confidence 1.
    """
    logits = logits[0] if logits.ndim == 4 else logits
    top = top_row(calibration, image_height=image_height)
    size = (image_width, image_height - top)
    scores = np.exp(logits - logits.max(0))
    scores = (scores / scores.sum(0)).astype(np.float32)
    mask = np.zeros((image_height, image_width), np.uint8)
    confidence = np.ones((image_height, image_width), np.float32)
    background = cv2.resize(scores[0], size, interpolation=cv2.INTER_LINEAR)
    best, likeliest = np.full(size[::-1], -1.0, np.float32), np.zeros(size[::-1], np.uint8)
    for name, score in enumerate(scores[1:], 1):
        large = cv2.resize(score, size, interpolation=cv2.INTER_LINEAR)
        likeliest[large > best] = name
        np.maximum(best, large, out=best)
    np.copyto(mask[top:], likeliest, where=background < 0.5)
    confidence[top:] = np.clip(np.maximum(background, 1 - background), 0.0, 1.0)
    return mask, confidence
