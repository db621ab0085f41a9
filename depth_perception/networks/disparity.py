"""What every depth network shares: image normalisation and the head that turns features into canonical metres.

A network cannot see the focal length, so it answers in canonical metres: the depth that the same picture would have if its
camera had `canonical_focal_px`. Metric depth is output * (K[1, 1] / canonical_focal_px), K in pixels of the network's input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth_perception.frame import BadInput


class Normalise(nn.Module):
    """RGB 0..1 -> zero mean, unit deviation (by default the ImageNet statistics)."""

    def __init__(self, mean: Sequence[float] = (0.485, 0.456, 0.406), std: Sequence[float] = (0.229, 0.224, 0.225)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W)."""
        return (image - self.mean) * self.scale


class DisparityHead(nn.Module):
    """3x3 convolution, sigmoid, and 1 / (1/max + (1/min - 1/max) sigmoid): depth within [min, max] (S5 claim 7, [0117]).

    The bias starts at `start` metres, kept `within` the range. There the sigmoid is nearly an exponential, so the network in fact
    regresses log depth.
    """

    def __init__(self, channels: int, *, min_depth: float, max_depth: float, start: float = 12.0) -> None:
        super().__init__()
        check_depths("min_depth, max_depth", min_depth, max_depth)
        self.conv = nn.Conv2d(channels, 1, 3, padding=1)
        self.near, self.far = 1 / min_depth, 1 / max_depth
        share = (1 / within(start, min_depth, max_depth) - self.far) / (self.near - self.far)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.constant_(self.conv.bias, math.log(share / (1 - share)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features -> (B, 1, H, W) depth, canonical metres."""
        with torch.autocast(features.device.type, enabled=False):  # the logit is a log depth: bfloat16 would round it to 3 %
            return 1 / (self.far + (self.near - self.far) * torch.sigmoid(self.conv(single(features))))


def check_depths(name: str, min_depth: float, max_depth: float) -> None:
    """BadInput naming the two ends unless they are those of a range of depths."""
    if not 0 < min_depth < max_depth < math.inf:
        raise BadInput(f"{name}: wanted metres above 0, the first below the second, got {min_depth:g} and {max_depth:g}")


def within(start: float, min_depth: float, max_depth: float) -> float:
    """`start`, or the nearest depth from twice the least one to half the most, as a range has either; else its geometric middle.

    Closer to an end of its range the sigmoid is flat, and a network would learn next to nothing there.
    """
    middle = math.sqrt(min_depth * max_depth)
    return min(max(start, min(2 * min_depth, middle)), max(max_depth / 2, middle))


def single(x: Tensor) -> Tensor:
    """`x` in float32 at least; says nothing to an exporter when it already is."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
