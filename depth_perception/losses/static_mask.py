"""Pixels that tell nothing about motion because they do not change (S1 claim 4). True = the pixel counts."""

from __future__ import annotations

import torch
from torch import Tensor

from depth_perception.losses.constant import vector


def unchanged(image: Tensor, others: Tensor, *, threshold: float = 0.0) -> Tensor:
    """Form A, literal: masked iff the difference to the same pixel of *every* other image is within the threshold 0 (claim 4).

    "Every other image of the sequence" is a window of N images here [recon]: on a long drive no pixel repeats for ever.
    image (B, C, H, W), others (B, N, C, H, W) -> (B, 1, H, W) bool, true where the pixel counts.
    """
    changed = (others - image.unsqueeze(1)).abs().amax(2) > threshold
    return changed.any(1, keepdim=True)


def pixel_losses(pixel: Tensor, other: Tensor) -> Tensor:
    """MSE, L2, MAE, cross-entropy and L1 between pixels of C channels, 0..1: (..., C, H, W) twice -> (5, ..., H, W).

    Cross-entropy is the mean binary one, H(pixel, other) [recon].
    """
    d = other - pixel
    q = other.clamp(1e-6, 1 - 1e-6)
    entropy = -(pixel * q.log() + (1 - pixel) * (1 - q).log()).mean(-3)
    return torch.stack([(d * d).mean(-3), (d * d).sum(-3).sqrt(), d.abs().mean(-3), entropy, d.abs().sum(-3)])


def voted(image: Tensor, others: Tensor, *, weights: tuple[float, ...] = (0.2,) * 5, delta: float = 2 / 255, share: float = 0.5) -> Tensor:
    """Form B: masked iff more than `share` of the others agree with the pixel (step 1027, the optional form).

    e_k = sum_j w_j l_j against other image k, e_self the same of the pixel with itself (only cross-entropy leaves anything);
    k agrees where |e_k - e_self| < delta. Weights, delta and share are [recon].
    image (B, C, H, W), others (B, N, C, H, W) -> (B, 1, H, W) bool, true where the pixel counts.
    """
    w = vector(weights, like=image)
    e_self = torch.einsum("l,lbhw->bhw", w, pixel_losses(image, image))
    e = torch.einsum("l,lbnhw->bnhw", w, pixel_losses(image.unsqueeze(1).expand_as(others), others))
    agree = ((e - e_self.unsqueeze(1)).abs() < delta).to(image.dtype).mean(1, keepdim=True)
    return agree <= share


def moved(rebuilt_loss: Tensor, still_loss: Tensor) -> Tensor:
    """The minimum-reprojection auto-mask of monodepth2: a pixel counts where warping explains it better than standing still.

    rebuilt_loss, still_loss: (B, N, H, W) matching loss of the N reconstructions and of the N unwarped neighbours.
    Returns (B, 1, H, W) bool.
    """
    return rebuilt_loss.amin(1, keepdim=True) < still_loss.amin(1, keepdim=True)
