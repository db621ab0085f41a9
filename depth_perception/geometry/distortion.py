"""Lens distortion: an image is rectified once, at the door, and everything behind it sees a pinhole camera."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from depth_perception.frame import BadInput
from depth_perception.geometry import camera
from depth_perception.geometry.stored import remapped

# OpenCV's own lengths of D for its polynomial model: shorter ones are its first terms.
_LENGTHS = {"plumb_bob": (4, 5, 8, 12, 14), "rational_polynomial": (4, 5, 8, 12, 14), "equidistant": (4,), "fisheye": (4,)}


class Rectifier:
    """Removes the distortion that a sensor_msgs/CameraInfo describes (plumb_bob, rational_polynomial, equidistant alias fisheye).

    With D all zero the image is taken as rectified already: nothing is done and K is the camera. Otherwise the
    rectified camera is P[:3, :3], or K where P is zero. The rotation R of a stereo pair is not applied: the image stays
    in its own optical frame, so that TF holds.
    Size, K and P are the full sensor's, as CameraInfo has it; the region of interest (all zero: everything) is cut from it, then
    binned. The rectified image shows the same window of the rectified sensor, whether or not the region says do_rectify.

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
        if not (0 < K[0, 2] < width and 0 < K[1, 2] < height):
            raise BadInput(f"camera info: K: its centre ({K[0, 2]:g}, {K[1, 2]:g}) lies outside the {width}x{height} image it came with")
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
            self._map = cv2.convertMaps(*self._places(), cv2.CV_16SC2)
        return remapped(image, self._map[0], self._map[1])

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) labels, or depths, of the image as the camera saw it -> of the rectified one: the nearest; 0 where it saw nothing."""
        if labels.shape != (self.height, self.width):
            raise BadInput(f"labels: their camera info says {self.width}x{self.height}, got {labels.shape[1]}x{labels.shape[0]}")
        return labels if self.is_identity else cv2.remap(labels, *self._places(), cv2.INTER_NEAREST)

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y (H, W) float32 of each rectified pixel in the image as it comes."""
        build = cv2.fisheye.initUndistortRectifyMap if self._is_fisheye else cv2.initUndistortRectifyMap
        u, v = build(self._K_distorted, self._D, np.eye(3), self.K, (self.width, self.height), cv2.CV_32FC1)
        rays = camera.rays(self.K, height=self.height, width=self.width)
        radius = np.hypot(rays[..., 0], rays[..., 1])
        # Beyond the reach of the polynomial pixels would come a second time; and what is far outside does not fit into 16 bits.
        seen = (radius < _reach(self._D, float(radius.max()), self._is_fisheye)) & (np.abs(u) < 30_000) & (np.abs(v) < 30_000)
        u[~seen] = v[~seen] = -100.0
        return u, v


def _reach(D: np.ndarray, farthest: float, is_fisheye: bool) -> float:
    """The distance from the axis, on the plane z = 1, up to which points farther out are seen farther out; inf when that holds
    up to `farthest`. No lens does otherwise, but its polynomial does beyond what it was fitted to."""
    r = np.linspace(0, farthest, 4097)
    k = np.zeros(8)
    k[:min(len(D), 8)] = D[:8]
    with np.errstate(all="ignore"):
        if is_fisheye:
            square = np.arctan(r) ** 2
            seen_at = np.arctan(r) * (1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3]))))
        else:
            square = r**2
            divisor = 1 + square * (k[5] + square * (k[6] + square * k[7]))
            seen_at = r * (1 + square * (k[0] + square * (k[1] + square * k[4]))) / divisor
        back = np.flatnonzero(~(np.diff(seen_at) > 0))
    return float(r[back[0]]) if len(back) else np.inf


def _matrix(name: str, values: Any, columns: int) -> np.ndarray:
    values = np.asarray(values, np.float64).reshape(-1)
    if len(values) != 3 * columns or not np.isfinite(values).all():
        raise BadInput(f"camera info: {name}: wanted {3 * columns} finite numbers, got {values.tolist()}")
    return values.reshape(3, columns)


def _on_the_image(info: Any, K: np.ndarray, width: int, height: int) -> tuple[np.ndarray, int, int]:
    """K and size of the full sensor -> those of the image that is sent: a region of interest, then binning."""
    roi = info.roi
    if (roi.width > 0) != (roi.height > 0) or (roi.width == 0 and (roi.x_offset or roi.y_offset)):
        region = f"{roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset})"
        raise BadInput(f"camera info: wanted a region with a width and a height, got {region}")
    if roi.width > 0 and roi.height > 0:
        if roi.x_offset + roi.width > width or roi.y_offset + roi.height > height:
            region = f"{roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset})"
            raise BadInput(f"camera info: the region {region} leaves the {width}x{height} image")
        K, width, height = camera.crop_K(K, left=roi.x_offset, top=roi.y_offset), int(roi.width), int(roi.height)
    across, down = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    if across == down == 1:
        return K, width, height
    binned = (height // down, width // across)
    if 0 in binned:
        raise BadInput(f"camera info: binning {across}x{down} leaves nothing of a {width}x{height} image")
    return camera.resize_K(K, from_size=(binned[0] * down, binned[1] * across), to_size=binned), binned[1], binned[0]
