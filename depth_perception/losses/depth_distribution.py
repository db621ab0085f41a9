"""A depth distribution against the returns of the LiDAR (S3 claim 5)."""

from __future__ import annotations

from torch import Tensor


def depth_distribution(estimate: Tensor, measured: Tensor) -> Tensor:
    """Mean cross-entropy [recon] over the places with a return; zero when there are none.

    Args:
        estimate: (B, D, h, w) probabilities of the bins.
        measured: (B, D, h, w) share of the returns that each bin has, of those that fall into the feature's pixels; zeros: none do.
    """
    known = measured.sum(1)
    entropy = -(measured * estimate.clamp_min(1e-6).log()).sum(1)
    return entropy.sum() / known.sum().clamp_min(1.0)
