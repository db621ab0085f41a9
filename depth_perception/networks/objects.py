"""The three downstream models of S3 ([0005]-[0010]): objects from an image, from a cloud, or from both, in one map from above."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry import boxes
from depth_perception.geometry.grid import Grid
from depth_perception.networks.bev_cloud import BevCloud, BevCloudConfig
from depth_perception.networks.bev_image import DEPTHS, BevImage, BevImageConfig, start_at
from depth_perception.networks.blocks import conv

MODALITIES = ("image", "cloud", "both")


@dataclass(frozen=True)
class ObjectsNetConfig:
    """modality: what it sees. classes: of the heat map, in its order. grid, depths: as of BevImageConfig, and for both backbones.

    head: channels of the layer before the answers.
    """

    modality: str = "both"
    classes: tuple[str, ...] = boxes.CLASSES
    grid: Grid = field(default_factory=Grid)
    depths: tuple[float, ...] = DEPTHS
    head: int = ranged(64, 1, 4096)  # type: ignore[assignment]
    image: BevImageConfig = field(default_factory=BevImageConfig)
    cloud: BevCloudConfig = field(default_factory=BevCloudConfig)

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.classes or set(self.classes) - set(boxes.CLASSES) or len(set(self.classes)) < len(self.classes):
            raise BadInput(f"classes: wanted some of {', '.join(boxes.CLASSES)}, each once, got {', '.join(self.classes) or 'none'}")
        if self.modality not in MODALITIES:
            raise BadInput(f"modality: wanted one of {', '.join(MODALITIES)}, got {self.modality!r}")

    @property
    def backbones(self) -> tuple[str, ...]:
        """"image", "cloud" or both of them."""
        return ("image", "cloud") if self.modality == "both" else (self.modality,)

    def inputs(self, height: int, width: int) -> dict[str, list[int]]:
        """Names and shapes of what the network is shown, in the order of `forward`."""
        shapes: dict[str, list[int]] = {}
        if "image" in self.backbones:
            shapes |= replace(self.image, grid=self.grid, depths=self.depths).inputs(height, width)
        if "cloud" in self.backbones:
            shapes |= replace(self.cloud, grid=self.grid).inputs()
        return shapes

    def outputs(self) -> dict[str, list[int]]:
        """Names and shapes of what it answers, in the order of `forward`."""
        rows, columns = self.grid.rows // 2, self.grid.columns // 2
        width = self.image.width if self.modality == "image" else self.cloud.width
        return {"heat": [1, len(self.classes), rows, columns], "boxes": [1, boxes.CHANNELS, rows, columns],
                "features": [1, width, rows, columns]}


class ObjectsNet(nn.Module):
    """Backbones as pretrained (`image`: BevImage, `cloud`: BevCloud), feature fusion where there are two, and a head of centres.

    Fusion: both maps side by side through a 3x3 convolution, added to the cloud's map. It begins at nothing, so that the model begins as
    good as the cloud's, and learns what the image adds.
    """

    def __init__(self, config: ObjectsNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ObjectsNetConfig()
        image = replace(config.image, grid=config.grid, depths=config.depths, embedding=0)
        cloud = replace(config.cloud, grid=config.grid, embedding=0)
        if "image" in config.backbones:
            self.image = BevImage(image)
        if "cloud" in config.backbones:
            self.cloud = BevCloud(cloud)
        width = image.width if config.modality == "image" else cloud.width
        if config.modality == "both":
            self.fuse = conv(image.width + cloud.width, width)
            nn.init.zeros_(self.fuse[1].weight)  # type: ignore[arg-type]
        self.shared = nn.Sequential(conv(width, config.head), nn.ReLU())
        self.heat = nn.Conv2d(config.head, len(config.classes), 1)
        self.boxes = nn.Conv2d(config.head, boxes.CHANNELS, 1)
        start_at(self.heat, 0.02)

    def with_depth(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What `forward` answers, and the image's depth distribution (B, D, h, w), None for a cloud."""
        if self.config.modality == "cloud":
            features, depth = self.cloud(*inputs), None
        elif self.config.modality == "image":
            features, depth = self.image(*inputs)
        else:
            *seen, pillars = inputs
            (from_image, depth), from_cloud = self.image(*seen), self.cloud(pillars)
            features = F.relu(from_cloud + self.fuse(torch.cat([from_image, from_cloud], 1)))
        x = self.shared(features)
        return self.heat(x).sigmoid(), self.boxes(x), features, depth

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs as `config.inputs` lists them -> (B, K, R, S) heat 0..1, (B, 8, R, S) geometry.boxes, (B, C, R, S) features."""
        return self.with_depth(*inputs)[:3]
