"""Centres of objects as peaks of a heat map, and their boxes beside them (S3 [0005]-[0007]; Zhou et al. 2019, Objects as Points)."""

from __future__ import annotations

import torch
from torch import Tensor


def heat(estimate: Tensor, truth: Tensor, counts: Tensor, *, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Focal loss per object.

    Args:
        estimate: (B, K, R, S) 0..1. truth: the same shape, 1 at centres, falling off around them.
        counts: (B, 1, R, S) 1 where a place counts, 0 where nobody knows (outside of the labels' reach).
    """
    estimate = estimate.clamp(1e-4, 1 - 1e-4)
    centre = (truth == 1).to(estimate.dtype)
    found = centre * (1 - estimate) ** alpha * estimate.log()
    empty = (1 - centre) * (1 - truth) ** beta * estimate**alpha * (1 - estimate).log()
    return -((found + empty) * counts).sum() / (centre * counts).sum().clamp_min(1.0)


def boxes(estimate: Tensor, truth: Tensor, at: Tensor, *, weights: tuple[float, ...] = (1, 1, 1, 1, 1, 1, 1, 1)) -> Tensor:
    """Mean absolute error of (B, 8, R, S) boxes (geometry.boxes) where `at` (B, 1, R, S) is above 0, which is each place's weight."""
    weight = torch.tensor(weights, device=estimate.device, dtype=estimate.dtype).view(1, -1, 1, 1)
    return ((estimate - truth).abs() * weight * at).sum() / (weight.sum() * at.sum()).clamp_min(1.0)
