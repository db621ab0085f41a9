"""The terms of `train markings` (S4-b, S4-c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.losses.discrepancy import discrepancy
from depth_perception.losses.lovasz import lovasz_softmax
from depth_perception.samples.markings import IGNORE
from depth_perception.train.branches import Branches
from depth_perception.train.marking_teacher import asked, follow
from depth_perception.train.markings_config import Config


def terms(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config, *, step: int, branches: Branches, weights: Tensor,
          seed: int = 0) -> dict[str, Tensor]:
    """The weighted terms of one batch.

    networks: "markings", and "teacher" where the configuration has one (train.marking_teacher). data: `samples.markings.MarkingBatches`.
    weights: (classes,) of cross-entropy. The pixels that L_MMD compares depend on seed, step and device.
    """
    if config.teacher and networks.training:
        follow(networks["teacher"], networks["markings"], step=step, momentum=config.teacher)  # type: ignore[arg-type]
    target = None if config.mode == "source" else data["target"]
    (logits, features), second = branches(networks["markings"], data["image"], target)  # type: ignore[arg-type]
    labels = data["labels"]
    large = F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
    out = {"cross_entropy": F.cross_entropy(large, labels, weight=weights.to(large), ignore_index=IGNORE)}
    if config.lovasz:
        # Every other pixel of each row and column: sorting all of them would be most of the step.
        out["lovasz"] = config.lovasz * lovasz_softmax(large[:, :, ::2, ::2].softmax(1), labels[:, ::2, ::2], ignore=IGNORE)
    if second is None:
        return out
    answered, theirs = second
    if config.mmd:
        generator = torch.Generator(features.device).manual_seed(seed * 1_000_003 + step)
        small = labels[:, ::2, ::2]
        ours = chosen(features, paint=(small > 0) & (small != IGNORE), count=config.pixels, balanced=config.balanced, generator=generator)
        others = chosen(theirs, paint=answered.detach().argmax(1) > 0, count=config.pixels, balanced=config.balanced, generator=generator)
        pairs = [(torch.cat(ours), torch.cat(others))] if not config.apart else list(zip(ours, others, strict=True))
        # An early network may hold nothing of the target for paint.
        distances = [discrepancy(a, b) for a, b in pairs if min(len(a), len(b)) > 1]
        out["mmd"] = config.mmd_at(step) * torch.stack(distances).mean()
    if config.mode != "copy" and (config.entropy or config.pseudo):
        probabilities = answered.softmax(1)
        if config.entropy:
            out["entropy"] = -config.entropy * config.climbed(step) * (probabilities * probabilities.clamp_min(1e-6).log()).sum(1).mean()
        if config.pseudo:
            if config.teacher:
                probabilities = asked(networks["teacher"], data.get("plain", data["target"])).softmax(1)  # type: ignore[arg-type]
            names = named(probabilities.detach(), sure=config.sure, surest=config.surest)
            loss = F.cross_entropy(answered, names, weight=weights.to(answered), ignore_index=IGNORE, reduction="sum")
            out["pseudo"] = config.pseudo * config.climbed(step) * loss / names.numel()
    return out


def named(probabilities: Tensor, *, sure: float, surest: float) -> Tensor:
    """(B, classes, h, w) -> (B, h, w) int64 likeliest classes, IGNORE where that is too unsure: of no more than `sure`, or, with `surest`
    above 0, not among this share of the pixels of its class.

    One probability for all classes keeps nearly all background and hardly any paint, and teaches that there is none (Zou et al. 2018).
    """
    best, names = probabilities.max(1)
    keep = best > sure
    if surest:
        keep = torch.zeros_like(keep)
        for name in names.unique():
            own = names == name
            keep |= own & (best >= best[own].float().quantile(1 - surest))
    return torch.where(keep, names, torch.full_like(names, IGNORE))


def chosen(features: Tensor, *, paint: Tensor, count: int, balanced: bool, generator: torch.Generator) -> list[Tensor]:
    """[(n, C)] features of random pixels, `count` where there are as many, each once; balanced: [of paint, of the rest], half of each.

    Each once, for a pixel that met itself would have a kernel of 1, and the unbiased estimate would not be unbiased.

    features: (B, C, h, w); paint: (B, h, w) bool. generator: on their device.
    """
    flat = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    keys = torch.rand(len(flat), generator=generator, device=flat.device)
    if not balanced:
        return [flat[keys.topk(min(count, len(flat)))[1]]]
    is_paint = paint.reshape(-1)
    painted = int(is_paint.sum())
    bare = len(flat) - painted
    shares = (count // 2, count - count // 2) if painted and bare else (count, count)
    # Keys are 0..1: what is not of the group comes last, and is not reached.
    return [flat[keys.masked_fill(~group, -1.0).topk(min(n, size))[1]]
            for group, n, size in ((is_paint, shares[0], painted), (~is_paint, shares[1], bare))]
