"""The network of S4: road markings from one image, in the shape of DeepLabv3+ (Chen et al. 2018)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.networks.blocks import conv
from depth_perception.networks.disparity import Normalise

CLASSES = ("background", "solid line", "dashed line", "stop line", "zebra crossing", "arrow", "text")


@dataclass(frozen=True)
class MarkingNetConfig:
    """channels: widths of the stages at 1/2, 1/4, 1/8 and 1/16; blocks: residual blocks of each. rates: dilations of the pyramid.
    pyramid: width of each of its branches and of its outcome. low: widths to which the maps at 1/4 and 1/2 are reduced for the decoder.
    decoder: its width at 1/4 and at 1/2. target: width of the target layer (S4-e); 0 leaves it out.
    classes: names of the class ids in their order. mirrored: once it has learned, the network answers the mean of what it says of the image
    and of its mirror image, for twice the time.
    """

    channels: tuple[int, ...] = (24, 48, 96, 160)
    blocks: tuple[int, ...] = (0, 1, 2, 2)
    rates: tuple[int, ...] = (2, 4, 8)
    pyramid: int = 96
    low: tuple[int, ...] = (32, 16)
    decoder: tuple[int, ...] = (64, 32)
    target: int = ranged(32, 0, 1024)  # type: ignore[assignment]
    classes: tuple[str, ...] = CLASSES
    mirrored: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if len(self.channels) != 4 or len(self.blocks) != 4 or len(self.low) != 2 or len(self.decoder) != 2:
            raise BadInput(f"markings: wanted four channels and blocks, two low and decoder widths, got {self}")
        if len(self.classes) < 2:
            raise BadInput(f"markings.classes: wanted background and at least one more, got {self.classes}")


def separable(c_in: int, c_out: int, *, stride: int = 1, rate: int = 1) -> nn.Sequential:
    """Depth-wise separable convolution, dilated by `rate` (S4-h): 3x3 per channel, then 1x1, each with batch norm and ReLU."""
    deep = nn.Conv2d(c_in, c_in, 3, stride, padding=rate, dilation=rate, groups=c_in, bias=False)
    return nn.Sequential(deep, nn.BatchNorm2d(c_in), nn.ReLU(), conv(c_in, c_out, 1), nn.ReLU())


class Residual(nn.Module):
    """x + two separable convolutions."""

    def __init__(self, channels: int, *, rate: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(separable(channels, channels, rate=rate), separable(channels, channels, rate=rate))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.body(x)


class Pyramid(nn.Module):
    """Pyramid pooling: a 1x1 convolution, dilated separable ones, and the mean of the whole map, concatenated and mixed."""

    def __init__(self, c_in: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.point = nn.Sequential(conv(c_in, width, 1), nn.ReLU())
        self.dilated = nn.ModuleList(separable(c_in, width, rate=rate) for rate in rates)
        # Without batch norm: one pixel per image has no statistics.
        self.whole = nn.Sequential(nn.Conv2d(c_in, width, 1), nn.ReLU())
        self.mix = nn.Sequential(conv((2 + len(rates)) * width, width, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, width, H, W)."""
        whole = self.whole(x.mean((2, 3), keepdim=True)).expand(-1, -1, x.shape[2], x.shape[3])
        return self.mix(torch.cat([self.point(x), *(branch(x) for branch in self.dilated), whole], 1))


