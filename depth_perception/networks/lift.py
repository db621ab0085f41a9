"""Image features times their depth distribution, seen from above (S3 claim 6).

Two fusions of what comes to lie in one cell: `pillar` adds it up whatever its height is [recon]; `height`, the text's, adds up features of
the same height and lets a 1x1 convolution fuse the heights. What drives does both by a product per image column and grid_sample
(`pillars`, `slices`): ONNX Runtime runs that in a millisecond, TensorRT has it too. `scattered` is the plain way, an index_add over
`frustum.cells`; TensorRT has no adding scatter, and the ONNX exporter silently writes one that does not add. Tests hold the two together.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

FUSIONS = ("pillar", "height")


def pillars(features: Tensor, depth: Tensor, polar: Tensor) -> Tensor:
    """(B, C, h, w) features, (B, D, h, w) distribution, (B, R, S, 2) geometry.polar -> (B, C, R, S)."""
    columns = torch.matmul(features.permute(0, 3, 1, 2), depth.permute(0, 3, 2, 1)).permute(0, 2, 3, 1)  # (B, C, D, w)
    return F.grid_sample(columns, polar, mode="bilinear", padding_mode="zeros", align_corners=False)


def slices(features: Tensor, depth: Tensor, polar: Tensor, heights: Tensor, edges: tuple[float, ...]) -> Tensor:
    """As `pillars`, of each slice of height by itself: (B, (len(edges) + 1) * C, R, S), the lowest first.

    heights: (B, D, h, w) metres above the ground of every feature at every depth bin (frustum.heights). edges: rising, metres; the first
    slice lies below the first, the last above the last.
    """
    bounds = (-float("inf"), *edges, float("inf"))
    parts = [pillars(features, depth * ((heights >= low) & (heights < high)).to(depth.dtype), polar)
             for low, high in pairwise(bounds)]
    return torch.cat(parts, 1)


def scattered(features: Tensor, depth: Tensor, cells: Tensor, *, count: int) -> Tensor:
    """(B, C, h, w), (B, D, h, w), (B, D * h * w) int64 flat cells (`count`: none) -> (B, C, count): the literal lift."""
    B, C, D = *features.shape[:2], depth.shape[1]
    pseudo = depth.unsqueeze(-1) * features.permute(0, 2, 3, 1).unsqueeze(1)  # (B, D, h, w, C): the pseudo-point-cloud features
    place = cells + (count + 1) * torch.arange(B, device=cells.device).unsqueeze(1)
    out = torch.zeros(B * (count + 1), C, device=features.device, dtype=pseudo.dtype)
    out = out.index_add(0, place.reshape(-1), pseudo.reshape(-1, C))
    assert cells.shape[1] == D * features.shape[2] * features.shape[3], "one cell for every bin, row and column"
    return out.view(B, count + 1, C)[:, :count].permute(0, 2, 1)


def scattered_slices(features: Tensor, depth: Tensor, cells: Tensor, heights: Tensor, edges: tuple[float, ...], *, count: int) -> Tensor:
    """`slices` by index_add: cell and slice of height are one index. (B, (len(edges) + 1) * C, count)."""
    number = torch.bucketize(heights.reshape(len(heights), -1).contiguous(), torch.tensor(edges, device=heights.device), right=True)
    levels = len(edges) + 1
    both = torch.where(cells < count, number * count + cells, levels * count)
    out = scattered(features, depth, both, count=levels * count)  # (B, C, levels * count)
    return out.view(len(out), -1, levels, count).transpose(1, 2).reshape(len(out), -1, count)
