"""Pairs of image and cloud features of target points: the same target, or another one (S3 claims 8, 9)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrast(image: Tensor, cloud: Tensor, cells: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Symmetric InfoNCE of all N x N pairs of (N, E) image and (N, E) cloud features, by cosine [recon].

    Row i of both is one target: the positive pair; all others are negative (claim 9), but for targets of one cell, which see the same
    feature and are no negatives of each other [recon].

    Args:
        cells: (N,) int64, the cell of each target, different for different frames; -1: no target, the row counts nowhere.
    """
    real = cells >= 0
    image, cloud, cells = image[real], cloud[real], cells[real]
    if len(cells) < 2:
        return (image.sum() + cloud.sum()) * 0.0
    alike = F.normalize(image, dim=1) @ F.normalize(cloud, dim=1).T / temperature
    same = cells[:, None] == cells[None, :]
    same.fill_diagonal_(False)
    alike = alike.masked_fill(same, -torch.inf)
    target = torch.arange(len(cells), device=cells.device)
    return 0.5 * (F.cross_entropy(alike, target) + F.cross_entropy(alike.T, target))
