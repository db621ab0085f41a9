"""The pose network of S1: two images -> the motion between their cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.networks.disparity import Normalise, single


@dataclass(frozen=True)
class PoseNetConfig:
    """Widths and kernels of the five stride-2 convolutions [recon], and what the regression is multiplied by.

    The usual 0.01 suits rotations. Translations here are canonical metres, not shares of an arbitrary unit: a car moves about one
    of them per image, and a network that had to answer 100 for it would hardly learn to. shrink: the images are averaged down so
    many times first; motions are then a few pixels of the first convolution and are learned several times faster.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    kernels: tuple[int, ...] = (7, 5, 3, 3, 3)
    shrink: int = 2
    rotation_scale: float = 0.01
    translation_scale: float = 1.0


class PoseNet(nn.Module):
    """6-DoF motion from an image and its neighbour (S1 claim 7).

    The two are concatenated along the channels; five convolutions of strictly shrinking output; regression (1x1 to 6, mean), scaled.
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
        nn.init.normal_(self.regress.weight, std=1e-3)
        nn.init.zeros_(self.regress.bias)
        scale = torch.tensor([config.rotation_scale] * 3 + [config.translation_scale] * 3)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, image: Tensor, neighbour: Tensor) -> Tensor:
        """Two (B, 3, H, W) RGB 0..1 -> (B, 6): axis-angle in radians, translation in canonical metres.

        They make T_neighbour_image, which maps points of the image's camera into the neighbour's camera; the metric translation is
        translation * (K[1, 1] / canonical_focal_px), K in pixels of the network's input.
        """
        pair = torch.cat([self.normalise(image), self.normalise(neighbour)], 1)
        x = self.layers(F.avg_pool2d(pair, self.config.shrink))
        with torch.autocast(x.device.type, enabled=False):
            return self.regress(single(x)).mean((2, 3)) * self.scale
