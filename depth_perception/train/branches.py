"""The two branches of S4-a: labelled images go through the first, real ones through the second."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from depth_perception.networks.markings import MarkingNet

Answer = tuple[Tensor, Tensor]  # logits and the target layer's outcome


class Branches:
    """mode: "siamese", "copy" or "source"; statistics: "target" or "joint" (train.markings_config).

    Batch norm's running statistics are what the network drives by. With "target" they come from the second branch's images alone; each
    branch then normalises by its own batch. With "joint" siamese branches are one batch; those of "copy" are two networks.
    """

    def __init__(self, *, mode: str, statistics: str) -> None:
        self.mode, self.statistics = mode, statistics
        self._second: MarkingNet | None = None

    def __call__(self, network: MarkingNet, source: Tensor, target: Tensor | None) -> tuple[Answer, Answer | None]:
        """What both branches answer; None for the second where there is no target."""
        if target is None:
            return network.with_target(source), None
        if not network.training or (self.statistics == "joint" and self.mode == "siamese"):
            logits, features = network.with_target(torch.cat([source, target]))
            n = len(source)
            return (logits[:n], features[:n]), (logits[n:], features[n:])
        with _frozen_statistics(network) if self.statistics == "target" else _as_it_is():
            first = network.with_target(source)
        return first, network.with_target(target) if self.mode == "siamese" else self._copied(network, target)

    @torch.no_grad()
    def _copied(self, network: MarkingNet, target: Tensor) -> Answer:
        """S4-d: the second branch takes the first one's weights; what it sees of the target's statistics goes back where they drive."""
        if self._second is None or next(self._second.parameters()).device != target.device:
            self._second = copy.deepcopy(network).requires_grad_(False)
        self._second.load_state_dict(network.state_dict())
        answer = self._second.with_target(target)
        for ours, theirs in zip(network.buffers(), self._second.buffers(), strict=True) if self.statistics == "target" else ():
            ours.data.copy_(theirs)  # behind autograd's back: the first branch's backward pass does not need them
        return answer


@contextmanager
def _frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm normalises by its batch, as in training, but keeps nothing of it."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield
