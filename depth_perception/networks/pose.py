"""The pose network: two images (S1), or three (S5) -> the motions from image to image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.networks.blocks import check_five
from depth_perception.networks.disparity import Normalise, single

# What each form is shown, in the order of time; `image` and `neighbour` are the last two in both, `before` precedes them.
FORMS = {"pair": ("image", "neighbour"), "triplet": ("before", "image", "neighbour")}


@dataclass(frozen=True)
class PoseNetConfig:
    """Widths and kernels of the five stride-2 convolutions [recon], and what the regression is multiplied by.

    form: `pair`, six channels (S1 claim 7), or `triplet`, nine (S5, [0084]).
    The usual 0.01 suits rotations. Translations here are canonical metres, not shares of an arbitrary unit: a car moves about one
    of them per image, and a network that had to answer 100 for it would hardly learn to. shrink: the images are averaged down so
    many times first; motions are then a few pixels of the first convolution and are learned several times faster.
    """

    form: str = "pair"
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    kernels: tuple[int, ...] = (7, 5, 3, 3, 3)
    shrink: int = ranged(2, 1, 32)
    rotation_scale: float = ranged(0.01, 1e-6, 1e6)
    translation_scale: float = ranged(1.0, 1e-6, 1e6)

    def __post_init__(self) -> None:
        check_ranges(self)
        check_five("pose.channels", "widths", self.channels)
        check_five("pose.kernels", "sizes", self.kernels)
        if self.form not in FORMS:
            raise BadInput(f"pose.form: wanted one of {', '.join(FORMS)}, got {self.form!r}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the images, in the order of time."""
        return FORMS[self.form]

    @property
    def output(self) -> list[int]:
        """Shape of the answer to one sample: a motion, or one for each step between three images."""
        return [1, 6] if self.form == "pair" else [1, 2, 6]


class PoseNet(nn.Module):
    """6-DoF motion from an image and its neighbour (S1 claim 7), or both motions from three images in a row (S5, [0084]).

    They are concatenated along the channels; five convolutions of strictly shrinking output; regression (1x1 to 6 or 12, mean), scaled.
    """

    def __init__(self, config: PoseNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PoseNetConfig()
        self.normalise = Normalise()
        layers: list[nn.Module] = []
        for c_in, c, kernel in zip((3 * len(config.inputs), *config.channels[:-1]), config.channels, config.kernels, strict=True):
            layers += [nn.Conv2d(c_in, c, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.regress = nn.Conv2d(config.channels[-1], 6 * (len(config.inputs) - 1), 1)
        nn.init.normal_(self.regress.weight, std=1e-3)
        nn.init.zeros_(self.regress.bias)
        scale = torch.tensor([config.rotation_scale] * 3 + [config.translation_scale] * 3)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, *images: Tensor) -> Tensor:
        """Images (B, 3, H, W), RGB 0..1, earliest first: two -> (B, 6), three -> (B, 2, 6).

        An answer is axis-angle in radians and translation in canonical metres. They make T_later_earlier of successive images, which maps
        points of the earlier camera into the later one's; a triplet's first is T_image_before, its second T_neighbour_image. The metric
        translation is translation * (K[1, 1] / canonical_focal_px), K in pixels of the network's input.
        """
        row = torch.cat([self.normalise(image) for image in images], 1)
        x = self.layers(F.avg_pool2d(row, self.config.shrink))
        with torch.autocast(x.device.type, enabled=False):
            motions = self.regress(single(x)).mean((2, 3))
            return (motions if self.config.form == "pair" else motions.unflatten(1, (2, 6))) * self.scale
