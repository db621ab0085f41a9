"""A depth network's encoder as it was, to compare images by their features (S2 claim 9)."""

from __future__ import annotations

import copy

from torch import Tensor, nn


class FrozenEncoder(nn.Module):
    """A copy of a depth network that never learns and is always in evaluation mode; gradients pass through it to its input.

    The text's frozen network is VGG in the literature it follows (Johnson et al. 2016); its weights are not at hand [recon].
    """

    def __init__(self, depth: nn.Module) -> None:
        super().__init__()
        self.depth = copy.deepcopy(depth).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenEncoder:
        """Stays in evaluation mode: its batch norms do not follow the training."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) RGB 0..1 -> the encoder's outputs, stage i at 1 / 2^(i+1)."""
        return self.depth.encoded(image)  # type: ignore[operator]