class MarkingNet(nn.Module):
    """Logits of road-marking classes (S4-f, S4-h).

    Encoder to 1/16, pyramid pooling; the decoder concatenates the encoder's outcome with the reduced low-level maps at 1/4 and at 1/2:
    a far line is two pixels wide, so DeepLabv3+'s single low-level map at 1/4 is not enough. Then the target layer (S4-e): a fully
    connected layer per pixel (1x1) before the last one, linear, whose outcome the cross-domain loss compares; being linear it is folded
    into the last layer when training ends (`folded`), so the network that drives has none.
    """

    def __init__(self, config: MarkingNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MarkingNetConfig()
        c2, c4, c8, c16 = config.channels
        self.normalise = Normalise()
        self.stem = nn.Sequential(conv(3, c2, stride=2), nn.ReLU(), *(Residual(c2) for _ in range(config.blocks[0])))
        self.stages = nn.ModuleList(
            nn.Sequential(conv(c_in, c, stride=2), nn.ReLU(), *(Residual(c) for _ in range(blocks)))
            for c_in, c, blocks in zip((c2, c4, c8), (c4, c8, c16), config.blocks[1:], strict=True))
        self.pyramid = Pyramid(c16, config.pyramid, config.rates)
        self.reduce4 = nn.Sequential(conv(c4 + c8, config.low[0], 1), nn.ReLU())
        self.reduce2 = nn.Sequential(conv(c2, config.low[1], 1), nn.ReLU())
        wide, narrow = config.decoder
        self.decode4 = nn.Sequential(separable(config.pyramid + config.low[0], wide), separable(wide, narrow))
        self.decode2 = nn.Sequential(conv(narrow + config.low[1], narrow), nn.ReLU())
        self.target = nn.Conv2d(narrow, config.target, 1) if config.target else None
        self.last = nn.Conv2d(config.target or narrow, len(config.classes), 1)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def decoded(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1, sides divisible by 16 -> (B, C, H/2, W/2), what the target layer gets."""
        x2 = self.stem(self.normalise(image))
        x4 = self.stages[0](x2)
        x8 = self.stages[1](x4)
        encoded = self.pyramid(self.stages[2](x8))
        x = self.decode4(torch.cat([_up(encoded, 4), self.reduce4(torch.cat([x4, _up(x8, 2)], 1))], 1))
        return self.decode2(torch.cat([_up(x, 2), self.reduce2(x2)], 1))

    def with_target(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as of `forward`, and the target layer's outcome (B, target, H/2, W/2) (the decoder's, where it has none)."""
        x = self.decoded(image)
        x = x if self.target is None else self.target(x)
        return self.last(x), x

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1, sides divisible by 16 -> logits (B, classes, H/2, W/2)."""
        if self.training or not self.config.mirrored:
            return self.with_target(image)[0]
        both = self.with_target(torch.cat([image, image.flip(3)]))[0]
        odds = (both - both.amax(1, keepdim=True)).exp()  # softmax along a middle axis takes ONNX Runtime 4 ms more
        here, there = (odds / odds.sum(1, keepdim=True)).chunk(2)
        return (0.5 * here + 0.5 * there.flip(3)).clamp(min=1e-6).log()

    @torch.no_grad()
    def folded(self) -> MarkingNet:
        """The same function without the target layer: its weights are multiplied into the last layer's."""
        if self.target is None:
            return self
        out = MarkingNet(replace(self.config, target=0))
        state = OrderedDict((name, value) for name, value in self.state_dict().items() if not name.startswith("target."))
        first, last = self.target.weight[:, :, 0, 0], self.last.weight[:, :, 0, 0]
        assert self.target.bias is not None and self.last.bias is not None
        state["last.weight"] = (last @ first)[:, :, None, None]
        state["last.bias"] = last @ self.target.bias + self.last.bias
        out.load_state_dict(state)
        return out.train(self.training)

    @torch.no_grad()
    def unfolded(self, width: int) -> MarkingNet:
        """The same function with a target layer of `width`, to go on learning: a random rotation, undone by the last layer."""
        if self.target is not None or not width:
            return self
        if width < self.last.in_channels:
            raise BadInput(f"network.target: wanted the decoder's {self.last.in_channels} channels or more, got {width}")
        out = MarkingNet(replace(self.config, target=width))
        assert out.target is not None and out.target.bias is not None
        nn.init.orthogonal_(out.target.weight)
        nn.init.zeros_(out.target.bias)
        state = out.state_dict() | self.state_dict()
        state["last.weight"] = (self.last.weight[:, :, 0, 0] @ out.target.weight[:, :, 0, 0].T)[:, :, None, None]
        out.load_state_dict(state)
        return out.train(self.training)


def _up(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
