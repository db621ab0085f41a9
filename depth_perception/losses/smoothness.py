"""Depth should be smooth where the image is (S1 claim 5, S2 claim 10)."""

from __future__ import annotations

from torch import Tensor

from depth_perception.losses.reduce import mean


def edge_aware(depth: Tensor, image: Tensor, *, normalised: bool = True) -> Tensor:
    """|dx d*| e^-|dx I| + |dy d*| e^-|dy I|, d* the mean-normalised disparity: the default form. A scalar.

    depth (B, 1, H, W), image (B, C, H, W) of the same size. normalised=False: d* the inverse depth as it is, S2 claim 10 literally.
    Trap: that one is smallest for a world far away, which learning without a scale is free to answer.
    """
    disparity = 1 / depth
    if normalised:
        disparity = disparity / disparity.mean((2, 3), keepdim=True)
    dx, dy = _gradients(disparity)
    ix, iy = _gradients(image)
    return mean(dx * (-ix.mean(1, keepdim=True)).exp()) + mean(dy * (-iy.mean(1, keepdim=True)).exp())


def literal(depth: Tensor, *, relative: bool = False) -> Tensor:
    """|dx d| + |dy d| per pixel, over d if `relative` (the formula of claim 5 is lost [recon]).

    Forward differences, zero in the last column or row. (B, 1, H, W) -> (B, 1, H, W).
    """
    dx, dy = _gradients(depth)
    out = depth.new_zeros(depth.shape)
    out[..., :, :-1] += dx
    out[..., :-1, :] += dy
    return out / depth if relative else out


def _gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    return (x[..., :, 1:] - x[..., :, :-1]).abs(), (x[..., 1:, :] - x[..., :-1, :]).abs()
