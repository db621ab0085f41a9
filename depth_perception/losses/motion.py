"""Rigid motions as tensors, differentiable, also at no motion."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def _exact(function: Callable[Concatenate[Tensor, P], Tensor]) -> Callable[Concatenate[Tensor, P], Tensor]:
    """In float32 on any device: a step of a metre at sixty would be rounded to centimetres by bfloat16's 8 bits."""

    @wraps(function)
    def exactly(tensor: Tensor, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        with torch.autocast(tensor.device.type, enabled=False):
            return function(tensor, *args, **kwargs)

    return exactly


@_exact
def motion(pose: Tensor) -> Tensor:
    """(B, 6) axis-angle in radians and translation -> (B, 4, 4) T (Rodrigues).

    T p = R p + t, the same reading as geometry.pose.from_rotation_vector.
    """
    rotation, translation = pose[:, :3], pose[:, 3:]
    square = (rotation * rotation).sum(1).view(-1, 1, 1)
    small = square < 1e-8
    safe = torch.where(small, torch.ones_like(square), square)  # keeps the square root's gradient finite in the branch not taken
    angle = safe.sqrt()
    a = torch.where(small, 1 - square / 6, angle.sin() / angle)
    b = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    x, y, z = rotation.unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    R = torch.eye(3, dtype=pose.dtype, device=pose.device) + a * skew + b * (skew @ skew)
    top = torch.cat([R, translation.unsqueeze(2)], 2)
    bottom = torch.eye(4, dtype=pose.dtype, device=pose.device)[3].expand(len(pose), 1, 4)
    return torch.cat([top, bottom], 1)


@_exact
def inverse(T_b_a: Tensor) -> Tensor:
    """(B, 4, 4) T_b_a -> (B, 4, 4) T_a_b."""
    Rt = T_b_a[:, :3, :3].transpose(1, 2)
    top = torch.cat([Rt, -Rt @ T_b_a[:, :3, 3:]], 2)
    return torch.cat([top, T_b_a[:, 3:]], 1)


@_exact
def move(T_b_a: Tensor, points: Tensor) -> Tensor:
    """(B, 4, 4) and (B, 3, N) points in a -> (B, 3, N) points in b."""
    return T_b_a[:, :3, :3] @ points + T_b_a[:, :3, 3:]
