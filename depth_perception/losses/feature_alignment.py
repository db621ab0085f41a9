"""Depth-feature alignment of S2: L_dfa = L_df + L_re (claims 1, 3, 4). What aligned the images must align what depth is read from.

Features see through flicker, reflections and bare walls, where colours of the same point differ or colours of different points agree.
"""

from __future__ import annotations

from torch import Tensor

from depth_perception.losses.reduce import mean


def reconstruction(rebuilt: Tensor, image: Tensor) -> Tensor:
    """L_re = mean |I^_t - I_t|, I^_t rebuilt from the aligned feature of t+m (claim 3; L1 [recon]). (B, 3, H, W) twice -> a scalar."""
    return mean((rebuilt - image).abs())


def depth_features(aligned: Tensor, features: Tensor, inside: Tensor, *, relative: bool = True) -> Tensor:
    """L_df = mean |f_dc(F^D_{t+m}, theta) - F^D_t| (claim 4; norm [recon]), where the neighbour shows the place. A scalar.

    aligned, features: (B, C, H, W); inside: (B, 1, H, W) bool.
    Trap: the text's plain difference (relative=False) is smallest for features that are small or flat, and the batch norm behind them
    makes that free: the loss vanishes and says nothing. `relative` counts each channel in its own deviation over the image.
    """
    error = (aligned - features).abs()
    if relative:
        error = error / (features.var((2, 3), keepdim=True) + 1e-6).sqrt()
    return mean(error.mean(1, keepdim=True), inside)
