"""The same function in fewer and faster operators: what a trained network looks like when nobody needs its gradients any more.

Every replacement is exact but for float rounding, and `export` proves it: the written file must answer like the network as trained.

- Softmax over two paths is a sigmoid of their difference: one convolution channel less, and no softmax across channels, which
  inference engines run one pixel at a time.
- A coefficient module's maps have 2 to 4 channels, but engines compute 16 at once. Four neighbouring pixels folded into channels (a
  2x2 block) fill them: the same 3x3 convolutions on a quarter of the pixels. Likewise the disparity head's single channel.
- A mean over channels is a convolution whose weights are 1/C, so it writes such blocks at once.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.networks.blocks import WeightedSum
from depth_perception.networks.disparity import DisparityHead

# Pixels of a map. Below, the folding costs more than it saves (ONNX Runtime, 1 and 2 threads).
_LEAST_PIXELS = 4096


def driving_form(network: nn.Module) -> nn.Module:
    """A copy of a network in eval mode with its two-path sums and disparity heads replaced."""
    network = copy.deepcopy(network).eval()
    _replace(network)
    return network


def _replace(parent: nn.Module) -> None:
    for name, child in list(parent.named_children()):
        if isinstance(child, WeightedSum) and child.coefficients.squ.out_channels == 2:
            parent.add_module(name, Blend(child))
        elif isinstance(child, DisparityHead):
            parent.add_module(name, BlockHead(child))
        else:
            _replace(child)


class Blend(nn.Module):
    """Theta_0 X_0 + Theta_1 X_1 of a two-path `WeightedSum` as X_1 + s (X_0 - X_1)."""

    def __init__(self, weighted: WeightedSum) -> None:
        super().__init__()
        coefficients = weighted.coefficients
        squ = coefficients.squ
        difference = nn.Conv2d(squ.in_channels, 1, 3, padding=1)
        assert squ.bias is not None and difference.bias is not None
        difference.weight.data = (squ.weight[:1] - squ.weight[1:]).detach()
        difference.bias.data = (squ.bias[:1] - squ.bias[1:]).detach()
        self.pixels = nn.ModuleList([coefficients.exp, coefficients.mid, difference])
        self.blocks = nn.ModuleList(on_blocks(conv) for conv in (coefficients.exp, coefficients.mid, difference))
        self.activation = coefficients.activation

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two maps (B, C, H, W) -> (B, C, H, W)."""
        *_, height, width = first.shape
        if height % 2 or width % 2 or height * width < _LEAST_PIXELS:
            score = self._score(self.pixels, torch.cat([first.mean(1, keepdim=True), second.mean(1, keepdim=True)], 1))
        else:
            score = F.pixel_shuffle(self._score(self.blocks, _block_means(first, 0) + _block_means(second, 1)), 2)
        return second + torch.sigmoid(score) * (first - second)

    def _score(self, convs: nn.ModuleList, means: Tensor) -> Tensor:
        exp, mid, difference = convs
        return difference(self.activation(mid(self.activation(exp(means)))))


class BlockHead(nn.Module):
    """`DisparityHead` on 2x2 blocks; 1 / (far + (near - far) sigmoid(z)) with e = exp(-z) is (1 + e) / (near + far e)."""

    def __init__(self, head: DisparityHead) -> None:
        super().__init__()
        self.head, self.near, self.far = head, head.near, head.far
        weight, bias = head.conv.weight.detach(), head.conv.bias
        assert bias is not None
        blocks = torch.zeros(4, weight.shape[1], 4, 4)
        for y in (0, 1):
            for x in (0, 1):
                blocks[2 * y + x, :, y : y + 3, x : x + 3] = weight[0]
        self.conv = nn.Conv2d(weight.shape[1], 4, 4, stride=2, padding=1)
        self.conv.weight.data, self.conv.bias.data = blocks, bias.detach().repeat(4)  # type: ignore[union-attr]

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features -> (B, 1, H, W) depth, canonical metres."""
        if features.shape[2] % 2 or features.shape[3] % 2:
            return self.head(features)
        e = torch.exp(-F.pixel_shuffle(self.conv(features).clamp(-30.0, 30.0), 2))  # beyond 30 a sigmoid is 0 or 1 in float32
        return (1 + e) / (self.near + self.far * e)


def on_blocks(conv: nn.Conv2d) -> nn.Conv2d:
    """A 3x3 convolution of padding 1 as it acts on 2x2 blocks: channel (2 y + x) C + c of a block is channel c of its pixel (y, x)."""
    weight, bias = conv.weight.detach(), conv.bias
    assert bias is not None
    c_out, c_in = weight.shape[:2]
    blocks = torch.zeros(4, c_out, 4, c_in, 3, 3)
    for y in (0, 1):
        for x in (0, 1):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    (block_y, from_y), (block_x, from_x) = divmod(y + dy, 2), divmod(x + dx, 2)
                    blocks[2 * y + x, :, 2 * from_y + from_x, :, block_y + 1, block_x + 1] = weight[:, :, dy + 1, dx + 1]
    out = nn.Conv2d(4 * c_in, 4 * c_out, 3, padding=1)
    out.weight.data, out.bias.data = blocks.reshape(4 * c_out, 4 * c_in, 3, 3), bias.detach().repeat(4)  # type: ignore[union-attr]
    return out


def _block_means(x: Tensor, path: int) -> Tensor:
    """(B, C, H, W) -> (B, 8, H / 2, W / 2): the mean over channels of each pixel of a block, in the places of one of two paths."""
    channels = int(x.shape[1])
    weight = np.zeros((8, channels, 2, 2), str(x.dtype).removeprefix("torch."))
    for y in (0, 1):
        for k in (0, 1):
            weight[4 * y + 2 * k + path, :, y, k] = 1 / channels
    return F.conv2d(x, torch.from_numpy(weight), stride=2)
