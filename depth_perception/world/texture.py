"""Noise and patterns as functions of surface coordinates, so that they stay on the surface while the car moves."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 512


class Noise:
    """Two tileable noise pictures, mean 0 and spread 1: `fine` (nearly white) and `cloud` (few large shapes)."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
        frequency[0, 0] = 1.0
        self.fine = self._filtered(rng, 1 / np.maximum(frequency, 0.02) ** 0.7)
        self.cloud = self._filtered(rng, 1 / np.maximum(frequency, 0.004) ** 1.9)

    @staticmethod
    def _filtered(rng: np.random.Generator, spectrum: np.ndarray) -> np.ndarray:
        spectrum[0, 0] = 0.0
        picture = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * spectrum).real
        return np.ascontiguousarray(np.clip(picture / picture.std(), -2.5, 2.5), np.float32)

    def at(self, picture: np.ndarray, x: np.ndarray, y: np.ndarray, *, texel: float, blur: np.ndarray | None = None) -> np.ndarray:
        """(N,) float32 noise at (N,) x, y metres; `texel`: metres per pixel of the picture.

        blur: (N,) metres that one image pixel covers: the noise fades where its grain gets smaller than that.
        """
        n = len(x)
        rows = max(1, -(-n // 4096))
        u, v = np.zeros(rows * 4096, np.float32), np.zeros(rows * 4096, np.float32)
        u[:n] = np.mod(x / texel, SIZE)
        v[:n] = np.mod(y / texel, SIZE)
        out = cv2.remap(picture, u.reshape(rows, 4096), v.reshape(rows, 4096), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).ravel()[:n]
        if blur is not None:
            out = out * np.clip(2.0 * texel / np.maximum(blur, 1e-6), 0, 1)
        return out


def hashed(*numbers: np.ndarray) -> np.ndarray:
    """(N,) float32 in 0..1 from whole numbers, the same for the same numbers."""
    h: np.ndarray = np.full(1, 2166136261, np.uint32)
    for number in numbers:
        h = (h ^ np.asarray(number).astype(np.int64).astype(np.uint32)) * np.uint32(16777619)
        h = h ^ (h >> np.uint32(15))
    h = h * np.uint32(2246822519)
    return ((h ^ (h >> np.uint32(13))) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2**-24)


def edge(inside: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Share of a pixel of width `blur` inside an edge that lies `inside` away."""
    return np.clip(inside / np.maximum(blur, 1e-4) + 0.5, 0, 1)


def joints(x: np.ndarray, *, pitch: float | np.ndarray, width: float | np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Share covered by joints of `width` every `pitch`; fades to the mean where a pixel covers many."""
    distance = np.abs(np.mod(x, pitch) - 0.5 * pitch)
    sharp = edge(distance - 0.5 * (pitch - width), blur)
    far = np.clip(2 * blur / pitch - 0.3, 0, 1)
    return sharp * (1 - far) + far * width / pitch
