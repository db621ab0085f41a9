"""The student of S5: a light encoder-decoder of sparse blocks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.networks.blocks import SparseBlock, WeightedSum, conv
from depth_perception.networks.disparity import DisparityHead, Normalise


@dataclass(frozen=True)
class StudentConfig:
    """channels: widths of the five encoder stages; (24, 48, 64, 160, 256) is the larger measured size. Depths in canonical metres."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    expansion: int = 2
    channels_per_group: int = 1
    min_depth: float = 0.1
    max_depth: float = 100.0
    scales: int = 3


class Student(nn.Module):
    """Depth from one image (S5 claim 7, [0113]-[0117]).

    Encoder stage i: SparseBlock(conv3x3 stride 2). Decoder stage i (4..0): Theta_sp SparseBlock(Up(CT(Y))) + Theta_enc X_{i-1},
    without the skip at i = 0; CT = 1x1 and Up = x2 bilinear [recon]. Disparity at the scales 0, 1, 2.
    """

    def __init__(self, config: StudentConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or StudentConfig()
        options = {"expansion": config.expansion, "channels_per_group": config.channels_per_group}
        widths = config.channels
        self.normalise = Normalise()
        self.down = nn.ModuleList(conv(c_in, c, stride=2) for c_in, c in zip((3, *widths[:-1]), widths, strict=True))
        self.encode = nn.ModuleList(SparseBlock(c, **options) for c in widths)
        narrow = (widths[0], *widths[:-1])  # decoder stage i ends with the width of encoder stage i - 1
        self.transfer = nn.ModuleList(conv(c_in, c, 1) for c_in, c in zip(widths, narrow, strict=True))
        self.decode = nn.ModuleList(SparseBlock(c, **options) for c in narrow)
        self.skip = nn.ModuleList(WeightedSum(2, 2) for _ in widths[1:])
        self.heads = nn.ModuleList(
            DisparityHead(narrow[i], min_depth=config.min_depth, max_depth=config.max_depth) for i in range(config.scales)
        )

    def encoded(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> encoder outputs, stage i at 1 / 2^(i+1)."""
        x, encoded = self.normalise(image), []
        for down, encode in zip(self.down, self.encode, strict=True):
            x = encode(down(x))
            encoded.append(x)
        return encoded

    def features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, 3, H, W) RGB 0..1 -> encoder outputs (stage i at 1 / 2^(i+1)) and decoder outputs (stage i at 1 / 2^i)."""
        encoded, decoded = self.encoded(image), []
        x = encoded[-1]
        for i in reversed(range(len(encoded))):
            x = self.decode[i](F.interpolate(self.transfer[i](x), scale_factor=2.0, mode="bilinear", align_corners=False))
            if i > 0:
                x = self.skip[i - 1](x, encoded[i - 1])
            decoded.append(x)
        return encoded, decoded[::-1]

    def with_features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What `forward` answers, and the encoder outputs that it comes from."""
        encoded, decoded = self.features(image)
        return [head(x) for head, x in zip(self.heads, decoded, strict=False)], encoded

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1, sides divisible by 32 -> depths (B, 1, H / 2^j, W / 2^j), finest first, canonical metres."""
        return self.with_features(image)[0]
