"""The two building blocks of S5: pixel-wise coefficients for adding paths, and the sparse block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depth_perception.frame import BadInput


def conv(c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch norm (one convolution after export); no activation."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out))


def check_five(name: str, what: str, numbers: tuple[int, ...]) -> None:
    """BadInput naming what should have been five positive numbers, one for each stage."""
    if len(numbers) != 5 or min(numbers) < 1:
        raise BadInput(f"{name}: wanted five {what} of at least 1, got {numbers}")


class Coefficients(nn.Module):
    """Per-pixel weights of N paths that sum to one (S5 claim 3, [0087]-[0093]).

    Mean over channels per path, concatenated; F_exp to r N maps, F_mid, F_squ back to N, all 3x3 stride 1; softmax over paths.
    """

    def __init__(self, paths: int = 2, expansion: int = 2) -> None:
        super().__init__()
        wide = expansion * paths
        self.exp = nn.Conv2d(paths, wide, 3, padding=1)
        self.mid = nn.Conv2d(wide, wide, 3, padding=1)
        self.squ = nn.Conv2d(wide, paths, 3, padding=1)
        self.activation = nn.Hardswish()

    def forward(self, *paths: Tensor) -> tuple[Tensor, ...]:
        """N maps (B, C_i, H, W) -> N coefficient maps (B, 1, H, W)."""
        x = torch.cat([path.mean(1, keepdim=True) for path in paths], 1)
        x = self.squ(self.activation(self.mid(self.activation(self.exp(x)))))
        return x.softmax(1).split(1, 1)


class WeightedSum(nn.Module):
    """sum_i Theta_i X_i with Theta from `Coefficients` (S5 claim 6 and the skip of claim 7)."""

    def __init__(self, paths: int = 2, expansion: int = 2) -> None:
        super().__init__()
        self.coefficients = Coefficients(paths, expansion)

    def forward(self, *paths: Tensor) -> Tensor:
        """N maps (B, C, H, W) -> (B, C, H, W)."""
        weights = self.coefficients(*paths)
        total = weights[0] * paths[0]
        for weight, path in zip(weights[1:], paths[1:], strict=True):
            total = total + weight * path
        return total


class SparseBlock(nn.Module):
    """Sparse coding in a wider channel space, added back by coefficients (S5 claims 4-6, [0102]-[0110]).

    1x1 C -> rC, hardswish, depth-wise 3x3, hardswish, depth-wise 3x3, hardswish, 1x1 rC -> C; out = Theta_in X + Theta_sp Q.
    Claim 5 lost one F_mid in print; [0103] applies it twice, and so do we. Batch norm after each convolution is ours [recon].
    channels_per_group: 1 codes every channel alone ([0109]); more is the grouped form of [0110].
    """

    def __init__(self, channels: int, *, expansion: int = 2, channels_per_group: int = 1) -> None:
        super().__init__()
        wide = expansion * channels
        groups = wide // channels_per_group
        self.exp = conv(channels, wide, 1)
        self.mid1 = conv(wide, wide, groups=groups)
        self.mid2 = conv(wide, wide, groups=groups)
        self.squ = conv(wide, channels, 1)
        self.add = WeightedSum(2, 2)
        self.activation = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        wide = self.activation(self.exp(x))
        sparse = self.activation(self.mid2(self.activation(self.mid1(wide))))
        return self.add(x, self.squ(sparse))
