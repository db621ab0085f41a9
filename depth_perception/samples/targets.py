"""Target points: what an image's shape points at and a LiDAR return lies in (S3 claims 2, 11, 12)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_perception.frame import check_ranges, ranged
from depth_perception.geometry import camera


@dataclass(frozen=True)
class TargetConfig:
    """corners: at most so many keypoints per image; quality: of the weakest against the strongest; apart_px: least distance of two.

    region_px: a target lies at most so far from its keypoint, in both axes. Pixels of the image that is kept. most: targets of an image.
    hidden: a return this share nearer within `hidden_px` hides one behind it: the LiDAR looks past edges that the camera does not.
    """

    corners: int = ranged(400, 1, 100000)  # type: ignore[assignment]
    quality: float = ranged(0.005, 1e-6, 1)
    apart_px: float = ranged(5.0, 1, 100)
    region_px: int = ranged(8, 0, 100)  # type: ignore[assignment]
    most: int = ranged(4000, 2, 1e6)  # type: ignore[assignment]
    hidden: float = ranged(0.1, 0, 1)
    hidden_px: int = ranged(1, 0, 20)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_ranges(self)


def keypoints(image: np.ndarray, config: TargetConfig) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (N, 2) float32 corners x, y, pixels: the image's shape information (claim 2)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(grey, config.corners, config.quality, config.apart_px)
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)


def regions(points: np.ndarray, *, height: int, width: int, reach_px: int) -> np.ndarray:
    """(N, 2) keypoints -> (height, width) bool: the pixels of the key region around each of them, a square (claim 2)."""
    mask = np.zeros((height, width), np.uint8)
    u, v = np.rint(points).astype(int).reshape(-1, 2).T
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    mask[v[inside], u[inside]] = 1
    return cv2.dilate(mask, np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)).astype(bool)


def targets(image: np.ndarray, K: np.ndarray, points: np.ndarray, config: TargetConfig) -> tuple[np.ndarray, np.ndarray]:
    """The target points of an image: returns that the camera sees, in the key regions.

    The text maps a pixel into the cloud by matrices alone (claim 12), which no matrix can: the return that falls in it says where it is,
    and pixels without one are no targets [recon].

    Args:
        image: (H, W, 3) uint8 RGB; K: (3, 3) pixels of it; points: (N, 3) returns, camera frame, metres.
    Returns:
        (M, 2) float32 x, y, pixels: the first coordinates (claim 11), and (M,) which of `points` each one is: its third (claim 12).
    """
    height, width = image.shape[:2]
    wanted = regions(keypoints(image, config), height=height, width=width, reach_px=config.region_px)
    pixels, z = camera.project(K, points)
    ahead = np.flatnonzero((z > 0.5) & (pixels >= 0).all(1) & (pixels <= [width - 1, height - 1]).all(1))
    u, v = np.rint(pixels[ahead]).astype(np.int64).T
    nearest = np.full((height, width), np.inf, np.float32)
    np.minimum.at(nearest, (v, u), z[ahead].astype(np.float32))
    size = 2 * config.hidden_px + 1
    around = cv2.erode(nearest, np.ones((size, size), np.uint8))
    seen = wanted[v, u] & (z[ahead] <= around[v, u] * (1 + config.hidden))
    chosen = ahead[seen]
    if len(chosen) > config.most:
        chosen = np.sort(np.random.default_rng(len(chosen)).choice(chosen, config.most, replace=False))
    return pixels[chosen].astype(np.float32), chosen


def at_stride(pixels: np.ndarray, stride: int) -> np.ndarray:
    """(M, 2) pixels x, y -> (M, 2) int64 column and row of a layer that down-samples by `stride`: the second coordinates (claim 11)."""
    return np.floor((pixels + 0.5) / stride).astype(np.int64)


def thinned(points: np.ndarray, *, apart_m: float, most: int, rng: np.random.Generator, cells: np.ndarray | None = None) -> np.ndarray:
    """(N, 2) places from above, metres -> indices of at most `most` of them, random ones, any two at least `apart_m` apart.

    cells: (N,) at most one of each is taken.
    """
    order = rng.permutation(len(points))
    own = np.arange(len(points)) if cells is None else cells
    taken: set[int] = set()
    near: dict[tuple[int, int], list[int]] = {}
    chosen: list[int] = []
    squares = np.floor(points / apart_m).astype(np.int64)
    for i in order:
        if int(own[i]) in taken:
            continue
        x, y = squares[i]
        close = (j for dx in (-1, 0, 1) for dy in (-1, 0, 1) for j in near.get((x + dx, y + dy), ()))
        if all(np.hypot(*(points[i] - points[j])) >= apart_m for j in close):
            near.setdefault((x, y), []).append(i)
            chosen.append(int(i))
            taken.add(int(own[i]))
            if len(chosen) == most:
                break
    return np.array(chosen, np.int64)
