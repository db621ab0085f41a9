"""The teacher of S5: a large depth network whose every stage passes a bridge to the student's width. It never drives."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput
from depth_perception.networks import pretrained
from depth_perception.networks.blocks import conv
from depth_perception.networks.bridge import Bridge
from depth_perception.networks.disparity import DisparityHead, Normalise
from depth_perception.networks.encoder import Encoder
from depth_perception.networks.student import StudentConfig


@dataclass(frozen=True)
class TeacherConfig:
    """encoder: a timm network's name. pretrained: auto, none or a file, see networks.pretrained; asked when training begins from nothing.
    decoder: widths of decoder stages 0..4. student: the student that it is made for.

    The text's teacher comes from a patent that is not at hand ([0121]) [recon].
    """

    encoder: str = "tf_efficientnet_lite2"
    pretrained: str = field(default="auto", compare=False)
    decoder: tuple[int, ...] = (32, 64, 96, 160, 256)
    student: StudentConfig = field(default_factory=StudentConfig)

    def __post_init__(self) -> None:
        if len(self.decoder) != 5 or min(self.decoder) < 1:
            raise BadInput(f"teacher.decoder: wanted five widths, got {self.decoder}")


class _Stage(nn.Module):
    """Convolution, up-sampling, the skip beside it, convolution (the shape of Godard et al. 2019, with batch norm)."""

    def __init__(self, c_in: int, c: int, skip: int) -> None:
        super().__init__()
        self.before, self.after = conv(c_in, c), conv(c + skip, c)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = _up(F.elu(self.before(x)))
        return F.elu(self.after(x if skip is None else torch.cat([x, skip], 1)))


class Teacher(nn.Module):
    """Depth from one image, through bridges (S5 claim 8, [0120]-[0128]).

    Stages are the student's: encoder stage i ends at 1 / 2^(i+1), decoder stage i (4..finest) at 1 / 2^i. A stage's map is squeezed to H
    and restored; only the restored map goes on: to encoder stage i+1, as a skip, and to decoder stage i-1 ([0127]). The disparity heads
    read restored maps too, so that H holds all that the teacher knows.
    """

    def __init__(self, config: TeacherConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TeacherConfig()
        student, wide = config.student, config.decoder
        self.encoder = Encoder(config.encoder)
        deep = self.encoder.channels
        self.normalise = Normalise(self.encoder.mean, self.encoder.std)
        self.encoder_bridges = nn.ModuleList(Bridge(c, narrow) for c, narrow in zip(deep, student.channels, strict=True))
        self.stages = range(student.finest, 5)
        below = (*wide[1:], deep[4])  # what decoder stage i reads
        narrow = (student.channels[0], *student.channels[:-1])
        self.decode = nn.ModuleDict({str(i): _Stage(below[i], wide[i], deep[i - 1] if i > 0 else 0) for i in self.stages})
        self.decoder_bridges = nn.ModuleDict({str(i): Bridge(wide[i], narrow[i]) for i in self.stages})
        self.heads = nn.ModuleDict({
            str(i): DisparityHead(wide[i], min_depth=student.min_depth, max_depth=student.max_depth) for i in self.stages[: student.scales]
        })
        self.encoder_weights = "none"

    def pretrain(self) -> str:
        """Fills the encoder as the config asks, and opens its bridges to what it then says; answers with which weights."""
        self.encoder_weights = pretrained.fill(self.encoder, self.config.encoder, self.config.pretrained)
        if not self.encoder_weights.startswith("none"):
            self._open()
        return self.encoder_weights

    @torch.no_grad()
    def _open(self) -> None:
        """Every bridge passes what the stages before it say of made images, as they are without bridges."""
        self.eval()
        x = self.normalise(_made_images())
        for i, bridge in enumerate(self.encoder_bridges):
            x = self.encoder.stage(i, x)
            bridge.begin_open(x)  # type: ignore[operator]
        self.train()

    def bridged(self, image: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """(B, 3, H, W) RGB 0..1 -> H of the encoder's stages 0..4, H of the decoder's, finest first, and depths as `forward`'s."""
        restored, encoded = self._encode(image)
        x, decoded, shown = restored[-1], [], []
        for i in reversed(self.stages):
            hidden, x = self.decoder_bridges[str(i)](self.decode[str(i)](x, restored[i - 1] if i > 0 else None))
            decoded.append(hidden)
            shown.append(x)
        finest, *coarse = [head(x) for head, x in zip(self.heads.values(), shown[::-1], strict=False)]
        for _ in range(self.config.student.finest):
            finest = _up(finest)
        return encoded, decoded[::-1], [finest, *coarse]

    def _encode(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Restored maps, and H, of the encoder's stages."""
        x, restored, encoded = self.normalise(image), [], []
        for i, bridge in enumerate(self.encoder_bridges):
            hidden, x = bridge(self.encoder.stage(i, x))
            restored.append(x)
            encoded.append(hidden)
        return restored, encoded

    def encoded(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> H of the encoder's stages, stage i at 1 / 2^(i+1)."""
        return self._encode(image)[1]

    def with_features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What `forward` answers, and H of the encoder's stages."""
        encoded, _, depths = self.bridged(image)
        return depths, encoded

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1, sides divisible by 32 -> depths, canonical metres: (B, 1, H, W), then coarser ones, as the student's."""
        return self.bridged(image)[2]


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _made_images() -> Tensor:
    """(8, 3, 128, 256) RGB 0..1 of smooth patches at all sizes, the same every time."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(8, 3, 128, 256)
    for side in (4, 8, 16, 32, 64):
        patches = torch.randn(8, 3, side // 2, side, generator=generator)
        total += F.interpolate(patches, total.shape[2:], mode="nearest" if side < 32 else "bilinear")
    return torch.sigmoid(0.7 * total)
