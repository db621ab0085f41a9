"""Networks whose training passes are compiled, for a GPU that waits for Python more than it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from depth_perception.frame import BadInput


@contextmanager
def compiled(networks: nn.ModuleDict) -> Iterator[None]:
    """Inside, what learns is compiled on its first training passes (a minute or so); evaluation and the weights' names stay as they are."""
    learning = [network for network in networks.values() if any(parameter.requires_grad for parameter in network.parameters())]
    try:
        for network in learning:
            network.forward = _forward(network)
        yield
    finally:
        for network in learning:
            network.__dict__.pop("forward", None)


def _forward(network: nn.Module) -> Callable[..., Any]:
    plain = network.forward
    fast = torch.compile(plain)

    def forward(*inputs: Any) -> Any:
        if not network.training:
            return plain(*inputs)
        try:
            return fast(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise BadInput(f"fit.compile: torch.compile cannot compile {type(network).__name__} on this machine ({reason}); "
                           "leave it off") from error

    return forward
