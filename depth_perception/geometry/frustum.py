"""Where a camera's features lie from above: one place per depth bin and feature (S3 claim 6)."""

from __future__ import annotations

import numpy as np

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import camera, pose
from depth_perception.geometry import ground as grounds
from depth_perception.geometry.grid import Grid

# What lies higher above the camera or deeper under it is sky, crown or mistake, and in no cell.
ABOVE_M, BELOW_M = 3.0, 6.0
# A camera that looks farther to the side than this gets a body of its own that looks its way: one grid ahead serves cameras of all views.
FACING_DEG = 45.0


def facing(T_base_camera: np.ndarray, most_deg: float = FACING_DEG) -> np.ndarray:
    """(4, 4) turn of the body about its z that makes this camera look ahead; none where it looks less than `most_deg` to the side."""
    ahead = T_base_camera[:3, 2]
    side = float(np.arctan2(ahead[1], ahead[0]))
    turned = abs(np.degrees(side)) > most_deg
    return pose.from_rotation_vector(np.array([0, 0, -side if turned else 0.0]), np.zeros(3))


def points(calibration: Calibration, *, height: int, width: int, stride: int, depths: np.ndarray) -> np.ndarray:
    """(D * h * w, 3) float32 points in the body frame, metres, in the order (depth, row, column) of a feature map (h, w).

    Args:
        calibration: of the image; the network sees all of it, resized to height x width.
        height, width: the network's input, pixels; h = height / stride, w = width / stride.
        depths: (D,) metres along the camera's z: canonical bins times `network_input.focal_ratio`.
    """
    if calibration.T_base_camera is None:
        raise BadInput(f"{calibration.frame_id}: wanted a camera whose place on the body is known (T_base_camera), for its view from above")
    if stride < 1 or height % stride or width % stride:
        raise BadInput(f"stride: wanted a whole number that divides the network's input {width}x{height}, got {stride}")
    depths = np.asarray(depths, np.float64)
    if depths.ndim != 1 or len(depths) == 0 or not (np.isfinite(depths) & (depths > 0)).all():
        raise BadInput(f"depths: wanted (D,) metres above 0, got shape {depths.shape}")
    whole = (calibration.height, calibration.width)
    K = camera.resize_K(calibration.K, from_size=whole, to_size=(height // stride, width // stride))
    rays = camera.rays(K, height=height // stride, width=width // stride).reshape(1, -1, 3)
    in_camera = (depths[:, None, None] * rays).reshape(-1, 3)
    return pose.transform(calibration.T_base_camera, in_camera).astype(np.float32)


def cells(calibration: Calibration, *, height: int, width: int, stride: int, depths: np.ndarray, grid: Grid) -> np.ndarray:
    """(D * h * w,) int64 flat cell of every (depth bin, row, column), `grid.outside` where there is none; arguments as of `points`."""
    found = points(calibration, height=height, width=width, stride=stride, depths=depths)
    assert calibration.T_base_camera is not None
    above = found[:, 2] - calibration.T_base_camera[2, 3]
    return np.where((above < ABOVE_M) & (above > -BELOW_M), grid.cells(found), grid.outside)


def heights(
    calibration: Calibration, *, height: int, width: int, stride: int, depths: np.ndarray, ground: np.ndarray | None = None
) -> np.ndarray:
    """(D * h * w,) float32 metres above the ground plane (3,) (None: above the body's zero), for fusion by height, as claim 6 says it."""
    found = points(calibration, height=height, width=width, stride=stride, depths=depths)
    return found[:, 2] if ground is None else found[:, 2] - grounds.level(ground, found)
