"""Function approximation: a student's stages and disparities against a teacher's (S5 eq. 18, [0131])."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from depth_perception.losses import reduce

DISPARITIES = ("sigmoid", "log_depth")


def stages(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """sum_i |X_i - H_i|, the mean of each stage's elements [recon]: the text's norm has no index. A scalar.

    Two lists of (B, C_i, H_i, W_i) of the same shapes.
    """
    return torch.stack([_difference(x, h) for x, h in zip(ours, theirs, strict=True)]).sum()


def disparities(ours: Sequence[Tensor], theirs: Sequence[Tensor], *, min_depth: float, max_depth: float, form: str = "sigmoid") -> Tensor:
    """sum_j |X_j - Z_j| over the scales, the mean of each. A scalar. Two lists of depths (B, 1, H_j, W_j), canonical metres.

    form: "sigmoid" is the text's: its disparity is what the sigmoid of F_disp answers (claim 7, [0117]), here
    (1/z - 1/max) / (1/min - 1/max), 0..1. "log_depth" compares log z instead: with depths from 0.1 m, all of a street lies below a sigmoid
    of 0.03, and what is far counts nothing there.
    """
    if form == "log_depth":
        return stages([x.float().log() for x in ours], [z.float().log() for z in theirs])
    span = 1 / min_depth - 1 / max_depth
    return stages([1 / x.float() / span for x in ours], [1 / z.float() / span for z in theirs])


def _difference(x: Tensor, h: Tensor) -> Tensor:
    return reduce.mean((x.float() - h.float()).abs())
