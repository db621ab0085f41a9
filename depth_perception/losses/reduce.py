"""Means over a batch of which this process may hold only a share.

Alone, `mean` is the plain mean. Where training runs in several processes (`over`), it is this process's share of the joint batch's
mean: the shares of all processes add up to it, and so do their gradients, however differently many pixels count in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_total: ContextVar[Callable[[Tensor], Tensor]] = ContextVar("total", default=lambda count: count)


@contextmanager
def over(total: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Means inside the block are shares of joint ones. total: a process's count, a scalar -> the sum of all processes'."""
    token = _total.set(total)
    try:
        yield
    finally:
        _total.reset(token)


def mean(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """The mean of all values, or of those where `counted` (bool, same shape) is true; 0 where nothing counts. A scalar.

    Every mean over a batch goes through here, the same number of times in every process; means within one sample need not.
    """
    if counted is None:
        count = torch.full((), values.numel(), device=values.device)
        return values.mean() * (count.double() / _total.get()(count)).to(values.dtype)
    return torch.where(counted, values, torch.zeros_like(values)).sum() / _total.get()(counted.sum()).clamp(min=1)


def weighted(values: Tensor, weight: Tensor) -> Tensor:
    """sum w x / sum w, of two tensors of one shape, w >= 0 and without a gradient; 0 where all weights are. A scalar."""
    return (values * weight).sum() / _total.get()(weight.sum()).clamp(min=1e-6)
