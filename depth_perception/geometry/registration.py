"""How the camera moved between two images when the first one's depth is measured: no labels, metric."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.geometry import camera


def camera_motion(image_a: np.ndarray, image_b: np.ndarray, points: np.ndarray, K: np.ndarray, *, least: int = 40) -> np.ndarray | None:
    """T_b_a from measured points that are followed from one image into the other.

    The points that lie on texture are tracked there and back (Lucas-Kanade), then posed robustly (RANSAC PnP) and refined.

    Args:
        image_a, image_b: (H, W) uint8 grey, of one camera at two moments.
        points: (N, 3) measured points in the camera frame of image a, metres, all inside it.
        K: (3, 3) pixels.
        least: fewer points that agree on one motion are no answer.
    Returns:
        (4, 4) T_b_a, metres, or None.
    """
    chosen = points[_textured(image_a, camera.project(K, points)[0])]
    if len(chosen) < least:
        return None
    before = camera.project(K, chosen)[0].astype(np.float32)
    after, found = _follow(image_a, image_b, before)
    back, found_back = _follow(image_b, image_a, after)
    good = found & found_back & (np.linalg.norm(back - before, axis=1) < 0.5)
    if good.sum() < least:
        return None
    # solvePnP's random choice depends on OpenCV's global state; the same drive must give the same motion.
    cv2.setRNGSeed(0)
    xyz, pixels, K64 = chosen[good].astype(np.float64), after[good].astype(np.float64), np.asarray(K, np.float64)
    ok, rotation, translation, inliers = cv2.solvePnPRansac(
        xyz, pixels, K64, None, iterationsCount=100, reprojectionError=1.5, confidence=0.999, flags=cv2.SOLVEPNP_SQPNP)
    if not ok or inliers is None or len(inliers) < max(least, 0.3 * len(xyz)):
        return None
    rotation, translation = cv2.solvePnPRefineLM(xyz[inliers[:, 0]], pixels[inliers[:, 0]], K64, None, rotation, translation)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
    return T if np.isfinite(T).all() else None


def _follow(image_a: np.ndarray, image_b: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) pixels of image a -> (N, 2) pixels of image b and (N,) bool, by pyramidal Lucas-Kanade."""
    after, found, _ = cv2.calcOpticalFlowPyrLK(image_a, image_b, pixels, np.empty_like(pixels), winSize=(15, 15), maxLevel=4)
    return after, found[:, 0] == 1


def _textured(image: np.ndarray, pixels: np.ndarray, *, rows: int = 6, columns: int = 16, per_cell: int = 12) -> np.ndarray:
    """Indices of the points on the strongest corners, so many from each cell of a grid: spread over the image."""
    height, width = image.shape
    strength = cv2.cornerMinEigenVal(image, 5)
    u = np.rint(pixels).astype(np.int64).clip(0, [width - 1, height - 1])
    value = strength[u[:, 1], u[:, 0]]
    cell = (u[:, 1] * rows // height) * columns + u[:, 0] * columns // width
    order = np.lexsort((-value, cell))
    first = np.searchsorted(cell[order], cell[order])  # where the point's cell begins
    keep = (np.arange(len(order)) - first < per_cell) & (value[order] > 1e-4)
    return order[keep]
