"""How well the image of a target finds the same target's cloud (S3 claims 8, 9, as a test)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception.networks.placed import metres
from depth_perception.samples.bev_batches import Layout, held_out
from depth_perception.samples.bev_frames import BevFrame
from depth_perception.train.device import home, onto


def embedded(networks: nn.ModuleDict, data: dict[str, Tensor], *, literal: bool = False, blank: bool = False
             ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, M, E) image targets, (B, M, E) cloud targets, the depth distribution, and the cloud's map of a batch.

    literal: only the features at target points are lifted, as the text has it. blank: the image shows nothing.
    """
    image, cloud = networks["bev_image"], networks["bev_cloud"]
    content, depth = image.seen(torch.full_like(data["image"], 0.5) if blank else data["image"])  # type: ignore[operator]
    if literal:
        content = content * data["at_targets"]
    above = image.lifted(content, depth, data["polar"], data.get("heights"))  # type: ignore[operator]
    ours = image.embedded(content, depth, above, at_pixel=data["at_pixel"], at_image=data["at_image"], ray=data["ray"])  # type: ignore[operator]
    from_cloud = cloud(data["pillars"] * (1 - data["hidden"]) if "hidden" in data else data["pillars"])
    theirs = cloud.embedded(from_cloud, data["at_cloud"])  # type: ignore[operator]
    return ours, theirs, depth, from_cloud


@torch.no_grad()
def retrieval(networks: nn.ModuleDict, frames: Sequence[BevFrame], layout: Layout, *, candidates: int = 256, apart_m: float = 1.0,
              most: int = 32, least: int = 2, turned: tuple[float, float] = (0.0, 0.0), literal: bool = False, blank: bool = False
              ) -> dict[str, float]:
    """Image target -> which of the frame's cloud targets is its own, by cosine.

    Args:
        candidates: targets per frame, any two at least `apart_m` metres apart; frames with fewer than `least` are left out.
        most: frames, spread evenly. turned: degrees and metres of `samples.bev_batches.held_out`: what positions tell is then false.
    Returns:
        {"top1", "top5": share of the targets, "nearest": share whose own cloud is the one that lies nearest, what exact places alone find,
        "chance": of the first at random, "candidates": mean per frame, "frames"}; NaN without any.
    """
    top1, top5, nearest, counts = 0, 0, 0, []
    for made in held_out(frames, layout, most=most, batch=1, pairs=candidates, apart_m=apart_m, turned=turned):
        data = onto(home(networks), made)
        real = data["target"][0] >= 0
        if int(real.sum()) < max(least, 2):
            continue
        ours, theirs, *_ = embedded(networks, data, literal=literal, blank=blank)
        alike = F.normalize(ours[0, real], dim=1) @ F.normalize(theirs[0, real], dim=1).T
        rank = (alike > alike.diagonal()[:, None]).sum(1)
        top1, top5 = top1 + int((rank == 0).sum()), top5 + int((rank < 5).sum())
        away = torch.cdist(metres(data["at_image"][0, real], layout.grid), metres(data["at_cloud"][0, real], layout.grid))
        nearest += int((away <= away.diagonal()[:, None]).sum(1).eq(1).sum())
        counts.append(int(real.sum()))
    total = sum(counts)
    if not total:
        nan = float("nan")
        return {"top1": nan, "top5": nan, "nearest": nan, "chance": nan, "candidates": 0.0, "frames": 0}
    return {"top1": top1 / total, "top5": top5 / total, "nearest": nearest / total, "chance": len(counts) / total,
            "candidates": total / len(counts), "frames": len(counts)}
