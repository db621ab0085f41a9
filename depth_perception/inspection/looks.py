"""What is wrong with images as such: black, blown out, blurred."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

_BLACK_MEAN, _FLAT = 12.0, 3.0  # grey levels; _FLAT as samples.SampleConfig.min_contrast
_BLOWN, _BLOWN_SHARE = 250, 0.5
_BLURRED = 0.8
_CROP = 640


@dataclass
class Looks:
    """Collects images one by one."""

    brightness: list[float] = field(default_factory=list)
    contrast: list[float] = field(default_factory=list)
    blown: list[float] = field(default_factory=list)
    softness: list[float] = field(default_factory=list)

    def add(self, image: np.ndarray) -> None:
        """(H, W, 3) uint8 RGB."""
        grey = cv2.cvtColor(image[::2, ::2], cv2.COLOR_RGB2GRAY)
        self.brightness.append(float(grey.mean()))
        self.contrast.append(float(grey.std()))
        self.blown.append(float((grey >= _BLOWN).mean()))
        self.softness.append(softness(image))

    def last_shows(self) -> bool:
        """There is something in the last image."""
        return self.contrast[-1] >= _FLAT and self.brightness[-1] >= _BLACK_MEAN

    def findings(self) -> dict[str, Any]:
        """Shares of the images that were looked at."""
        brightness, contrast, soft = (np.array(v) for v in (self.brightness, self.contrast, self.softness))
        black = (brightness < _BLACK_MEAN) | (contrast < _FLAT)
        return {"looked_at": len(brightness), "black": float(black.mean()),
                "blown_out": float((np.array(self.blown) > _BLOWN_SHARE).mean()),
                "blurred": float((soft[~black] > _BLURRED).mean()) if (~black).any() else 0.0,
                "brightness": _quantiles(brightness), "contrast": _quantiles(contrast), "softness": _quantiles(soft)}


def softness(image: np.ndarray) -> float:
    """How much of its fine contrast an image keeps when it is blurred by 1.5 pixels: sharp ones lose most, blurred ones next to none."""
    height, width = image.shape[:2]
    left, top = max((width - _CROP) // 2, 0), max((height - _CROP // 2) // 2, 0)
    grey = cv2.cvtColor(image[top:top + _CROP // 2, left:left + _CROP], cv2.COLOR_RGB2GRAY).astype(np.float32)
    blurred = cv2.GaussianBlur(grey, (0, 0), 1.5)
    sharp, soft = (float(np.abs(np.diff(v, axis=1)).mean()) for v in (grey, blurred))
    return soft / max(sharp, 1e-3)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {name: float(v) for name, v in zip(("p5", "median", "p95"), np.quantile(values, (0.05, 0.5, 0.95)), strict=True)}
