"""Where a target lies, as far as each side can tell: S3's pairs without telling the image where its targets are (claims 6, 8).

Read where the target truly is, the map of the image gives its place away, and pairs are told apart by that alone. Here a target is read
along its pixel's ray, as far out as its own depth distribution says. Beside it stands where that ray meets the road, which the calibration
tells of any pixel: right for what lies on the road, and no help for what stands on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from depth_perception.geometry.grid import Grid

PLACES = ("target", "seen")
WAVES_M = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SIZE = 4 * len(WAVES_M)  # of `waves`
SHARPEN = 3.0


def at(features: Tensor, places: Tensor) -> Tensor:
    """(B, C, R, S) maps and (B, M, 2) places in them, -1..1 as of grid_sample -> (B, M, C)."""
    read = F.grid_sample(features, places.unsqueeze(1), mode="bilinear", padding_mode="border", align_corners=False)
    return read[:, :, 0].transpose(1, 2)


def waves(metres: Tensor) -> Tensor:
    """(..., 2) x, y in metres -> (..., SIZE): sine and cosine of both at each wave length, so that near places look alike."""
    phase = metres[..., None] * (2 * math.pi / torch.tensor(WAVES_M, device=metres.device))
    return torch.cat([phase.sin(), phase.cos()], -1).flatten(-2)


def metres(places: Tensor, grid: Grid) -> Tensor:
    """(..., 2) places on a grid's map, -1..1 from edge to edge -> x, y in metres."""
    size = torch.tensor([grid.columns, grid.rows], device=places.device) * grid.cell_m
    return (places + 1) / 2 * size + torch.tensor([grid.x_m, grid.y_m], device=places.device)


def along(depth: Tensor, at_pixel: Tensor, ray: Tensor, depths: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """How far out each target is, as the image sees it.

    Args:
        depth: (B, D, h, w) distribution; at_pixel: (B, M, 2) targets in the image, -1..1; depths: the D bins, canonical metres.
        ray: (B, M, 5) x, y of the camera and of a canonical metre of depth along the target's ray, metres on the map, and how many such
            metres the road is away on it.
    Returns:
        (B, M, D) shares of the bins; (B, M, D, 2) x, y of them; (B, M, 2, 2) x, y of the geometric mean of what is likely, and of the
        road on the ray.
    """
    # Logarithms between features, not shares: half-way between a bin and the next one lies what is between, not both.
    log = F.grid_sample(depth.clamp(min=1e-6).log(), at_pixel.unsqueeze(1), mode="bilinear", padding_mode="border", align_corners=False)
    log = log[:, :, 0].transpose(1, 2)
    share = log.softmax(2)
    bins = torch.tensor(depths, device=depth.device, dtype=share.dtype)
    # Sharpened: the little that is everywhere would draw the mean to the middle of the range.
    two = torch.stack([((SHARPEN * log).softmax(2) @ bins.log()).exp(), ray[..., 4]], 2)
    origin, step = ray[:, :, None, :2], ray[:, :, None, 2:4]
    return share, origin + bins[:, None] * step, origin + two[..., None] * step


def seen(above: Tensor, depth: Tensor, at_pixel: Tensor, ray: Tensor, depths: tuple[float, ...], grid: Grid) -> Tensor:
    """(B, C, R, S) map of the image -> (B, M, C + 3 SIZE): the map along each target's ray and where that is, both weighed by the
    distribution, where its geometric mean is, and where the road. Arguments as of `along`; grid: any with the map's edges."""
    share, xy, two = along(depth, at_pixel, ray, depths)
    size = torch.tensor([grid.columns, grid.rows], device=xy.device) * grid.cell_m
    places = 2 * (xy - torch.tensor([grid.x_m, grid.y_m], device=xy.device)) / size - 1
    read = F.grid_sample(above, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    seen_there, there = torch.einsum("bcmd,bmd->bmc", read, share), torch.einsum("bmdw,bmd->bmw", waves(xy), share)
    return torch.cat([seen_there, there, waves(two).flatten(2)], 2)
