"""The pose network of S1: two images -> the motion between their cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_perception.networks.disparity import Normalise


@dataclass(frozen=True)
class PoseNetConfig:
    """Widths and kernels of the five stride-2 convolutions [recon]."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    kernels: tuple[int, ...] = (7, 5, 3, 3, 3)
    scale: float = 0.01


class PoseNet(nn.Module):
    """6-DoF motion from an image and its neighbour (S1 claim 7).

    The two are concatenated along the channels; five convolutions of strictly shrinking output; regression (1x1 to 6, mean) x 0.01.
    """

    def __init__(self, config: PoseNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PoseNetConfig()
        self.normalise = Normalise()
        layers: list[nn.Module] = []
        for c_in, c, kernel in zip((6, *config.channels[:-1]), config.channels, config.kernels, strict=True):
            layers += [nn.Conv2d(c_in, c, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.regress = nn.Conv2d(config.channels[-1], 6, 1)

    def forward(self, image: Tensor, neighbour: Tensor) -> Tensor:
        """Two (B, 3, H, W) RGB 0..1 -> (B, 6): axis-angle in radians, translation in canonical metres.

        They make T_neighbour_image, which maps points of the image's camera into the neighbour's camera; the metric translation is
        translation * (K[1, 1] / canonical_focal_px), K in pixels of the network's input.
        """
        x = self.layers(torch.cat([self.normalise(image), self.normalise(neighbour)], 1))
        with torch.autocast(x.device.type, enabled=False):
            return self.regress(x.float()).mean((2, 3)) * self.config.scale
