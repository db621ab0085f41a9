"""Two views of one street: where their depths do not tell the same world."""

from __future__ import annotations

import cv2
import numpy as np


def disagreement(depth: np.ndarray, other: np.ndarray, K: np.ndarray, T_other_this: np.ndarray) -> np.ndarray:
    """|z - z'| / (z + z') of every point: z its depth from the other camera by this view's depth and the motion, z' what the other says.

    Large where something moved by itself, where one of the two networks' answers is wrong, and behind an edge that hides the point
    (Bian et al. 2019; S2's spatial consistency without training).

    Args:
        depth, other: (h, w) float32 metres, NaN = none. K: (3, 3) pixels of both. T_other_this: (4, 4) metres.
    Returns:
        (h, w) float32 in 0..1, NaN where the other view does not see the point.
    """
    height, width = depth.shape
    # A pixel (u, v, 1) at depth z lands at z H (u, v, 1) + b, so rays need not be built.
    H = (K @ T_other_this[:3, :3] @ np.linalg.inv(K)).astype(np.float32)
    b = (K @ T_other_this[:3, 3]).astype(np.float32)
    u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    x, y, z = (depth * (H[row, 0] * u + H[row, 1] * v + H[row, 2]) + b[row] for row in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        z[~(z > 0)] = np.nan
        seen = cv2.remap(other, x / z, y / z, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan"))
        return np.abs(z - seen) / (z + seen)
