"""The field's standard errors of depth and odometry, pure numpy."""

from __future__ import annotations

from typing import Literal

import numpy as np

from depth_perception.geometry import pose

MIN_DEPTH_M, MAX_DEPTH_M = 1e-3, 80.0
# Garg et al. 2016: the part of a KITTI image that LiDAR covers, as shares of height and width.
GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)


def valid_depth(truth: np.ndarray, *, crop: Literal["garg", "none"]) -> np.ndarray:
    """(H, W) bool: where there is a true depth within 80 m, inside the crop."""
    valid = np.isfinite(truth) & (truth > MIN_DEPTH_M) & (truth < MAX_DEPTH_M)
    if crop == "garg":
        height, width = truth.shape
        inside = np.zeros_like(valid)
        inside[int(GARG[0] * height) : int(GARG[1] * height), int(GARG[2] * width) : int(GARG[3] * width)] = True
        valid &= inside
    return valid


def depth_errors(
    depth: np.ndarray, truth: np.ndarray, *, median_scale: bool = False, crop: Literal["garg", "none"] = "garg"
) -> dict[str, float] | None:
    """Errors of one depth image; None when fewer than 20 pixels have truth.

    Args:
        depth, truth: (H, W) metres, NaN = none. An estimate of none counts as 80 m: silence is not rewarded.
        median_scale: multiply the estimate by median(truth) / median(estimate) first (Zhou et al. 2017).
    Returns:
        abs_rel, sq_rel, rmse, rmse_log and the shares d1, d2, d3 with max(ratio, 1/ratio) < 1.25, 1.25^2, 1.25^3 (Eigen et al. 2014).
    """
    valid = valid_depth(truth, crop=crop)
    if valid.sum() < 20:
        return None
    t = truth[valid].astype(np.float64)
    d = np.nan_to_num(depth[valid].astype(np.float64), nan=MAX_DEPTH_M)
    if median_scale:
        d = d * (np.median(t) / np.median(d))
    d = np.clip(d, MIN_DEPTH_M, MAX_DEPTH_M)
    ratio = np.maximum(t / d, d / t)
    return {
        "abs_rel": float(np.mean(np.abs(t - d) / t)),
        "sq_rel": float(np.mean((t - d) ** 2 / t)),
        "rmse": float(np.sqrt(np.mean((t - d) ** 2))),
        "rmse_log": float(np.sqrt(np.mean((np.log(t) - np.log(d)) ** 2))),
        "d1": float(np.mean(ratio < 1.25)),
        "d2": float(np.mean(ratio < 1.25**2)),
        "d3": float(np.mean(ratio < 1.25**3)),
    }


def path_lengths(poses: np.ndarray) -> np.ndarray:
    """(N, 4, 4) -> (N,) metres travelled up to each pose."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def odometry_errors(estimate: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Errors of a chain of poses, after both start at the identity; no alignment, no scaling.

    Args:
        estimate, reference: (N, 4, 4) T_world_body of the same moments, metres.
    Returns:
        t_err_percent, r_err_deg_per_100m: means over segments from every pose, 100 to 800 m long, or 10 to 50 m on paths under
            200 m (KITTI odometry benchmark; NaN when no segment fits). ate_m: RMS position error. scale_error: path length over
            the reference's, less one. path_m: length of the reference. frames: N.
    """
    estimate = pose.inverse(estimate[0]) @ estimate
    reference = pose.inverse(reference[0]) @ reference
    along = path_lengths(reference)
    path_m = float(along[-1])
    lengths = range(100, 900, 100) if path_m >= 200 else range(10, 60, 10)
    translation, rotation = [], []
    for first in range(len(reference)):
        for length in lengths:
            last = int(np.searchsorted(along, along[first] + length))
            if last >= len(reference):
                break
            error = pose.inverse(pose.inverse(reference[first]) @ reference[last]) @ (pose.inverse(estimate[first]) @ estimate[last])
            travelled = along[last] - along[first]
            translation.append(np.linalg.norm(error[:3, 3]) / travelled)
            rotation.append(np.linalg.norm(pose.log_so3(error[:3, :3])) / travelled)
    difference = estimate[:, :3, 3] - reference[:, :3, 3]
    return {
        "t_err_percent": float(np.mean(translation) * 100) if translation else float("nan"),
        "r_err_deg_per_100m": float(np.degrees(np.mean(rotation)) * 100) if rotation else float("nan"),
        "ate_m": float(np.sqrt(np.mean((difference**2).sum(1)))),
        "scale_error": float(path_lengths(estimate)[-1] / path_m - 1) if path_m > 0 else float("nan"),
        "path_m": path_m,
        "frames": len(reference),
    }
