"""How far two domains' features are apart: maximum mean discrepancy (S4-b; Gretton et al. 2012, Long et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Bandwidths of the kernels, as shares of the median squared distance.
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def discrepancy(source: Tensor, target: Tensor, *, scales: Sequence[float] = SCALES) -> Tensor:
    """Squared distance of the mean embeddings, || mean phi(x_s) - mean phi(x_t) ||^2, estimated without bias: () tensor.

    source: (N, C), target: (M, C) features, N and M at least 2. The kernel is the mean of Gaussians (RBF) whose bandwidths are `scales`
    of the median squared distance between all of them; the median counts as a constant. Being unbiased, the estimate of two samples of
    one distribution is zero on average, hence sometimes below it.
    """
    both = torch.cat([source, target]).float()
    with torch.autocast(both.device.type, enabled=False):  # a difference of squares: bfloat16 would leave nothing of it
        squared = (both.square().sum(1)[:, None] + both.square().sum(1)[None] - 2 * both @ both.T).clamp_min(0)
    with torch.no_grad():
        apart = squared.flatten()[1:].view(len(both) - 1, len(both) + 1)[:, :-1]  # all but the diagonal
        median = apart.median().clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-squared / (scale * median)) for scale in scales]).mean(0)
    n = len(source)
    return _among(kernel[:n, :n]) + _among(kernel[n:, n:]) - 2 * kernel[:n, n:].mean()


def _among(kernel: Tensor) -> Tensor:
    """Mean of the kernel between different samples of one set: a sample's distance to itself says nothing."""
    n = len(kernel)
    return (kernel.sum() - torch.diagonal(kernel).sum()) / (n * (n - 1))
