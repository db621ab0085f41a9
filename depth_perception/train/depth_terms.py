"""The loss terms of `train depth` (S1 claim 5; with those of S2): one batch and the networks in, weighted terms out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.losses import distance, photometric, reduce, smoothness, static_mask
from depth_perception.losses.motion import inverse, motion
from depth_perception.losses.reconstruction import inverse_warp
from depth_perception.train import robust_terms
from depth_perception.train.depth_config import Config
from depth_perception.train.robust_terms import Pair


def terms(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weighted terms of one batch (samples.Batches). Everything runs in canonical metres, images and motion alike."""
    ratio = (data["K"][:, 1, 1] / config.canonical_focal_px).view(-1, 1, 1, 1)
    truth = data["depth"] / ratio
    depths, following, features = _depths(networks["depth"], data, config)
    if "target" not in data:
        return {"distance": config.distance * _distance(depths, truth, data["K"], config)}

    B, N = data["neighbours"].shape[:2]
    T = motions(networks["pose"], data["image"], data["neighbours"], form=config.pose.form)
    pair = Pair(depths[0], following, features, data["K"], T.view(B, N, 4, 4)[:, 1])
    measured = data["motions"].flatten(0, 1).clone()
    measured[:, :3, 3] /= ratio.view(-1, 1).repeat_interleave(N, 0)
    out = {}
    if config.distance:
        previous = {"predicted": T.view(B, N, 4, 4)[:, 0], "measured_motion": measured.view(B, N, 4, 4)[:, 0]}
        out["distance"] = config.distance * _distance(depths, truth, data["K"], config, previous)
    if config.motion:
        carried = distance.carried(truth.repeat_interleave(N, 0), data["K"].repeat_interleave(N, 0), predicted=T, measured_motion=measured)
        out["motion"] = config.motion * carried
    if config.velocity:
        out["velocity"] = config.velocity * distance.travelled(T, (data["travelled"] / ratio.view(-1, 1)).flatten())
    agreement = robust_terms.agreement(pair, config) if config.match and config.needs_agreement else None
    matches = []
    for stride in config.match_strides:
        finest = stride == min(config.match_strides)
        if not config.match and not finest:
            continue
        target, others, K, depth = _smaller(data, depths[0], stride)
        if config.match or config.style:
            rebuilt, inside = _rebuilt(networks, depth, others, K, T, config)
        if config.match:
            matches.append(_match(rebuilt, inside, target, others, agreement, config))
        if finest:
            out["smooth"] = config.smooth * _smooth(depth, target, config)
            if config.style:
                shown = torch.where(inside, rebuilt, target.repeat_interleave(N, 0)).unflatten(0, (B, N))[:, 1]
                out["style"] = config.style * robust_terms.style(networks, shown, target, config)
    if config.match:
        out["match"] = config.match * torch.stack(matches).mean()
    if config.alignment:
        offsets, features_loss = robust_terms.alignment(networks, pair, data["target"], data["others"][:, 1], config)
        out |= {"offsets": config.alignment * offsets, "features": config.alignment * features_loss}
    if config.density:
        out["density"] = config.density * robust_terms.density(pair, config)
    return out


def _depths(network: nn.Module, data: dict[str, Tensor], config: Config) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
    """Depths of the images, finest first; of the next ones the finest, and F^D of both (2 B, C, h, w), where a term asks for them.

    Where both learn they go through the network at once, so that batch norm sees them alike.
    """
    if "target" not in data or not config.needs_following:
        return network(data["image"]), None, None
    if config.both_learn and (config.alignment or config.density):
        depths, features = _seen(network, _both(data), config)
        B = len(data["image"])
        return [depth[:B] for depth in depths], depths[0][B:], features
    depths, ours = _seen(network, data["image"], config)
    with torch.no_grad():
        following, theirs = _seen(network, data["neighbours"][:, 1].contiguous(memory_format=torch.channels_last), config)
    return depths, following[0], None if ours is None or theirs is None else torch.cat([ours, theirs])


def _seen(network: nn.Module, image: Tensor, config: Config) -> tuple[list[Tensor], Tensor | None]:
    if not config.alignment:
        return network(image), None
    depths, encoded = network.with_features(image)  # type: ignore[operator]
    return depths, encoded[config.alignment_stage]


def _both(data: dict[str, Tensor]) -> Tensor:
    return torch.cat([data["image"], data["neighbours"][:, 1]]).contiguous(memory_format=torch.channels_last)


def pair_of(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config) -> Pair:
    """The images of a batch and their next ones, with both depths, whatever the terms ask for."""
    depth, following = networks["depth"](_both(data))[0].chunk(2)
    T = motions(networks["pose"], data["image"], data["neighbours"], form=config.pose.form).unflatten(0, (-1, 2))[:, 1]
    return Pair(depth, following, None, data["K"], T)


def motions(pose: nn.Module, image: Tensor, neighbours: Tensor, *, form: str = "pair") -> Tensor:
    """(B, 3, H, W) and its (B, 2, 3, H, W) previous and next images -> (2 B, 4, 4) T_neighbour_image.

    The network always sees the earlier image first, as when driving; asked both ways round it would first have to learn to tell
    forward from backward. The motion to the previous image is the inverse of what it says. A triplet is the three in a row, and both
    of its answers are used.
    """
    previous, following = neighbours.unbind(1)
    if form == "triplet":
        T_image_previous, T_following_image = motion(pose(previous, image, following).transpose(0, 1).flatten(0, 1)).chunk(2)
    else:
        T_image_previous, T_following_image = motion(pose(torch.cat([previous, image]), torch.cat([image, following]))).chunk(2)
    return torch.stack([inverse(T_image_previous), T_following_image], 1).flatten(0, 1)


