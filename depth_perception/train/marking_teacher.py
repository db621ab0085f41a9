"""The teacher that names the target's pixels: an exponential mean of the network's own weights (Tarvainen & Valpola 2017)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from depth_perception.networks.markings import MarkingNet


def new_teacher(network: MarkingNet) -> MarkingNet:
    """What the network is now; nothing of it is ever trained."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(teacher: MarkingNet, network: MarkingNet, *, step: int, momentum: float) -> None:
    """Moves the teacher's weights and statistics towards the network's; in the first steps it is their plain mean."""
    share = 1 - min(momentum, step / (step + 1))
    torch._foreach_lerp_(list(teacher.parameters()), list(network.parameters()), share)
    for mine, theirs in zip(teacher.buffers(), network.buffers(), strict=True):
        mine.lerp_(theirs, share) if mine.is_floating_point() else mine.copy_(theirs)


@torch.no_grad()
def asked(teacher: MarkingNet, image: Tensor) -> Tensor:
    """(B, 3, H, W) -> logits (B, classes, H/2, W/2), by the statistics that it would drive by."""
    training = teacher.training
    teacher.eval()
    logits = teacher(image)
    teacher.train(training)
    return logits
