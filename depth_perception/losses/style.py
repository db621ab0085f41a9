"""Spatio-temporal consistency L_st of S2 (claim 9): content, style and total variation of a reconstruction.

The features come from a frozen network (Johnson et al. 2016 [recon]). Each difference is divided by the size of the image's own
features, so that weights mean the same whatever network that is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from depth_perception.losses.reduce import mean


def gram(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, C): mean over places of f f^T."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def content(rebuilt: Tensor, image: Tensor) -> Tensor:
    """||F(rebuilt) - F(image)||^2 / ||F(image)||^2, mean over the batch. (B, C, H, W) features twice -> a scalar."""
    return _relative(rebuilt, image)


def style(rebuilt: Tensor, image: Tensor) -> Tensor:
    """The same of the Gram matrices: which features occur together, wherever. (B, C, H, W) features twice -> a scalar."""
    return _relative(gram(rebuilt), gram(image))


def total_variation(image: Tensor) -> Tensor:
    """mean |dx I| + mean |dy I|: what warps tear apart. (B, C, H, W) -> a scalar."""
    return mean((image[..., :, 1:] - image[..., :, :-1]).abs()) + mean((image[..., 1:, :] - image[..., :-1, :]).abs())


def consistency(*, rebuilt: Tensor, rebuilt_features: Sequence[Tensor], image_features: Sequence[Tensor],
                weights: tuple[float, ...]) -> Tensor:
    """L_st: content of the last stage given, mean style of all, total variation; weights in this order. A scalar.

    rebuilt (B, 3, H, W); features: a frozen encoder's stages of it and of the image.
    """
    styles = torch.stack([style(a, b) for a, b in zip(rebuilt_features, image_features, strict=True)]).mean()
    return weights[0] * content(rebuilt_features[-1], image_features[-1]) + weights[1] * styles + weights[2] * total_variation(rebuilt)


def _relative(a: Tensor, b: Tensor) -> Tensor:
    return mean((a - b).square().flatten(1).mean(1) / (b.square().flatten(1).mean(1) + 1e-12))
