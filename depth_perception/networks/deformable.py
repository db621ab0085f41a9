"""Deformable alignment f_dc: every place of a feature map gathered from where theta says (S2 claim 2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from depth_perception.networks.disparity import single


class Theta(NamedTuple):
    """The alignment offsets of a pair.

    offsets: (B, n * n, 2, H, W) dp_k, x first, in cells of the map that they were made on. weights: (n * n,) w_k. One number per tap
    [recon], so that the same f_dc fits image features and depth features; they sum to one, so that what is equal everywhere stays.
    """

    offsets: Tensor
    weights: Tensor

    def detached(self) -> Theta:
        """Without gradients: L_df must not teach theta to match what the depth network happens to say (claim 4 [recon])."""
        return Theta(self.offsets.detach(), self.weights.detach())

    def rescaled(self, size: tuple[int, int]) -> Theta:
        """For a feature map of `size` (H, W) of the same image: resampled, and dp_k counted in its cells."""
        B, taps, _, H, W = self.offsets.shape
        if size == (H, W):
            return self
        factor = _xy(size[1] / W, size[0] / H, like=self.offsets)
        offsets = F.interpolate(self.offsets.flatten(1, 2), size, mode="bilinear", align_corners=False)
        return Theta(offsets.view(B, taps, 2, *size) * factor, self.weights)


def taps(n: int, device: torch.device | None = None) -> Tensor:
    """p_k, the sampling places of an n x n convolution, row by row: (n * n, 2), x first, cells."""
    reach = torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2
    y, x = torch.meshgrid(reach, reach, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def deform(features: Tensor, theta: Theta) -> Tensor:
    """f_dc(F, theta)(p) = sum_k w_k F(p + p_k + dp_k), bilinear; a tap outside the map reads its border.

    features (B, C, H, W), theta of the same H and W -> (B, C, H, W).
    """
    B, K, _, H, W = theta.offsets.shape
    with torch.autocast(features.device.type, enabled=False):  # places of bfloat16's 8 bits are no places
        grid = (_places(theta.offsets) / _xy(W - 1, H - 1, like=theta.offsets) * 2 - 1).movedim(2, -1).reshape(B, K * H, W, 2)
        read = F.grid_sample(single(features), grid, mode="bilinear", padding_mode="border", align_corners=True)
        return torch.einsum("bckhw,k->bchw", read.unflatten(2, (K, H)), theta.weights)


def inside(theta: Theta) -> Tensor:
    """(B, 1, H, W) bool: where the middle of the taps lies on the map. What the neighbour does not show cannot be aligned."""
    H, W = theta.offsets.shape[3:]
    with torch.autocast(theta.offsets.device.type, enabled=False):
        middle = torch.einsum("bkxhw,k->bxhw", _places(theta.offsets), theta.weights)
    last = _xy(W - 1, H - 1, like=middle)[0]
    slack = 1e-3  # cells: the border stays inside when it is rounded
    return ((middle >= -slack) & (middle <= last + slack)).all(1, keepdim=True)


def _places(offsets: Tensor) -> Tensor:
    """p + p_k + dp_k, (B, n * n, 2, H, W)."""
    K, H, W = offsets.shape[1], *offsets.shape[3:]
    y, x = torch.meshgrid(torch.arange(H, device=offsets.device), torch.arange(W, device=offsets.device), indexing="ij")
    p = torch.stack([x, y]).to(offsets.dtype)
    return p + taps(round(K**0.5), offsets.device).to(offsets).view(1, K, 2, 1, 1) + offsets


def _xy(x: float, y: float, *, like: Tensor) -> Tensor:
    """(1, 1, 2, 1, 1), made on the device of `like`: a copy from the CPU would wait for a GPU."""
    return torch.stack([like.new_full((), x), like.new_full((), y)]).view(1, 1, 2, 1, 1)
