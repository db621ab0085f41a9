"""The view from above as a camera has it: which image column and which depth bin each cell of a grid is (S3 claim 6)."""

from __future__ import annotations

import numpy as np

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import camera, pose
from depth_perception.geometry.grid import Grid

NOWHERE = 2.0  # behind the camera, beside its view, beyond the bins: grid_sample answers zero there
BELOW_CAMERA_M = 1.0  # about the middle of what stands on a road; a camera that looks straight ahead does not ask


def polar(calibration: Calibration, *, height: int, width: int, depths: np.ndarray, grid: Grid) -> np.ndarray:
    """(rows, columns, 2) float32: (image column, depth bin) of every cell's centre, -1..1 from edge to edge, as torch's grid_sample asks.

    `frustum.cells` says where each feature falls; this is the same the other way round, for engines that cannot add where several
    features fall together. Features of one image column and depth bin stand above each other, so their sum is one feature of a map
    (bins, columns), which every cell reads between its four neighbours. Pitch moves what is a metre higher by its sine only.

    Args:
        calibration: of the image; the network sees all of it, resized to height x width.
        depths: (D,) rising metres along the camera's z: canonical bins times `network_input.focal_ratio`.
        grid: of the network's features, `Grid.coarser(2)` of that of the pillars.
    """
    if calibration.T_base_camera is None:
        raise BadInput(f"{calibration.frame_id}: wanted a camera whose place on the body is known (T_base_camera), for its view from above")
    depths = np.asarray(depths, np.float64)
    if depths.ndim != 1 or len(depths) < 2 or not (depths[0] > 0 and (np.diff(depths) > 0).all() and np.isfinite(depths[-1])):
        raise BadInput(f"depths: wanted (D,) rising metres above 0, got {depths.tolist()}")
    K = camera.resize_K(calibration.K, from_size=(calibration.height, calibration.width), to_size=(height, width))
    centres = grid.centres().reshape(-1, 2).astype(np.float64)
    level = np.full(len(centres), calibration.T_base_camera[2, 3] - BELOW_CAMERA_M)
    points = pose.transform(pose.inverse(calibration.T_base_camera), np.column_stack([centres, level]))
    z = points[:, 2]
    ahead = np.maximum(z, 1e-3)
    u = K[0, 0] * points[:, 0] / ahead + K[0, 2]
    across = (2 * u + 1) / width - 1
    log = np.log(depths)
    bin_of = np.interp(np.log(ahead), log, np.arange(len(depths)))
    along = (2 * bin_of + 1) / len(depths) - 1
    half = 0.5 * np.array([log[1] - log[0], log[-1] - log[-2]])
    seen = (z > 0) & (np.abs(across) <= 1) & (np.log(ahead) >= log[0] - half[0]) & (np.log(ahead) <= log[-1] + half[1])
    out = np.where(seen[:, None], np.column_stack([across, along]), NOWHERE)
    return out.reshape(grid.rows, grid.columns, 2).astype(np.float32)
