"""Networks whose training passes are compiled, for a GPU that waits for Python more than it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from depth_perception.frame import BadInput

# The method that does a network's work, the first of these that it has: what else it answers comes from that one.
_PASSES = ("with_stages", "bridged", "forward")


@contextmanager
def compiled(networks: nn.ModuleDict) -> Iterator[None]:
    """Inside, what learns is compiled on its first training passes (a minute or so); evaluation and the weights' names stay as they are."""
    learning = [network for network in networks.values() if any(parameter.requires_grad for parameter in network.parameters())]
    passes = [(network, next(name for name in _PASSES if hasattr(network, name))) for network in learning]
    try:
        for network, name in passes:
            plain = getattr(network, name)
            setattr(network, name, _when_training(network, plain, compiled_pass(network, plain)))
        yield
    finally:
        for network, name in passes:
            network.__dict__.pop(name, None)


def compiled_pass(network: nn.Module, plain: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a network, compiled when it is first called; BadInput where this machine cannot."""
    fast = torch.compile(plain)

    def run(*inputs: Any) -> Any:
        try:
            return fast(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise BadInput(f"fit.compile: torch.compile cannot compile {type(network).__name__} on this machine ({reason}); "
                           "leave it off") from error

    return run


def _when_training(network: nn.Module, plain: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    def choose(*inputs: Any) -> Any:
        return (fast if network.training else plain)(*inputs)

    return choose
