"""Another camera, another light: what recolouring does to the images of a window."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.samples.config import SampleConfig


def recolour(rng: np.random.Generator, images: list[np.ndarray], config: SampleConfig) -> list[np.ndarray]:
    """Another camera, another light: one random look for all (H, W, 3) uint8 images of a window, a little exposure for each."""
    h, w = images[0].shape[:2]
    matrix = _hue_saturation(np.deg2rad(rng.uniform(-1, 1) * config.hue_deg), 1 + rng.uniform(-1, 1) * config.saturation)
    if rng.random() < config.grey:
        matrix = _hue_saturation(0.0, 0.0)
    brightness = np.exp(rng.uniform(-1, 1) * config.brightness)
    contrast = np.exp(rng.uniform(-1, 1) * config.contrast)
    gamma = np.exp(rng.uniform(-1, 1) * config.gamma)
    cast = np.exp(rng.uniform(-1, 1, 3) * config.cast)
    light = None
    if rng.random() < config.light_share:  # soft shadows and sun patches
        coarse = rng.uniform(-1, 1, (3, 7)).astype(np.float32) * config.light
        light = np.exp(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC))[..., None]
    sigma = rng.uniform(0.3, 1.1) if rng.random() < config.blur else 0.0
    noise = rng.uniform(1, config.noise) if rng.random() < config.noise_share else 0.0
    ramp = np.arange(256, dtype=np.float64)[:, None] / 255
    out = []
    for image in images:
        exposure = np.exp(rng.uniform(-1, 1) * config.exposure)
        curve = ((ramp * brightness * exposure * cast).clip(0, None) ** gamma - 0.45) * contrast + 0.45
        table = (curve.clip(0, 1) * 255 + 0.5).astype(np.uint8).reshape(1, 256, 3)
        image = cv2.LUT(cv2.transform(image, matrix), table)
        if light is not None:
            image = (image * light).clip(0, 255).astype(np.uint8)
        if sigma:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        if noise:
            grain = rng.standard_normal((h, w), np.float32) * noise
            image = cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
        out.append(image)
    return out


def _hue_saturation(angle: float, saturation: float) -> np.ndarray:
    """(3, 3) colour matrix: rotation about the grey axis and scaling away from luma."""
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    c, s = np.cos(angle), np.sin(angle)
    a, b = (1 - c) / 3, s / np.sqrt(3)
    hue = np.array([[c + a, a - b, a + b], [a + b, c + a, a - b], [a - b, a + b, c + a]])
    return ((saturation * (np.eye(3) - grey) + grey) @ hue).astype(np.float32)
