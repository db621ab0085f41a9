"""The bridge of S5: what a large network's stage says, squeezed to the width of a small one and restored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.frame import BadInput
from depth_perception.networks.blocks import conv


class Refinement(nn.Module):
    """ELU(BN(x) + p1 local(x) + p2 overall(x)), p starting at 0.

    The text names an "information refinement module" of a patent that is not at hand ([0128]) [recon]: local is a 3x3 convolution, overall
    says the same everywhere, from the mean of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.local = conv(channels, channels)
        self.overall = nn.Conv2d(channels, channels, 1)
        self.shares = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        overall = self.overall(x.mean((2, 3), keepdim=True))
        return F.elu(self.norm(x) + self.shares[0] * self.local(x) + self.shares[1] * overall)


class Bridge(nn.Module):
    """Squeeze: 3x3 convolution, hardswish, refinement -> H. Restore: 3x3 convolution, hardswish ([0125]-[0128]).

    H has the width of the student's stage and is what that stage approximates; the large network goes on with the restored map alone.
    """

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(wide, narrow, 3, padding=1), nn.Hardswish(), Refinement(narrow))
        self.restore = nn.Sequential(nn.Conv2d(narrow, wide, 3, padding=1), nn.Hardswish())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, wide, H, W) -> H (B, narrow, H, W) and the restored map (B, wide, H, W)."""
        hidden = self.squeeze(x)
        return hidden, self.restore(hidden)

    @torch.no_grad()
    def begin_open(self, x: Tensor) -> None:
        """Begins as the identity, but for a constant per channel that the next batch norm takes away, as far as `narrow` channels can.

        A stage that was trained before it had a bridge would else get noise, and forget. Both convolutions pass the channels of `x`
        (B, wide, H, W) that vary most, made to deviate by one; biases lift them to where hardswish and ELU do not bend. BadInput where
        none varies: there is no deviation to measure by, and whoever gave weights for a stage that is dead should know.
        """
        deviation, mean = torch.std_mean(x, (0, 2, 3))
        if not (deviation.isfinite().all() and (deviation > _NOISE * mean.abs()).any()):
            raise BadInput(f"teacher.pretrained: wanted weights with which every stage varies over an image, got a stage of {x.shape[1]} "
                           f"channels at {x.shape[3]}x{x.shape[2]} that is constant or not finite")
        deviation = deviation.clamp(min=1e-3 * float(deviation.max()))
        first, _, refine = self.squeeze
        last = self.restore[0]
        assert isinstance(first, nn.Conv2d) and isinstance(refine, Refinement) and isinstance(last, nn.Conv2d)
        assert first.bias is not None and last.bias is not None
        theirs = deviation.topk(min(first.in_channels, first.out_channels)).indices.sort().values
        ours = torch.arange(len(theirs))
        sigma = deviation[theirs]
        first.weight[ours] = 0
        first.weight[ours, theirs, 1, 1] = 1 / sigma
        first.bias[ours] = 2 * _FLAT - mean[theirs] / sigma
        refine.norm.running_mean[ours] = 2 * _FLAT  # type: ignore[index]
        refine.norm.bias[ours] = _LIFT
        last.weight.zero_()
        last.weight[theirs, ours, 1, 1] = sigma
        last.bias[:] = _FLAT + 3 * deviation
        last.bias[theirs] -= _LIFT * sigma


_NOISE = 1e-6  # of a constant, which in float32 may seem to deviate by such a share of itself
_FLAT = 3.0  # hardswish is the identity from here on; x lies within three deviations of its mean
_LIFT = 1.0  # ELU is, from 0 on: for five of six values; more would make H a map of large constants
