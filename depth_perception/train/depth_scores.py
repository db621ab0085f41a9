"""What held-out frames say about a depth network in training, in figures and in pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from depth_perception.samples import Drives, full_view, held_out
from depth_perception.train import metrics, pictures, robust_terms
from depth_perception.train.depth_config import Config
from depth_perception.train.depth_terms import pair_of, terms
from depth_perception.train.device import home, onto
from depth_perception.train.fit import Validation
from depth_perception.train.logbook import Logbook


def validation(networks: nn.ModuleDict, drives: Drives, config: Config, logbooks: list[Logbook]) -> Validation | None:
    """Scores of the held-out windows; None when nothing is held out.

    AbsRel, alone and median-scaled, against the LiDAR, and the photometric loss. What chooses the weights is what is learned from:
    the metric AbsRel, or the photometric loss when learning from video (the LiDAR then only watches).
    """
    if not drives.held_out:
        return None

    def scores(step: int) -> dict[str, float]:
        for logbook in logbooks:
            for place, picture in enumerate(panels(networks, drives, config, windows=drives.held_out, count=2)):
                logbook.image(f"held_out/{place}", picture, step)
        return score(networks, drives, config)

    measured = any(len(drives.drives[which].points[i]) for which, i in drives.held_out)
    return Validation(scores, "metric_abs_rel" if config.needs_scan and measured else "match")


@torch.no_grad()
def score(networks: nn.ModuleDict, drives: Drives, config: Config) -> dict[str, float]:
    """{"metric_abs_rel", "median_scaled_abs_rel", "match"} of the held-out windows, at the network's size; NaN where nothing tells.

    Where S2's voxel density is learned from, also "hard_density", the divergence of the claim's own counts (S2 claim 6).
    """
    rows: dict[str, list[float]] = {"metric_abs_rel": [], "median_scaled_abs_rel": [], "match": []}
    if config.density:
        rows["hard_density"] = []
    device = home(networks)
    for made in held_out(drives, height=config.height, width=config.width, most=config.validate_frames):
        data = onto(device, made)
        rows["match"] += [float(terms(networks, data, config.plain).get("match", 0.0))] * len(data["image"])
        if config.density:
            hard = robust_terms.density(pair_of(networks, data, config), config, hard=True)
            rows["hard_density"] += [hard.item()] * len(data["image"])
        estimates = networks["depth"](data["image"])[0][:, 0] * (data["K"][:, 1, 1] / config.canonical_focal_px).view(-1, 1, 1)
        for estimate, truth in zip(estimates.cpu().numpy(), made["depth"][:, 0].numpy(), strict=True):
            for name, scaled in (("metric_abs_rel", False), ("median_scaled_abs_rel", True)):
                errors = metrics.depth_errors(estimate, truth, median_scale=scaled)
                rows[name] += [errors["abs_rel"]] if errors else []
    return {name: round(float(np.mean(values)), 6) if values else float("nan") for name, values in rows.items()}


@torch.no_grad()
def panels(networks: nn.ModuleDict, drives: Drives, config: Config, *, windows: list[tuple[int, int]], count: int) -> Iterator[np.ndarray]:
    """Image, prediction, LiDAR and error of `count` windows, spread over them: (2 H, 2 W, 3) uint8 RGB each."""
    for place in sorted({round(k * (len(windows) - 1) / max(count - 1, 1)) for k in range(count)}):
        which, i = windows[place]
        drive = drives.drives[which]
        view = full_view(drive.images[i].shape[:2], height=config.height, width=config.width)
        image, K = view.image(drive.images[i]), view.K(drive.K)
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        estimate = networks["depth"](tensor.to(home(networks)))[0][0, 0].cpu().numpy() * K[1, 1] / config.canonical_focal_px
        yield pictures.depth(image, estimate, view.depth(drive.points[i], drive.K))
