"""The camera-only cloud against the LiDAR: how right it is, how much it sees, and both at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_perception.frame import Frame
from depth_perception.geometry import grid, lidar, pose
from depth_perception.systems.odometry import T_BODY_OPTICAL

THRESHOLDS_M = (0.2, 0.5)
RANGES_M = ((0.0, 10.0), (10.0, 20.0), (20.0, 40.0))
ABOVE_GROUND_M = 4.0


class BevScore:
    """Means over frames, by range from the body.

    accuracy_m: from a point of the cloud to the nearest LiDAR point. completeness_m: from a LiDAR point that the camera can see to the
    nearest point of the cloud. f_score: harmonic mean of the shares of both below a threshold.
    """

    def __init__(self, voxel_m: float = 0.2) -> None:
        self._voxel_m = voxel_m
        self._rows: dict[str, list[dict[str, float]]] = {}

    def add(self, points: np.ndarray, frame: Frame) -> None:
        """points: (N, >=3) metres, body frame, as the bev system published them for this frame."""
        if frame.scan is None or frame.calibration.T_camera_lidar is None:
            return
        truth, visible = self._truth(frame)
        if not visible.any():
            return
        estimate = np.ascontiguousarray(points[:, :3])
        to_truth, to_estimate = _nearest(estimate, truth), _nearest(truth[visible], estimate)
        far = [np.hypot(p[:, 0], p[:, 1]) for p in (estimate, truth[visible])]
        for low, high in (*RANGES_M, (0.0, RANGES_M[-1][1])):
            ours, theirs = (to_truth[(far[0] >= low) & (far[0] < high)], to_estimate[(far[1] >= low) & (far[1] < high)])
            if len(theirs) < 20:
                continue
            if len(ours) < 20:  # silence where there is something to see: no distances to speak of, and no marks
                row = {"accuracy_m": np.nan, "completeness_m": np.nan} | {f"f_score_{threshold}": 0.0 for threshold in THRESHOLDS_M}
                self._rows.setdefault(f"{low:g}-{high:g} m", []).append(row)
                continue
            row = {"accuracy_m": float(ours.mean()), "completeness_m": float(theirs.mean())}
            for threshold in THRESHOLDS_M:
                precision, recall = float((ours < threshold).mean()), float((theirs < threshold).mean())
                row[f"f_score_{threshold}"] = 2 * precision * recall / max(precision + recall, 1e-9)
            self._rows.setdefault(f"{low:g}-{high:g} m", []).append(row)

    def _truth(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """(M, 3) scan in the body frame, thinned and cut like the cloud, and the (M,) mask of what the camera sees."""
        assert frame.scan is not None
        calibration = frame.calibration
        T_base_camera = T_BODY_OPTICAL if calibration.T_base_camera is None else calibration.T_base_camera
        in_camera = lidar.in_camera(frame.scan, calibration)
        body = pose.transform(T_base_camera, in_camera)
        keep = np.hypot(body[:, 0], body[:, 1]) < RANGES_M[-1][1]
        if not keep.any():
            return body[:0], keep[:0]
        # The highest points are left out as the cloud leaves them out: above the lowest hundredth, near the ground.
        keep &= body[:, 2] < np.quantile(body[keep, 2], 0.01) + ABOVE_GROUND_M
        body, in_camera = body[keep], in_camera[keep]
        thinned = grid.thin(body, voxel=self._voxel_m)
        body, in_camera = body[thinned], in_camera[thinned]
        z = np.maximum(in_camera[:, 2], 1e-6)
        u = in_camera[:, 0] / z * calibration.K[0, 0] + calibration.K[0, 2]
        v = in_camera[:, 1] / z * calibration.K[1, 1] + calibration.K[1, 2]
        visible = (in_camera[:, 2] > 0.5) & (u >= 0) & (u < calibration.width) & (v >= 0) & (v < calibration.height)
        return body, visible

    def result(self) -> dict[str, Any]:
        """Mean of each figure over the frames, by range."""
        by_range = {
            name: {key: round(_mean([row[key] for row in rows]), 4) for key in rows[0]} for name, rows in self._rows.items()
        }
        return {"by_range": by_range, "frames": max((len(rows) for rows in self._rows.values()), default=0)}


def _mean(values: list[float]) -> float:
    """Mean of those that are numbers; NaN when none is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) distance from each of (N, 3) points to the nearest of (M, 3) others, metres."""
    import open3d as o3d

    def cloud(values):  # type: ignore[no-untyped-def]
        return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(values.astype(np.float64)))

    return np.asarray(cloud(points).compute_point_cloud_distance(cloud(others)))
