"""Measured distances against estimated ones (S1 claim 2 and step 1024). Sparse truth: NaN where nothing was measured.

All depths are (B, 1, H, W). `reduction`: "mean" over the measured pixels (default [recon]) or "sum" (the text).

Trap: claim 2 moves both points into the neighbour's camera by the same rigid motion, which preserves distances. So `camera3d`
equals the loss in the image's own frame and teaches the pose network nothing. `reprojected` and `posed` do depend on the motion;
`depth` is the working default: it treats 1 m at 5 m like 10 m at 50 m, where a squared 3D error sees only the far points.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depth_perception.losses.motion import move
from depth_perception.losses.reconstruction import points, project, rays
from depth_perception.losses.reduce import mean

MODES = ("depth", "relative", "camera3d", "reprojected", "posed", "signed")
WITH_MOTION = ("reprojected", "posed")  # ask for the motion to another image


def depth(estimate: Tensor, truth: Tensor, *, reduction: str = "mean") -> Tensor:
    """|log estimate - log truth|: the relative error, ours. A scalar."""
    measured, filled = _measured(truth)
    return _reduce((estimate.log() - filled.log()).abs(), measured, reduction)


def relative(estimate: Tensor, truth: Tensor, *, reduction: str = "mean") -> Tensor:
    """|estimate - truth| / truth: what is scored as AbsRel, ours. A scalar.

    Too far costs more than too near: at the edge of a thin thing, where a network must be wrong on one side, it errs towards the thing.
    """
    measured, filled = _measured(truth)
    return _reduce((estimate - filled).abs() / filled, measured, reduction)


def camera3d(estimate: Tensor, truth: Tensor, K: Tensor, T_neighbour_image: Tensor | None = None, *, reduction: str = "mean") -> Tensor:
    """Claim 2, literal: both points moved into the neighbour's camera, mean squared difference of their coordinates. A scalar.

    K (B, 3, 3); T_neighbour_image (B, 4, 4), or None to stay in the image's own camera, which gives the same value.
    """
    measured, filled = _measured(truth)
    a, b = points(estimate, K), points(filled, K)
    if T_neighbour_image is not None:
        a, b = move(T_neighbour_image, a), move(T_neighbour_image, b)
    return _reduce(((a - b) ** 2).mean(1, keepdim=True), measured.flatten(2), reduction)


def reprojected(estimate: Tensor, truth: Tensor, K: Tensor, T_neighbour_image: Tensor, *, reduction: str = "mean") -> Tensor:
    """Pixel distance of the two points' projections into the neighbour; depends on depth and motion. A scalar, pixels."""
    measured, filled = _measured(truth)
    a, front_a = project(K, move(T_neighbour_image, points(estimate, K)))
    b, front_b = project(K, move(T_neighbour_image, points(filled, K)))
    distance = ((a - b).square().sum(1, keepdim=True) + 1e-12).sqrt()
    return _reduce(distance, measured.flatten(2) & front_a & front_b, reduction)


def posed(estimate: Tensor, truth: Tensor, K: Tensor, *, predicted: Tensor, measured_motion: Tensor, reduction: str = "mean") -> Tensor:
    """Truth moved by a measured motion, the estimate by the predicted one: supervises a metric pose too. A scalar.

    predicted, measured_motion: (B, 4, 4) T_neighbour_image. A measured_motion of NaN is none, and leaves the loss.
    """
    measured, filled = _measured(truth)
    known, motion = _known(measured_motion)
    a, b = move(predicted, points(estimate, K)), move(motion, points(filled, K))
    return _reduce(((a - b) ** 2).mean(1, keepdim=True), measured.flatten(2) & known, reduction)


def carried(truth: Tensor, K: Tensor, *, predicted: Tensor, measured_motion: Tensor) -> Tensor:
    """`posed` with the truth on both sides, relative: |T_predicted P - T_measured P| / z, the motion's own loss, ours. A scalar.

    Divided by z it is about an error in the image: a metre counts at 5 m and hardly at 50 m, as the pose network sees it.
    A measured_motion of NaN is none, and leaves the loss.
    """
    known, motion = _known(measured_motion)
    measured, filled = _measured(truth)
    xyz = points(filled, K)
    error = (move(predicted, xyz) - move(motion, xyz)).abs().sum(1, keepdim=True) / xyz[:, 2:]
    return _reduce(error, measured.flatten(2) & known, "mean")


def travelled(T_neighbour_image: Tensor, metres: Tensor) -> Tensor:
    """| |t| - metres |, mean over the motions whose length was measured (wheels, GPS; NaN = it was not): metric scale without LiDAR, ours.

    T_neighbour_image (B, 4, 4), metres (B,). A scalar, in the unit of both.
    """
    known = torch.isfinite(metres)
    length = (T_neighbour_image[:, :3, 3].square().sum(1) + 1e-12).sqrt()
    return _reduce((length - torch.where(known, metres, torch.zeros_like(metres))).abs(), known, "mean")


def signed(estimate: Tensor, truth: Tensor, *, reduction: str = "mean") -> Tensor:
    """The text's simple variant, the mean of signed differences (step 1024), literal. Trap: errors cancel. A scalar."""
    measured, filled = _measured(truth)
    return _reduce(filled - estimate, measured, reduction)


def range_from_z(depth: Tensor, K: Tensor) -> Tensor:
    """Depth z -> distances along the ray (camera to object), which is what step 1024 measures. (B, 1, H, W); NaN stays NaN."""
    height, width = depth.shape[2:]
    return depth * rays(K, height=height, width=width).norm(dim=1, keepdim=True).view(-1, 1, height, width)


def z_from_range(distance: Tensor, K: Tensor) -> Tensor:
    """Distances along the ray (camera to object) -> depth z. (B, 1, H, W) -> (B, 1, H, W); NaN stays NaN."""
    height, width = distance.shape[2:]
    length = rays(K, height=height, width=width).norm(dim=1, keepdim=True)
    return distance / length.view(-1, 1, height, width)


def _measured(truth: Tensor) -> tuple[Tensor, Tensor]:
    """Bool mask, and the truth with ones where there is none, so that no NaN enters a gradient."""
    measured = torch.isfinite(truth) & (truth > 0)
    return measured, torch.where(measured, truth, torch.ones_like(truth))


def _known(motion: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1, 1) bool, and the (B, 4, 4) motions with no motion where there is none."""
    known = torch.isfinite(motion).all(2).all(1).view(-1, 1, 1)
    return known, torch.where(known, motion, torch.eye(4, dtype=motion.dtype, device=motion.device))


def _reduce(loss: Tensor, measured: Tensor, reduction: str) -> Tensor:
    return torch.where(measured, loss, torch.zeros_like(loss)).sum() if reduction == "sum" else mean(loss, measured)
