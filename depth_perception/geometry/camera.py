"""The pinhole camera: pixels to points and back, and what resizing does to K."""

from __future__ import annotations

import numpy as np


def resize_K(K: np.ndarray, *, from_size: tuple[int, int], to_size: tuple[int, int]) -> np.ndarray:
    """K of the same view in another image size; sizes are (height, width) in pixels.

    Pixel centres lie at integers (REP/OpenCV convention), so the centre moves by half a pixel: c' = (c + 0.5) s - 0.5.
    """
    sy, sx = to_size[0] / from_size[0], to_size[1] / from_size[1]
    out = np.array(K, np.float64)
    out[0] *= sx
    out[1] *= sy
    out[0, 2] += 0.5 * sx - 0.5
    out[1, 2] += 0.5 * sy - 0.5
    return out


def crop_K(K: np.ndarray, *, left: float, top: float) -> np.ndarray:
    """K after `left` columns and `top` rows were cut off."""
    out = np.array(K, np.float64)
    out[0, 2] -= left
    out[1, 2] -= top
    return out


def flip_K(K: np.ndarray, *, width: int) -> np.ndarray:
    """K after the image was mirrored left-right."""
    out = np.array(K, np.float64)
    out[0, 2] = width - 1 - out[0, 2]
    return out


def rays(K: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """(height, width, 3) float32 directions with z = 1, camera frame: depth times ray is the point."""
    u = (np.arange(width) - K[0, 2]) / K[0, 0]
    v = (np.arange(height) - K[1, 2]) / K[1, 1]
    out = np.ones((height, width, 3), np.float32)
    out[..., 0] = u
    out[..., 1] = v[:, None]
    return out


def project(K: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points in the camera frame, metres -> (N, 2) pixels (x, y) and (N,) depth z.

    Points with z <= 0 get meaningless pixels; the caller masks by depth.
    """
    z = points[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = points[:, 0] / z * K[0, 0] + K[0, 2]
        v = points[:, 1] / z * K[1, 1] + K[1, 2]
    return np.stack([u, v], 1), z


def z_buffer(K: np.ndarray, points: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """(N, 3) points in the camera frame -> (height, width) float32 depth, the nearest point per pixel, NaN elsewhere."""
    pixels, z = project(K, points)
    near = z > 0.1
    u = np.rint(pixels[near, 0]).astype(np.int64)
    v = np.rint(pixels[near, 1]).astype(np.int64)
    z = z[near]
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v, z = u[inside], v[inside], z[inside]
    depth = np.full(height * width, np.inf, np.float32)
    np.minimum.at(depth, v * width + u, z.astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(height, width)
