"""Where two views' depths contradict each other something moved, is hidden, or is wrong: a mask for the photometric loss.

For the moving objects that S2 is about; the measure is that of SC-Depth (Bian et al. 2019).
"""

from __future__ import annotations

from torch import Tensor

from depth_perception.losses.motion import move
from depth_perception.losses.reconstruction import inverse_warp, points


def disagreement(*, depth: Tensor, neighbour_depth: Tensor, K: Tensor, T_neighbour_image: Tensor) -> tuple[Tensor, Tensor]:
    """|z - z'| / (z + z'): z the depth that a pixel's point has in the neighbour, z' what the neighbour's own depth says there.

    depth, neighbour_depth (B, 1, H, W), K (B, 3, 3), T_neighbour_image (B, 4, 4) -> (B, 1, H, W) in 0..1, and bool: false where the
    neighbour does not see the pixel (it is 0 there: nothing contradicts).
    """
    own, inside = inverse_warp(neighbour=neighbour_depth, depth=depth, K=K, T_neighbour_image=T_neighbour_image)
    moved = move(T_neighbour_image, points(depth, K))[:, 2:].view_as(depth)
    contrary = (moved - own).abs() / (moved.abs() + own)
    return contrary * inside, inside
