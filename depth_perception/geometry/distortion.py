"""Lens distortion: an image is rectified once, at the door, and everything behind it sees a pinhole camera."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from depth_perception.frame import BadInput
from depth_perception.geometry.camera import crop_K, resize_K

# OpenCV's own lengths of D for its polynomial model: shorter ones are its first terms.
_LENGTHS = {"plumb_bob": (4, 5, 8, 12, 14), "rational_polynomial": (4, 5, 8, 12, 14), "equidistant": (4,), "fisheye": (4,)}


class Rectifier:
    """Removes the distortion that a sensor_msgs/CameraInfo describes (plumb_bob, rational_polynomial, equidistant).

    With D all zero the image is taken as rectified already: nothing is done and K is the camera. Otherwise the
    rectified camera is P[:3, :3], or K where P is zero. The rotation R of a stereo pair is not applied: the image stays
    in its own optical frame, so that TF holds. Binning and region of interest are honoured.

    Attributes:
        K: (3, 3) float64 of the rectified image.
        width, height: size of the image, pixels.
        is_identity: True when images pass unchanged.
    Raises:
        BadInput: unknown model, a D of the wrong length, K or size that cannot be.
    """

    def __init__(self, info: Any) -> None:
        width, height = int(info.width), int(info.height)
        if width <= 0 or height <= 0:
            raise BadInput(f"camera info: wanted the image's size, got {width}x{height} (an uncalibrated camera?)")
        D = np.asarray(info.d, np.float64).reshape(-1)
        K, P = _matrix("K", info.k, 3), _matrix("P", info.p, 4)[:, :3]
        if not np.isfinite(D).all():
            raise BadInput(f"camera info: D: wanted finite numbers, got {D.tolist()}")
        if K[0, 0] <= 0 or K[1, 1] <= 0:
            raise BadInput(f"camera info: K: wanted positive focal lengths, got fx={K[0, 0]:g} fy={K[1, 1]:g} (an uncalibrated camera?)")
        self.is_identity = not D.any()
        self.K, self.width, self.height = _on_the_image(info, K if self.is_identity or P[0, 0] <= 0 or P[1, 1] <= 0 else P, width, height)
        self._map: tuple[np.ndarray, np.ndarray] | None = None
        if self.is_identity:
            return
        model = str(info.distortion_model)
        if model not in _LENGTHS:
            raise BadInput(f"camera info: distortion model: wanted plumb_bob, rational_polynomial or equidistant, got {model!r}")
        if len(D) not in _LENGTHS[model]:
            raise BadInput(f"camera info: D of {model}: wanted {' or '.join(map(str, _LENGTHS[model]))} numbers, got {len(D)}")
        self._D, self._K_distorted = D, _on_the_image(info, K, width, height)[0]
        self._is_fisheye = model in ("equidistant", "fisheye")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 as the camera saw it -> (H, W, 3) uint8 rectified; black where the camera saw nothing."""
        if image.shape[:2] != (self.height, self.width):
            raise BadInput(f"image: its camera info says {self.width}x{self.height}, got {image.shape[1]}x{image.shape[0]}")
        if self.is_identity:
            return image
        if self._map is None:
            build = cv2.fisheye.initUndistortRectifyMap if self._is_fisheye else cv2.initUndistortRectifyMap
            self._map = build(self._K_distorted, self._D, np.eye(3), self.K, (self.width, self.height), cv2.CV_16SC2)
        return cv2.remap(np.ascontiguousarray(image), self._map[0], self._map[1], cv2.INTER_LINEAR)


def _matrix(name: str, values: Any, columns: int) -> np.ndarray:
    values = np.asarray(values, np.float64).reshape(-1)
    if len(values) != 3 * columns or not np.isfinite(values).all():
        raise BadInput(f"camera info: {name}: wanted {3 * columns} finite numbers, got {values.tolist()}")
    return values.reshape(3, columns)


def _on_the_image(info: Any, K: np.ndarray, width: int, height: int) -> tuple[np.ndarray, int, int]:
    """K and size of the full sensor -> those of the image that is sent: a region of interest, then binning."""
    roi = info.roi
    if roi.width > 0 and roi.height > 0:
        if roi.x_offset + roi.width > width or roi.y_offset + roi.height > height:
            region = f"{roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset})"
            raise BadInput(f"camera info: the region {region} leaves the {width}x{height} image")
        K, width, height = crop_K(K, left=roi.x_offset, top=roi.y_offset), int(roi.width), int(roi.height)
    across, down = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    if across == down == 1:
        return K, width, height
    binned = (height // down, width // across)
    if 0 in binned:
        raise BadInput(f"camera info: binning {across}x{down} leaves nothing of a {width}x{height} image")
    return resize_K(K, from_size=(binned[0] * down, binned[1] * across), to_size=binned), binned[1], binned[0]
