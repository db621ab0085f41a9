"""Crops of a source image, augmented so that K stays exactly true."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_perception.geometry import camera
from depth_perception.samples.config import SampleConfig


@dataclass(frozen=True)
class View:
    """A crop: source pixel = scale * pixel + offset, then mirrored if `flip`. Sizes in pixels, (x, y)."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    flip: bool
    height: int
    width: int

    def K(self, K: np.ndarray) -> np.ndarray:
        """(3, 3) of the source -> (3, 3) of the view."""
        out = np.array(K, np.float64)
        for row in (0, 1):
            out[row] /= self.scale[row]
            out[row, 2] = (K[row, 2] - self.offset[row]) / self.scale[row]
        return camera.flip_K(out, width=self.width) if self.flip else out

    def image(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) -> (height, width, 3), bilinear."""
        sx, ox = self.scale[0], self.offset[0]
        if self.flip:
            sx, ox = -sx, ox + self.scale[0] * (self.width - 1)
        M = np.array([[sx, 0, ox], [0, self.scale[1], self.offset[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, M, (self.width, self.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def motion(self, T_b_a: np.ndarray) -> np.ndarray:
        """(4, 4) between two cameras -> the same between the two views: mirrored with them."""
        mirror = np.diag([-1.0, 1, 1, 1]) if self.flip else np.eye(4)
        return mirror @ T_b_a @ mirror

    def depth(self, points: np.ndarray, K: np.ndarray) -> np.ndarray:
        """(M, 3) camera-frame points, far ones first, and the source's K -> (height, width) float32 sparse depth, NaN = none."""
        if self.flip:
            points = points * np.array([-1, 1, 1], np.float32)
        pixels, z = camera.project(self.K(K).astype(np.float32), points)
        u, v = np.rint(pixels).astype(np.int32).T
        inside = (u >= 0) & (u < self.width) & (v >= 0) & (v < self.height)
        out = np.full((self.height, self.width), np.nan, np.float32)
        out[v[inside], u[inside]] = z[inside]
        return out


def random_view(rng: np.random.Generator, size: tuple[int, int], config: SampleConfig, *, height: int, width: int, zoom: bool) -> View:
    """A random crop of a source of `size` (height, width), for a network input of height x width."""
    smallest = config.zoom if zoom and rng.random() < config.zoom_share else config.full_zoom
    share = rng.uniform(smallest, 1.0)
    stretch = np.exp(rng.uniform(-config.aspect, config.aspect))
    crop = np.minimum([share * size[0] * np.sqrt(stretch), share * size[1] / np.sqrt(stretch)], size)  # height, width
    top, left = rng.uniform(0, np.array(size) - crop + 1e-9)
    scale = (crop[1] / width, crop[0] / height)
    # c' = (c + 0.5) s - 0.5, as in camera.resize_K
    offset = (left + 0.5 * scale[0] - 0.5, top + 0.5 * scale[1] - 0.5)
    return View(scale, offset, bool(rng.random() < config.flip), height, width)


def full_view(size: tuple[int, int], *, height: int, width: int) -> View:
    """The whole source (height, width) as a network input of height x width: what a driving car shows."""
    scale = (size[1] / width, size[0] / height)
    return View(scale, (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5), False, height, width)
