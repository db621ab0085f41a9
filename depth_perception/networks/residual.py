"""The image reconstruction model of S1 (step 1025): the text's own example, a residual network. It helps to learn and never drives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_perception.networks.blocks import conv
from depth_perception.networks.disparity import single


@dataclass(frozen=True)
class ResidualNetConfig:
    """channels: width [recon]. blocks: residual blocks. most: the largest correction, as a share of the brightness range.

    Trap: a reconstruction network that may paint anything needs no depth. This one sees what the text gives it (distances, motion,
    neighbour), never the image itself, and can only retouch the warped neighbour: exposure, vignetting, smears at occlusions.
    """

    channels: int = 16
    blocks: int = 2
    most: float = 0.1


class ResidualNet(nn.Module):
    """Warped neighbour + a small correction (S1 step 1025)."""

    def __init__(self, config: ResidualNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ResidualNetConfig()
        self.enter = nn.Sequential(conv(3 + 3 + 1 + 6, config.channels), nn.ReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(config.channels, config.channels), nn.ReLU(), conv(config.channels, config.channels))
            for _ in range(config.blocks)
        )
        self.leave = nn.Conv2d(config.channels, 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # training begins with the plain warp

    def forward(self, warped: Tensor, neighbour: Tensor, depth: Tensor, T_neighbour_image: Tensor) -> Tensor:
        """(B, 3, H, W) warped neighbour and neighbour, 0..1, (B, 1, H, W) depth and (B, 4, 4) -> (B, 3, H, W) reconstruction, 0..1.

        The motion enters as six constant maps: the skew part of its rotation and its translation, canonical metres.
        """
        R, t = T_neighbour_image[:, :3, :3], T_neighbour_image[:, :3, 3]
        turn = torch.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], 1) / 2
        pose = torch.cat([turn, t], 1)[:, :, None, None].expand(-1, -1, *warped.shape[2:])
        x = self.enter(torch.cat([warped, neighbour, 1 / depth, pose], 1))
        for block in self.blocks:
            x = torch.relu(x + block(x))
        with torch.autocast(x.device.type, enabled=False):
            return (warped + self.config.most * torch.tanh(self.leave(single(x)))).clamp(0, 1)
