"""The point-cloud side of S3: pillars from above -> features from above."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry import pillars
from depth_perception.geometry.grid import Grid
from depth_perception.networks import placed
from depth_perception.networks.blocks import conv
from depth_perception.networks.placed import at
from depth_perception.networks.pyramid import Pyramid, projection


@dataclass(frozen=True)
class BevCloudConfig:
    """stem: channels at the pillars' own size. width, wider, deeper, grid, embedding, place: as of BevImageConfig."""

    stem: int = ranged(16, 1, 4096)  # type: ignore[assignment]
    width: int = ranged(48, 1, 4096)  # type: ignore[assignment]
    wider: tuple[int, ...] = (64, 96)
    deeper: tuple[int, ...] = (1, 2, 1)
    grid: Grid = field(default_factory=Grid)
    embedding: int = ranged(128, 0, 4096)  # type: ignore[assignment]
    place: str = "target"

    def __post_init__(self) -> None:
        check_ranges(self)
        if len(self.deeper) != len(self.wider) + 1:
            raise BadInput(f"deeper: wanted {len(self.wider) + 1} numbers, one for the map and for each of wider, got {self.deeper}")
        if self.place not in placed.PLACES:
            raise BadInput(f"place: wanted one of {', '.join(placed.PLACES)}, got {self.place!r}")

    def inputs(self) -> dict[str, list[int]]:
        """Name and shape of what the network is shown."""
        return {"pillars": [1, pillars.CHANNELS, self.grid.rows, self.grid.columns]}

    def features(self) -> list[int]:
        """Shape of the map from above."""
        from_above = self.grid.coarser(2)
        return [1, self.width, from_above.rows, from_above.columns]


class BevCloud(nn.Module):
    """(B, C, rows, columns) of geometry.pillars -> (B, width, rows / 2, columns / 2) features (S3 claim 7).

    The pillars hold slices of height, which the first convolution fuses: points of the same height first, then the heights.
    """

    def __init__(self, config: BevCloudConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BevCloudConfig()
        self.stem = conv(pillars.CHANNELS, config.stem, 1)
        self.down = conv(config.stem, config.width, stride=2)
        self.above = Pyramid((config.width, *config.wider), config.deeper)
        if config.embedding:
            self.project = projection(config.width + placed.SIZE * (config.place == "seen"), config.embedding)
            self.tell = nn.Conv2d(config.width, 4 * pillars.SLICES, 1)

    def forward(self, pillars: Tensor) -> Tensor:
        """(B, C, rows, columns) -> (B, width, rows / 2, columns / 2)."""
        return self.above(F.relu(self.down(F.relu(self.stem(pillars)))))

    def embedded(self, features: Tensor, at_cloud: Tensor) -> Tensor:
        """A map, and (B, M, 2) places of targets in it -> (B, M, embedding), for the contrast; it does not drive."""
        read = at(features, at_cloud)
        if self.config.place == "seen":
            read = torch.cat([read, placed.waves(placed.metres(at_cloud, self.config.grid))], 2)
        return self.project(read)

    def told(self, features: Tensor) -> Tensor:
        """(B, width, rows / 2, columns / 2) -> (B, SLICES, rows, columns) logits of a return in each slice of height; it does not drive."""
        return F.pixel_shuffle(self.tell(features), 2)
