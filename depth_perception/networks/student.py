"""The student of S5: a light encoder-decoder of sparse blocks."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.networks.blocks import SparseBlock, WeightedSum, check_five, conv
from depth_perception.networks.disparity import DisparityHead, Normalise, check_depths

# Widths of the encoder stages by name, multiples of 8: engines compute that many channels at once. What runs at half of the image's
# size costs most: eight channels there pay for wider ones below. "claim" is the default of StudentConfig; the text leaves widths open.
PRESETS = {"nano": (8, 16, 32, 64, 128), "small": (8, 32, 48, 96, 160), "base": (8, 32, 64, 160, 256), "claim": (16, 32, 64, 128, 256)}


@dataclass(frozen=True)
class StudentConfig:
    """channels: widths of the five encoder stages; a name in PRESETS is taken for its widths. Depths in canonical metres.

    finest: the last decoder stage. 0 is the claim's and runs at the image's size, where most time goes and no skip brings anything new;
    1 ends at half of it, and its depth is up-sampled.
    """

    channels: tuple[int, ...] = field(default=PRESETS["claim"], metadata={"names": PRESETS})
    expansion: int = ranged(2, 1, 64)
    channels_per_group: int = 1
    min_depth: float = 0.1
    max_depth: float = 100.0
    scales: int = ranged(3, 1, 5)
    finest: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.channels, str):
            object.__setattr__(self, "channels", _preset(self.channels))
        check_ranges(self)
        check_five("student.channels", "widths", self.channels)
        coded = [self.expansion * width for width in self.channels]
        if self.channels_per_group < 1 or any(width % self.channels_per_group for width in coded):
            raise BadInput(f"student.channels_per_group: wanted a number that divides expansion x channels, {coded}, got "
                           f"{self.channels_per_group}")
        check_depths("student.min_depth, student.max_depth", self.min_depth, self.max_depth)
        last = len(self.channels) - self.scales
        if not 0 <= self.finest <= last:
            raise BadInput(f"student.finest: wanted a decoder stage from 0 to {last}, got {self.finest}")


class Student(nn.Module):
    """Depth from one image (S5 claim 7, [0113]-[0117]).

    Encoder stage i: SparseBlock(conv3x3 stride 2). Decoder stage i (4..finest): Theta_sp SparseBlock(Up(CT(Y))) + Theta_enc X_{i-1},
    without the skip at i = 0; CT = 1x1 and Up = x2 bilinear [recon]. Disparity at `scales` scales, finest first.
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
        self.stages = range(config.finest, len(widths))
        self.transfer = nn.ModuleDict({str(i): conv(widths[i], narrow[i], 1) for i in self.stages})
        self.decode = nn.ModuleDict({str(i): SparseBlock(narrow[i], **options) for i in self.stages})
        self.skip = nn.ModuleDict({str(i - 1): WeightedSum(2, 2) for i in self.stages if i > 0})
        self.heads = nn.ModuleDict({
            str(i): DisparityHead(narrow[i], min_depth=config.min_depth, max_depth=config.max_depth)
            for i in self.stages[: config.scales]
        })

    def encoded(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> encoder outputs, stage i at 1 / 2^(i+1)."""
        x, encoded = self.normalise(image), []
        for down, encode in zip(self.down, self.encode, strict=True):
            x = encode(down(x))
            encoded.append(x)
        return encoded

    def features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, 3, H, W) RGB 0..1 -> encoder outputs (stage i at 1 / 2^(i+1)) and decoder outputs, finest first (stage i at 1 / 2^i)."""
        encoded, decoded = self.encoded(image), []
        x = encoded[-1]
        for i in reversed(self.stages):
            x = self.decode[str(i)](_up(self.transfer[str(i)](x)))
            if i > 0:
                x = self.skip[str(i - 1)](x, encoded[i - 1])
            decoded.append(x)
        return encoded, decoded[::-1]

    def with_stages(self, image: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """What `forward` answers, and `features`: what a teacher is compared with."""
        encoded, decoded = self.features(image)
        finest, *coarse = [head(x) for head, x in zip(self.heads.values(), decoded, strict=False)]
        for _ in range(self.config.finest):
            finest = _up(finest)
        return [finest, *coarse], encoded, decoded

    def with_features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What `forward` answers, and the encoder outputs that it comes from."""
        depths, encoded, _ = self.with_stages(image)
        return depths, encoded

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1, sides divisible by 32 -> depths, canonical metres: (B, 1, H, W), then coarser ones."""
        return self.with_features(image)[0]


def _preset(name: str) -> tuple[int, ...]:
    if name not in PRESETS:
        raise BadInput(f"student.channels: wanted five widths or one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
