"""What goes to a browser ten times a second is made small first: pictures as JPEG and PNG, clouds thinned and coloured."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.systems import palette

UNITS_PER_M = 500.0  # 16 bits reach 131 m in steps of 2 mm
MOST_POINTS = 20_000
_JPEG, _PNG = [cv2.IMWRITE_JPEG_QUALITY, 80], [cv2.IMWRITE_PNG_COMPRESSION, 1]


def jpeg(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB or (H, W) uint8 grey -> the bytes of a JPEG file."""
    return cv2.imencode(".jpg", picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1]), _JPEG)[1].tobytes()


def depth_png(depth: np.ndarray, *, widest: int = 640) -> tuple[bytes, int]:
    """(H, W) metres, NaN = none -> a 16-bit PNG in UNITS_PER_M, 0 = none, and by what its size was divided to be no wider than `widest`.

    Every n-th pixel as it is: a mean over the edge of a thing would be a depth where nothing stands.
    """
    step = max(-(-depth.shape[1] // widest), 1)
    units = np.nan_to_num(depth[step // 2 :: step, step // 2 :: step] * UNITS_PER_M, nan=0.0, posinf=0.0, neginf=0.0)
    return cv2.imencode(".png", np.clip(units, 0, 65535).astype(np.uint16), _PNG)[1].tobytes(), step


def confidence_jpeg(confidence: np.ndarray) -> bytes:
    """(H, W) 0..1 -> a grey JPEG, white = sure."""
    return jpeg((np.clip(np.nan_to_num(confidence), 0, 1) * 255).astype(np.uint8))


def markings_png(mask: np.ndarray) -> bytes:
    """(H, W) class ids -> a PNG of their colours, see-through where there is no marking."""
    painted = np.dstack([palette.coloured(mask)[..., ::-1], np.where(mask > 0, 200, 0).astype(np.uint8)])
    return cv2.imencode(".png", painted, _PNG)[1].tobytes()


def thinned(points: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """(N, >=3) points -> (M <= most, 3) float32: every n-th of them, as far as it is finite."""
    few = points[:: max(-(-len(points) // most), 1), :3]
    return np.ascontiguousarray(few[np.isfinite(few).all(1)], np.float32)


def height_colours(points: np.ndarray, *, low_m: float = -0.5, high_m: float = 3.0) -> np.ndarray:
    """(N, 3) body-frame points -> (N, 3) uint8 RGB by height, the same height always in the same colour."""
    share = (np.clip((points[:, 2] - low_m) / (high_m - low_m), 0, 1) * 255).astype(np.uint8)
    return _TURBO[share]


_TURBO = np.ascontiguousarray(cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1])
