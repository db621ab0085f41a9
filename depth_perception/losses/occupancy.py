"""What a cloud's network says of cells that it was not shown (ours; in the manner of masked autoencoders, He et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def occupancy(told: Tensor, pillars: Tensor, hidden: Tensor, *, filled: float = 4.0) -> Tensor:
    """Mean cross-entropy over the hidden cells; zero when none is.

    Args:
        told: (B, S, rows, columns) logits of a return in each slice of height. pillars: the same shape, 1 where there is one.
        hidden: (B, 1, rows, columns) 1 where the network saw nothing. filled: how much a slice with a return counts.
    """
    error = F.binary_cross_entropy_with_logits(told, pillars, pos_weight=torch.tensor(filled, device=told.device), reduction="none")
    return (error * hidden).sum() / (hidden.sum() * told.shape[1]).clamp_min(1.0)
