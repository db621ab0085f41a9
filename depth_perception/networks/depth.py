"""The depth network of S1: a U-shaped net with fused skips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput
from depth_perception.networks.blocks import check_five, conv
from depth_perception.networks.disparity import DisparityHead, Normalise, check_depths


@dataclass(frozen=True)
class DepthNetConfig:
    """channels: widths of X1..X5 [recon]. skips: "full" uses X2 and up4; "literal" has exactly the claimed shapes."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 192)
    skips: str = "full"
    min_depth: float = 0.1
    max_depth: float = 100.0

    def __post_init__(self) -> None:
        check_five("s1.channels", "widths", self.channels)
        if self.skips not in ("full", "literal"):
            raise BadInput(f"skips: wanted full or literal, got {self.skips!r}")
        check_depths("s1.min_depth, s1.max_depth", self.min_depth, self.max_depth)


def _block(c_in: int, c: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv(c_in, c, stride=stride), nn.ReLU(), conv(c, c), nn.ReLU())


class DepthNet(nn.Module):
    """Depth from one image (S1 claim 6).

    down1..down4 -> X1..X4 at 1/2..1/16, middle -> X5 at 1/32; up1 -> X6 (size of X4), fuse [X6, X4]; up2 -> X7 (size of X3), fuse.
    literal: up3 -> X8 with the size of X1, fuse [X8, X1], regression. The claim names up4 but never uses it and skips X2;
    full (default): up3 -> size of X2, fuse, up4 -> size of X1, fuse, regression. Fusion = concatenation; the regression is a
    sigmoid-disparity head [recon]. Both regress at the size of X1 and are up-sampled to the image.
    """

    def __init__(self, config: DepthNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DepthNetConfig()
        c1, c2, c3, c4, c5 = config.channels
        depths = {"min_depth": config.min_depth, "max_depth": config.max_depth}
        self.normalise = Normalise()
        self.down = nn.ModuleList(_block(c_in, c, stride=2) for c_in, c in ((3, c1), (c1, c2), (c2, c3), (c3, c4)))
        self.middle = _block(c4, c5, stride=2)
        self.up1 = _block(c5, c4)
        self.up2 = _block(2 * c4, c3)
        self.up3 = _block(2 * c3, c2 if config.skips == "full" else c1)
        self.up4 = _block(2 * c2, c1) if config.skips == "full" else None
        widths = (2 * c1, 2 * c2, 2 * c3) if config.skips == "full" else (2 * c1, 2 * c3)
        self.heads = nn.ModuleList(DisparityHead(c, **depths) for c in widths)

    def encoded(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> [X1..X5]."""
        x, encoded = self.normalise(image), []
        for down in (*self.down, self.middle):
            x = down(x)
            encoded.append(x)
        return encoded

    def features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, 3, H, W) RGB 0..1 -> [X1..X5] and the fused maps, finest first."""
        x1, x2, x3, x4, x5 = encoded = self.encoded(image)
        fused = [torch.cat([self.up1(_to(x5, x4)), x4], 1)]
        fused.append(torch.cat([self.up2(_to(fused[-1], x3)), x3], 1))
        if self.up4 is None:
            fused.append(torch.cat([_to(self.up3(fused[-1]), x1), x1], 1))
        else:
            fused.append(torch.cat([self.up3(_to(fused[-1], x2)), x2], 1))
            fused.append(torch.cat([self.up4(_to(fused[-1], x1)), x1], 1))
        return encoded, fused[::-1]

    def with_features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What `forward` answers, and [X1..X5]."""
        encoded, fused = self.features(image)
        depths = [head(x) for head, x in zip(self.heads, fused, strict=False)]
        return [F.interpolate(depths[0], scale_factor=2.0, mode="bilinear", align_corners=False), *depths[1:]], encoded

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1, sides divisible by 32 -> depths finest first, canonical metres: (B, 1, H, W), then coarser ones."""
        return self.with_features(image)[0]


def _to(x: Tensor, like: Tensor) -> Tensor:
    factor = float(like.shape[-1] // x.shape[-1])
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
