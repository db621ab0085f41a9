"""How much a reconstruction looks like the image (S1 claim 3, steps 1026 and 1027)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """(B, C, H, W) twice, 0..1 -> (B, C, H, W) structural similarity in 3x3 windows; C1 = 0.01^2, C2 = 0.03^2."""
    c1, c2 = 0.01**2, 0.03**2
    channels = x.shape[1]
    # one pooling call for the five means is faster than five
    stacked = F.pad(torch.cat([x, y, x * x, y * y, x * y], 1), (1, 1, 1, 1), mode="reflect")
    mx, my, mxx, myy, mxy = F.avg_pool2d(stacked, 3, 1).split(channels, 1)
    vx, vy, vxy = mxx - mx * mx, myy - my * my, mxy - mx * my
    return ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))


def matching(reconstruction: Tensor, image: Tensor, *, alpha: float = 0.85) -> Tensor:
    """L_match per pixel: alpha (1 - SSIM) / 2 + (1 - alpha) |x - y|, means over channels (claim 3; weights [recon]).

    (B, C, H, W) twice, 0..1 -> (B, 1, H, W).
    """
    structure = ((1 - ssim(reconstruction, image)) / 2).clamp(0, 1).mean(1, keepdim=True)
    return alpha * structure + (1 - alpha) * difference(reconstruction, image)


def difference(reconstruction: Tensor, image: Tensor) -> Tensor:
    """The simple variant: |x - y| per pixel, mean over channels (step 1026). (B, C, H, W) twice -> (B, 1, H, W)."""
    return (reconstruction - image).abs().mean(1, keepdim=True)
