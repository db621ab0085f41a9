"""The image side of S3: features of chosen layers, a depth distribution, and both seen from above."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry.grid import Grid
from depth_perception.networks import lift, placed
from depth_perception.networks.blocks import conv
from depth_perception.networks.disparity import Normalise
from depth_perception.networks.placed import at
from depth_perception.networks.pyramid import Down, Pyramid, Residual, projection
from depth_perception.networks.student import Student, StudentConfig

# Canonical metres, 5.3 % from bin to bin.
BACKBONES = ("plain", "student")
DEPTHS = tuple(round(float(z), 3) for z in np.geomspace(2.0, 56.0, 64))


@dataclass(frozen=True)
class BevImageConfig:
    """backbone: plain, a network of its own, learned with everything else: channels, blocks: width of each down-sampling stage (stage i
    ends at stride 2^(i+1)) and its residual blocks. student: the depth network of `train depth` of this shape, whose encoder's stages and
    decoder are the layers, and whose depth is where the distribution begins; frozen: as it was given, or else it learns on.

    layers: the stages whose outputs make the image feature (claims 10, 11), finest first; the feature has the stride of the first one.
    width: of the feature, and of the map from above; wider, deeper: of that map's pyramid. depths: centres of the depth bins, canonical
    metres. grid: of the pillars; the map has half its rows and columns. fusion: one of lift.FUSIONS; slice_edges_m: between the slices
    of `height`. embedding: size of what the contrast compares; 0: there is no head for it. place: where that head reads the map: at the
    target's own place, as the text has it, or `seen`: where the image itself sees it (networks.placed); cloud: the same.
    """

    backbone: str = "plain"
    student: StudentConfig = field(default_factory=StudentConfig)
    frozen: bool = True
    channels: tuple[int, ...] = (16, 32, 64, 96, 128)
    blocks: tuple[int, ...] = (0, 1, 1, 2, 1)
    layers: tuple[int, ...] = (2, 3, 4)
    width: int = ranged(48, 1, 4096)  # type: ignore[assignment]
    wider: tuple[int, ...] = (64,)
    deeper: tuple[int, ...] = (1, 1)
    depths: tuple[float, ...] = DEPTHS
    grid: Grid = field(default_factory=Grid)
    fusion: str = "pillar"
    slice_edges_m: tuple[float, ...] = (0.3, 1.2, 2.5)
    embedding: int = ranged(128, 0, 4096)  # type: ignore[assignment]
    place: str = "target"

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.backbone not in BACKBONES:
            raise BadInput(f"backbone: wanted one of {', '.join(BACKBONES)}, got {self.backbone!r}")
        last = len(self.channels if self.backbone == "plain" else self.student.channels) - 1
        if not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0 or self.layers[-1] > last:
            raise BadInput(f"layers: wanted some of the stages 0 to {last}, finest first, got {self.layers}")
        if self.backbone == "student" and self.stride < 2 * 2**self.student.finest:
            raise BadInput(f"layers: wanted a stride of at least {2 * 2**self.student.finest}, half as fine as the student's depth, "
                           f"got {self.stride}")
        if len(self.blocks) != len(self.channels) or len(self.deeper) != len(self.wider) + 1:
            raise BadInput(f"blocks, deeper: wanted {len(self.channels)} and {len(self.wider) + 1} numbers, "
                           f"got {self.blocks}, {self.deeper}")
        if self.fusion not in lift.FUSIONS:
            raise BadInput(f"fusion: wanted one of {', '.join(lift.FUSIONS)}, got {self.fusion!r}")
        if self.place not in placed.PLACES:
            raise BadInput(f"place: wanted one of {', '.join(placed.PLACES)}, got {self.place!r}")
        if len(self.depths) < 2 or list(self.depths) != sorted(set(self.depths)) or self.depths[0] <= 0:
            raise BadInput(f"depths: wanted rising metres above 0, got {self.depths}")

    @property
    def stride(self) -> int:
        """Pixels of the input per feature."""
        return int(2 ** (self.layers[0] + 1))

    def inputs(self, height: int, width: int) -> dict[str, list[int]]:
        """Names and shapes of what the network is shown, for an image of height x width."""
        from_above = self.grid.coarser(2)
        shapes = {"image": [1, 3, height, width], "polar": [1, from_above.rows, from_above.columns, 2]}
        if self.fusion == "height":
            shapes["heights"] = [1, len(self.depths), height // self.stride, width // self.stride]
        return shapes

    def features(self) -> list[int]:
        """Shape of the map from above."""
        from_above = self.grid.coarser(2)
        return [1, self.width, from_above.rows, from_above.columns]


class BevImage(nn.Module):
    """Image -> features from above, and the depth distribution that put them there (S3 claims 3-6, 10, 11).

    The stages' outputs are brought to one width and to the finest one's size, and added. A 1x1 convolution gives the depth distribution
    over `depths` (softmax), another one what is lifted by it; a small pyramid then reads the map from above.
    """

    def __init__(self, config: BevImageConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BevImageConfig()
        if config.backbone == "plain":
            channels = config.channels
            self.normalise = Normalise()
            self.stages = nn.ModuleList(Down(a, b, n) for a, b, n in zip((3, *channels[:-1]), channels, config.blocks, strict=True))
        else:
            channels = config.student.channels
            self.student = Student(config.student).requires_grad_(not config.frozen)
        trunk = channels[config.layers[0]]
        self.lateral = nn.ModuleDict({str(i): conv(channels[i], trunk, 1) for i in config.layers})
        if config.backbone == "student":
            self.decoded = conv(trunk, trunk, 1)
        self.trunk = Residual(trunk)
        self.depth = nn.Sequential(conv(trunk, trunk), nn.ReLU(), nn.Conv2d(trunk, len(config.depths), 1))
        if config.backbone == "student":
            nn.init.zeros_(self.depth[2].weight)  # type: ignore[arg-type]
        self.content = nn.Conv2d(trunk, config.width, 1)
        lifted = config.width * (1 if config.fusion == "pillar" else len(config.slice_edges_m) + 1)
        self.fuse = conv(lifted, config.width, 1)
        self.above = Pyramid((config.width, *config.wider), config.deeper)
        if config.embedding:
            # Of the map at the target's cell, and of its own pixel: where depth is a metre off, it still says what the target looks like.
            self.project = projection(2 * config.width + 3 * placed.SIZE * (config.place == "seen"), config.embedding)

    def train(self, mode: bool = True) -> BevImage:
        """As of every module; a frozen student stays as it drives."""
        super().train(mode)
        if self.config.backbone == "student" and self.config.frozen:
            self.student.eval()
        return self

    def layer_outputs(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> what every stage answers, at strides 2, 4, ... (claim 10)."""
        if self.config.backbone == "student":
            return self.student.encoded(image)
        x, outputs = self.normalise(image), []
        for stage in self.stages[: self.config.layers[-1] + 1]:
            x = stage(x)
            outputs.append(x)
        return outputs

    def seen(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) RGB 0..1 -> (B, width, h, w) image features and (B, D, h, w) their depth distribution, at `config.stride`."""
        if self.config.backbone == "student":
            outputs, decoded = self.student.features(image)
            guess: Tensor | None = self._guess(decoded[0])
            x: Tensor | None = None
        else:
            outputs, guess, decoded, x = self.layer_outputs(image), None, [], None
        for i in reversed(self.config.layers):
            here = self.lateral[str(i)](outputs[i])
            x = here if x is None else here + F.interpolate(x, size=here.shape[2:], mode="bilinear", align_corners=False)
        assert x is not None
        if decoded:
            x = x + self.decoded(decoded[self.config.layers[0] + 1 - self.config.student.finest])
        x = self.trunk(F.relu(x))
        logits = self.depth(x)
        return self.content(x), (logits if guess is None else logits + guess).softmax(1)

    def _guess(self, decoded: Tensor) -> Tensor:
        """What the student's last decoder stage says of the depth: (B, D, h, w) logarithms of each bin's share.

        Two of its answers per feature and axis, each a triangle over the logarithm of depth that ends three bins away, and a little
        everywhere: what it misses must not cost more than can be learned.
        """
        depth = next(iter(self.student.heads.values()))(decoded)
        step = self.config.stride // (2 * 2**self.config.student.finest)
        log = depth[:, :, step // 2 :: step, step // 2 :: step].log()
        bins = torch.tensor(self.config.depths, device=log.device).log().view(1, -1, 1, 1)
        width = 3 * float(math.log(self.config.depths[-1] / self.config.depths[0])) / (len(self.config.depths) - 1)
        share = F.relu(1 - (log - bins).abs() / width)
        return (F.avg_pool2d(share, 2) + 0.01).log()

    def lifted(self, content: Tensor, depth: Tensor, polar: Tensor, heights: Tensor | None = None) -> Tensor:
        """Features and their distribution -> (B, width, R, S) from above, R and S of `polar`."""
        if self.config.fusion == "pillar":
            x = lift.pillars(content, depth, polar)
        else:
            assert heights is not None
            x = lift.slices(content, depth, polar, heights, self.config.slice_edges_m)
        return self.above(F.relu(self.fuse(x)))

    def embedded(self, content: Tensor, depth: Tensor, above: Tensor, *, at_pixel: Tensor, at_image: Tensor, ray: Tensor) -> Tensor:
        """What was seen, the map of it and (B, M, ...) where targets are -> (B, M, embedding), for the contrast; it does not drive."""
        if self.config.place == "seen":
            read = placed.seen(above, depth, at_pixel, ray, self.config.depths, self.config.grid)
        else:
            read = at(above, at_image)
        return self.project(torch.cat([read, at(content, at_pixel)], 2))

    def forward(self, image: Tensor, polar: Tensor, heights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) RGB 0..1, (B, R, S, 2) geometry.polar -> (B, width, R, S) features and (B, D, h, w) depth distribution."""
        content, depth = self.seen(image)
        return self.lifted(content, depth, polar, heights), depth


def start_at(layer: nn.Conv2d, probability: float) -> None:
    """Lets a layer before a sigmoid begin with this answer everywhere."""
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, math.log(probability / (1 - probability)))
    assert torch.isfinite(layer.bias).all()
