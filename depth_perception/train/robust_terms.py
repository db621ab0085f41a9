"""The loss terms that S2 adds to S1's (claim 1), of one pair: an image t and its next, t + m."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from depth_perception.losses import feature_alignment, voxel_density
from depth_perception.losses.agreement import disagreement
from depth_perception.losses.style import consistency
from depth_perception.networks.deformable import deform, inside
from depth_perception.networks.disparity import single
from depth_perception.train.depth_config import Config


class Pair(NamedTuple):
    """depth (B, 1, H, W) of t, following of t + m, canonical metres; features: F^D of t, then of t + m, (2 B, C, h, w); K (B, 3, 3);
    T_following_image (B, 4, 4). following and features are None where no term asks for them.
    """

    depth: Tensor
    following: Tensor | None
    features: Tensor | None
    K: Tensor
    T_following_image: Tensor


def alignment(networks: nn.ModuleDict, pair: Pair, image: Tensor, following: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """L_re and L_df, whose sum is L_dfa (claims 1-4). image, following: (B, 3, H, W) RGB 0..1."""
    aligned = networks["offset"](image, following)
    rebuilding = feature_alignment.reconstruction(aligned.rebuilt, networks["offset"].shrunk(image))  # type: ignore[operator]
    ours, theirs = single(pair.features).chunk(2)
    theta = aligned.theta.detached().rescaled(theirs.shape[2:])
    shown = feature_alignment.depth_features(deform(theirs, theta), ours, inside(theta), relative=config.alignment_relative)
    return rebuilding, shown


def density(pair: Pair, config: Config, *, hard: bool = False) -> Tensor:
    """L_vd (claims 5-7); hard: by claim 6's own count, a metric."""
    depth, K = _every(pair.depth, pair.K, config.density_stride)
    following, _ = _every(pair.following, pair.K, config.density_stride)
    with torch.autocast(depth.device.type, enabled=False):  # a coordinate of three digits would be in the wrong voxel
        return voxel_density.alignment(
            depth=depth, neighbour_depth=following, K=K, T_neighbour_image=pair.T_following_image, grid=config.density_grid,
            eps=config.density_eps, literal=config.density_literal, hard=hard, contrary=config.density_contrary)


def style(networks: nn.ModuleDict, rebuilt: Tensor, image: Tensor, config: Config) -> Tensor:
    """L_st (claim 9) of the image rebuilt from t + m, (B, 3, h, w)."""
    stages = slice(config.style_stages)
    with torch.no_grad():
        wanted = networks["frozen"](image)[stages]
    return consistency(rebuilt=rebuilt, rebuilt_features=networks["frozen"](rebuilt)[stages], image_features=wanted,
                       weights=config.style_weights)


@torch.no_grad()
def agreement(pair: Pair, config: Config) -> Tensor:
    """(B, 1, h, w) 0..1, at the finest of match_strides: what each pixel's photometric loss counts by the two views' depths.

    Only the next image is asked, so a pixel that it hides counts less even where the previous one shows it.
    Without gradients: depths that contradict each other more would otherwise be a way to a smaller loss.
    """
    stride = min(config.match_strides)
    depth, K = _every(pair.depth, pair.K, stride)
    following, _ = _every(pair.following, pair.K, stride)
    contrary, _ = disagreement(depth=depth, neighbour_depth=following, K=K, T_neighbour_image=pair.T_following_image)
    counted = torch.ones_like(contrary)
    if "weighted" in config.masks:
        counted = counted * (1 - contrary)
    if "agreeing" in config.masks:
        counted = counted * (contrary < config.disagreement)
    return counted


def _every(depth: Tensor, K: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Every stride-th pixel of a row and column, and its K. Not their mean: between car and street there is nothing."""
    first = stride // 2
    K = K / stride
    K[:, :2, 2] -= first / stride
    K[:, 2, 2] = 1
    return depth[..., first::stride, first::stride], K
