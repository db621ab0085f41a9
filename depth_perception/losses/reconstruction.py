"""An image rebuilt from its neighbour: depth and motion say where each of its pixels is seen there (S1 step 1025).

Pixel centres lie at integers. Depth and translation may be metric or canonical, as long as both are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from depth_perception.losses.constant import vector
from depth_perception.losses.motion import move


def rays(K: Tensor, *, height: int, width: int) -> Tensor:
    """(B, 3, 3) pixels -> (B, 3, height * width) directions with z = 1, camera frame."""
    u = (torch.arange(width, dtype=K.dtype, device=K.device) - K[:, 0, 2:3]) / K[:, 0, 0:1]
    v = (torch.arange(height, dtype=K.dtype, device=K.device) - K[:, 1, 2:3]) / K[:, 1, 1:2]
    u = u[:, None, :].expand(-1, height, -1)
    v = v[:, :, None].expand(-1, -1, width)
    return torch.stack([u, v, torch.ones_like(u)], 1).flatten(2)


def points(depth: Tensor, K: Tensor) -> Tensor:
    """(B, 1, H, W) depth -> (B, 3, H * W) points in its camera frame."""
    return rays(K, height=depth.shape[2], width=depth.shape[3]) * depth.flatten(2)


def project(K: Tensor, xyz: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3, N) points in the camera frame -> (B, 2, N) pixels and (B, 1, N) bool, false behind the camera."""
    z = xyz[:, 2:]
    front = z > 1e-3
    safe = torch.where(front, z, torch.ones_like(z))
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], 1).unsqueeze(2)
    return xyz[:, :2] / safe * focal + K[:, :2, 2:], front


def inverse_warp(*, neighbour: Tensor, depth: Tensor, K: Tensor, T_neighbour_image: Tensor) -> tuple[Tensor, Tensor]:
    """The image rebuilt by bilinear sampling of its neighbour, differentiable in depth and motion.

    Args:
        neighbour: (B, C, H, W).
        depth: (B, 1, H, W) of the image to rebuild.
        K: (B, 3, 3), pixels of this size, both cameras.
        T_neighbour_image: (B, 4, 4), points of the image's camera -> the neighbour's camera.

    Returns:
        (B, C, H, W) reconstruction and (B, 1, H, W) bool: false where the pixel lies behind or outside the neighbour.
    """
    height, width = depth.shape[2:]
    pixels, front = project(K, move(T_neighbour_image, points(depth, K)))
    last = vector((width - 1, height - 1), like=K).view(1, 2, 1)
    slack = 1e-3  # pixels: a point on the border stays inside when it is rounded
    inside = front & ((pixels >= -slack) & (pixels <= last + slack)).all(1, keepdim=True)
    grid = (pixels / last * 2 - 1).transpose(1, 2).unflatten(1, (height, width))
    rebuilt = F.grid_sample(neighbour, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return rebuilt, inside.view(-1, 1, height, width)