def _rebuilt(networks: nn.ModuleDict, depth: Tensor, others: Tensor, K: Tensor, T: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """The image from each of its N neighbours: (B N, 3, h, w), and (B N, 1, h, w) bool."""
    N = others.shape[1]
    neighbour, depths = others.flatten(0, 1), depth.repeat_interleave(N, 0)
    rebuilt, inside = inverse_warp(neighbour=neighbour, depth=depths, K=K.repeat_interleave(N, 0), T_neighbour_image=T)
    if config.reconstruction == "residual":
        rebuilt = networks["residual"](rebuilt, neighbour, depths, T)
    return rebuilt, inside


def _match(rebuilt: Tensor, inside: Tensor, target: Tensor, others: Tensor, agreement: Tensor | None, config: Config) -> Tensor:
    """M . L_match: the best of the neighbours' reconstructions per pixel, where any sees it and the mask counts it."""
    B, N = others.shape[:2]
    loss = _likeness(rebuilt, target.repeat_interleave(N, 0), config)
    loss = torch.where(inside, loss, torch.full_like(loss, 10.0)).view(B, N, *loss.shape[2:])
    seen = inside.view(B, N, *loss.shape[2:]).any(1, keepdim=True)
    counts = seen & _mask(loss, target, others, config)
    least = loss.amin(1, keepdim=True)
    if agreement is not None:
        return reduce.weighted(least, counts * F.adaptive_avg_pool2d(agreement, counts.shape[2:]))
    return reduce.mean(least, counts)


def _likeness(a: Tensor, b: Tensor, config: Config) -> Tensor:
    return photometric.difference(a, b) if config.match_mode == "difference" else photometric.matching(a, b, alpha=config.alpha)


def _smooth(depth: Tensor, image: Tensor, config: Config) -> Tensor:
    if config.smooth_mode == "edge_aware":
        return smoothness.edge_aware(depth, image)
    if config.smooth_mode == "inverse_depth":
        return smoothness.edge_aware(depth, image, normalised=False)
    return reduce.mean(smoothness.literal(depth, relative=config.smooth_mode == "literal_relative"))


def _distance(depths: list[Tensor], truth: Tensor, K: Tensor, config: Config, pair: dict[str, Tensor] | None = None) -> Tensor:
    """L_dist of the finest depth, plus the coarser ones' at the truth's pixels. pair: motions to the previous image."""
    total = _one_distance(depths[0], truth, K, config, pair)
    for coarse in depths[1:]:
        total = total + config.coarse * _one_distance(F.interpolate(coarse, truth.shape[2:], mode="nearest"), truth, K, config, pair)
    return total


def _one_distance(estimate: Tensor, truth: Tensor, K: Tensor, config: Config, pair: dict[str, Tensor] | None) -> Tensor:
    how = {"reduction": config.distance_reduction}
    if config.distance_mode == "camera3d":
        return distance.camera3d(estimate, truth, K, None if pair is None else pair["predicted"], **how)
    if config.distance_mode == "reprojected" and pair is not None:
        return distance.reprojected(estimate, truth, K, pair["predicted"], **how)
    if config.distance_mode == "posed" and pair is not None:
        return distance.posed(estimate, truth, K, **pair, **how)
    if config.distance_as == "range":  # points and projections are the same either way
        estimate, truth = distance.range_from_z(estimate, K), distance.range_from_z(truth, K)
    if config.distance_mode == "signed":
        return distance.signed(estimate, truth, **how)
    return distance.relative(estimate, truth, **how) if config.distance_mode == "relative" else distance.depth(estimate, truth, **how)


def _smaller(data: dict[str, Tensor], depth: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target, neighbours, K and depth at 1 / stride of the size."""
    target, others, K = data["target"], data["others"], data["K"]
    if stride == 1:
        return target, others, K, depth
    K = K / stride
    K[:, :2, 2] += 0.5 / stride - 0.5
    K[:, 2, 2] = 1
    small = F.avg_pool2d(others.flatten(0, 1), stride).unflatten(0, others.shape[:2])
    return F.avg_pool2d(target, stride), small, K, F.avg_pool2d(depth, stride)


@torch.no_grad()
def _mask(loss: Tensor, target: Tensor, others: Tensor, config: Config) -> Tensor:
    """M of claim 4, (B, 1, h, w) bool: what every part of `mask` counts."""
    counts = torch.ones_like(loss[:, :1], dtype=torch.bool)
    if "unchanged" in config.masks:
        counts = counts & static_mask.unchanged(target, others)
    if "voted" in config.masks:
        counts = counts & static_mask.voted(target, others)
    if "moved" in config.masks:
        B, N = others.shape[:2]
        still = _likeness(others.flatten(0, 1), target.repeat_interleave(N, 0), config)
        counts = counts & static_mask.moved(loss, still.view(B, N, *still.shape[2:]))
    return counts
