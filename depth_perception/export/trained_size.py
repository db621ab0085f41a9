"""A pose network behind another input size: it looks at the images in the size it was trained with.

A depth network of convolutions answers by the pixels that a thing covers and may be given more of them. A pose network cannot: how many
pixels things shift when the camera turns depends on the focal length in pixels, and it knows one only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AtTrainedSize(nn.Module):
    """Shrinks (or enlarges) the images to the trained size, and hands translations on in canonical metres of the given size.

    Canonical metres become metres by the focal length in pixels of the input (`network_input.focal_ratio`), which grows with the height;
    the same translation is therefore fewer canonical metres on a higher input. Rotations are angles at any size.
    """

    def __init__(self, network: nn.Module, *, trained: tuple[int, int], given: tuple[int, int]) -> None:
        """trained, given: (height, width)."""
        super().__init__()
        self.network, self.trained = network, trained
        self.register_buffer("units", torch.tensor([1.0] * 3 + [trained[0] / given[0]] * 3), persistent=False)

    def forward(self, *images: Tensor) -> Tensor:
        """(B, 3, H, W) each, 0..1 -> (B, 6) or (B, 2, 6) axis-angle and translation, as the network itself."""
        return self.network(*(self._sized(image) for image in images)) * self.units

    def _sized(self, image: Tensor) -> Tensor:
        return F.interpolate(image, size=self.trained, mode="bilinear", align_corners=False)
