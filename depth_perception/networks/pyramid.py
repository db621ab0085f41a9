"""What both views of S3 are made of: residual blocks, and a small pyramid over a map seen from above."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.networks.blocks import conv


class Residual(nn.Module):
    """relu(x + conv(relu(conv(x)))), 3x3, plain: what a CPU learns fastest from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class Down(nn.Module):
    """Half the size, then residual blocks."""

    def __init__(self, c_in: int, c_out: int, blocks: int) -> None:
        super().__init__()
        self.conv = conv(c_in, c_out, stride=2)
        self.blocks = nn.Sequential(*(Residual(c_out) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / 2, W / 2)."""
        return self.blocks(F.relu(self.conv(x)))


class Pyramid(nn.Module):
    """A map of `widths[0]` channels, and what its surroundings at half, a quarter, ... of its size say of each place."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Sequential(*(Residual(widths[0]) for _ in range(blocks[0])))
        self.down = nn.ModuleList(Down(a, b, n) for a, b, n in zip(widths, widths[1:], blocks[1:], strict=False))
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(widths))
        self.last = conv(widths[0], widths[0])

    def forward(self, x: Tensor) -> Tensor:
        """(B, widths[0], H, W) -> the same shape; sides divisible by 2 for every further width."""
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in reversed(self.up):
            x = F.relu(maps.pop() + F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False))
        return F.relu(self.last(x))


def projection(channels: int, embedding: int) -> nn.Sequential:
    """(N, channels) features of target points -> (N, embedding), in which they are compared (S3 claim 8); it does not drive."""
    return nn.Sequential(nn.Linear(channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, embedding))
