"""The offset network of S2: an image pair -> the offsets that align one's features with the other. It helps to learn and never drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.networks.blocks import conv
from depth_perception.networks.deformable import Theta, deform, taps
from depth_perception.networks.disparity import Normalise, single

_STRIDE = 4  # of the features, in pixels of the (shrunk) image


@dataclass(frozen=True)
class OffsetNetConfig:
    """channels: width of the features [recon]. taps: n of the n x n taps. shrink: the images are averaged down so many times first.

    Bilinear sampling feels its neighbours only: an offset learns from one cell around it. With shrink 2 a cell is 8 pixels, about what
    a car's street moves from one image to the next; and it costs a quarter.
    """

    channels: int = ranged(32, 1, 1024)  # type: ignore[assignment]
    taps: int = 3
    shrink: int = 2

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.shrink not in (1, 2, 4, 8):
            raise BadInput(f"offset.shrink: wanted 1, 2, 4 or 8, got {self.shrink}")


class Aligned(NamedTuple):
    """theta; feature (B, C, h, w): the neighbour's, aligned to the image; rebuilt (B, 3, H / shrink, W / shrink): the image from it."""

    theta: Theta
    feature: Tensor
    rebuilt: Tensor


class OffsetNet(nn.Module):
    """Features of both images, theta from both, the neighbour's feature aligned by it (claim 2), the image rebuilt from that (claim 3).

    Trap: the image is rebuilt from the neighbour's features alone. Were its own features to reach the decoder, theta would learn nothing.
    The features are this network's own, as claim 1 has it (the pair goes into the offset network), so L_re leaves the depth network be.
    """

    def __init__(self, config: OffsetNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or OffsetNetConfig()
        if config.taps < 1 or config.taps % 2 == 0:
            raise BadInput(f"offset.taps: wanted an odd number, got {config.taps}")
        c, k = config.channels, config.taps**2
        self.normalise = Normalise()
        self.extract = nn.Sequential(conv(3, c, 5, stride=2), nn.ReLU(), conv(c, c, stride=2), nn.ReLU(), conv(c, c))
        w = 2 * c
        self.wide = nn.Sequential(conv(w, w, stride=2), nn.ReLU(), conv(w, w, stride=2), nn.ReLU(), conv(w, c), nn.ReLU())
        self.near = nn.Sequential(conv(w + c, c), nn.ReLU())
        self.offset = nn.Conv2d(c, 2 * k, 3, padding=1)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)  # training begins with a plain n x n convolution
        self.weight = nn.Parameter(-taps(config.taps).square().sum(1))
        self.decode = nn.Sequential(conv(c, c), nn.ReLU(), nn.Conv2d(c, 3 * _STRIDE**2, 3, padding=1), nn.PixelShuffle(_STRIDE))

    def shrunk(self, image: Tensor) -> Tensor:
        """What of an image is rebuilt: (B, 3, H, W) -> (B, 3, H / shrink, W / shrink)."""
        return F.avg_pool2d(image, self.config.shrink)

    def forward(self, image: Tensor, neighbour: Tensor) -> Aligned:
        """I_t and I_{t+m}, (B, 3, H, W) RGB 0..1, sides divisible by 4 shrink -> theta_{t+m -> t} and what it aligns."""
        pair = self.extract(self.normalise(self.shrunk(torch.cat([image, neighbour]))))
        ours, theirs = pair.chunk(2)
        x = torch.cat([ours, theirs], 1)
        wide = F.interpolate(self.wide(x), x.shape[2:], mode="bilinear", align_corners=False)
        offsets = single(self.offset(self.near(torch.cat([x, wide], 1))))
        theta = Theta(offsets.unflatten(1, (-1, 2)), self.weight.softmax(0))
        feature = deform(single(theirs), theta)
        return Aligned(theta, feature, torch.sigmoid(single(self.decode(feature))))
