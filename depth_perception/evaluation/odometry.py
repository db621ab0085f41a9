"""Odometry against reference poses."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_perception.bag.poses import GAP_NS
from depth_perception.evaluation.reference import Reference
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree
from depth_perception.systems.odometry import T_BODY_OPTICAL, OdometryOutput
from depth_perception.train import metrics


def score(
    stamps_ns: list[int],
    T_odom_base: list[np.ndarray],
    reference: Reference,
    calibration: Calibration,
    tree: FrameTree,
    *,
    align: bool = False,
) -> dict[str, Any]:
    """Errors of a trajectory of the body, compared in the frame that the reference moves.

    stamps_ns, T_odom_base: one per image, the first one the identity at the first image.
    align: give the estimate the reference's path length first; off unless asked, and then scale_error is that of the aligned path.
    """
    estimate = np.stack(T_odom_base) @ _T_base_reference(reference.frame, calibration, tree)
    stamps = np.array(stamps_ns, np.int64)
    if reference.stamps_ns is None:
        if len(reference.poses) != len(estimate):
            raise BadInput(
                f"reference {reference.source}: has {len(reference.poses)} poses for {len(estimate)} images; a KITTI file needs one each"
            )
        truth, inside = reference.poses, np.ones(len(estimate), bool)
    else:
        truth, inside = reference.at(stamps)
    if inside.sum() < 2:
        raise BadInput(f"reference {reference.source}: its time does not overlap with the images', or its poses are more than "
                       f"{GAP_NS / 1e9:g} s apart")
    estimate, truth = estimate[inside], truth[inside]
    if align:
        ratio = metrics.path_lengths(truth)[-1] / max(metrics.path_lengths(estimate)[-1], 1e-9)
        estimate = estimate.copy()
        estimate[:, :3, 3] *= ratio
    return {key: round(value, 5) for key, value in metrics.odometry_errors(estimate, truth).items()} | {
        "reference": reference.source,
        "aligned": align,
    }


def nees_per_dof(outputs: list[OdometryOutput], reference: Reference, calibration: Calibration, tree: FrameTree) -> float:
    """Squared error of each step's twist in units of its own covariance, per degree of freedom, mean over steps (Bar-Shalom et al. 2001).

    1 for an honest covariance, more when it promises too much. NaN for a reference without times.
    """
    if reference.stamps_ns is None or not outputs:
        return float("nan")
    T_reference_base = pose.inverse(_T_base_reference(reference.frame, calibration, tree))
    now = np.array([output.stamp_ns for output in outputs], np.int64)
    elapsed_ns = np.array([round(output.elapsed_s * 1e9) for output in outputs], np.int64)
    (before, known_before), (after, known_after) = reference.at(now - elapsed_ns), reference.at(now)
    squared = []
    for output, T_before, T_after, known in zip(outputs, before, after, known_before & known_after, strict=True):
        if known:
            moved = pose.inverse(T_before @ T_reference_base) @ T_after @ T_reference_base
            truth = np.concatenate([moved[:3, :3].T @ moved[:3, 3], pose.log_so3(moved[:3, :3])]) / output.elapsed_s
            error = output.twist - truth
            squared.append(error @ np.linalg.solve(output.twist_covariance, error) / 6)
    return float(np.mean(squared)) if squared else float("nan")


def _T_base_reference(frame: str, calibration: Calibration, tree: FrameTree) -> np.ndarray:
    """(4, 4) frame that the reference moves -> body."""
    T_base_camera = T_BODY_OPTICAL if calibration.T_base_camera is None else calibration.T_base_camera
    if frame == "camera":
        return T_base_camera
    if frame == "lidar":
        if calibration.T_camera_lidar is None:
            raise BadInput("reference kiss-icp: moves the LiDAR, whose place on the car is unknown")
        return T_base_camera @ calibration.T_camera_lidar
    T = tree.between(calibration.base_frame, frame)
    if T is not None:
        return T
    if calibration.T_base_camera is not None and frame != calibration.base_frame:
        raise BadInput(f"reference: moves {frame!r}, which TF static does not connect to {calibration.base_frame!r}")
    return np.eye(4)
