"""Several processes, one training: each holds a share of every batch, and together they take the very step of the joint batch.

A process's loss is its share of the joint one (losses.reduce), batch norms use the joint batch's statistics (`JointBatchNorm`), and
gradients are added up. torchrun starts the processes and tells them, in environment variables, where they meet.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from depth_perception.frame import BadInput
from depth_perception.losses import reduce

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of this training; alone, everything here hands back what it was given.

    rank: which of `size` this one is. local: how many of them share this host. Every process calls the same methods in the same
    order; BadInput when another one is gone, or silent for longer than the timeout.
    """

    rank: int = 0
    size: int = 1
    local: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, prints and scores."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """This process's places of so many."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add(self, values: Tensor) -> Tensor:
        """The sum over the processes, the same bits in each; without a gradient."""
        if self.size == 1:
            return values
        total = values.detach().clone(memory_format=torch.contiguous_format)
        self._meet(dist.all_reduce, total)
        return total

    def add_gradients(self, networks: nn.Module) -> None:
        """Every parameter's gradient becomes the sum over the processes."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in networks.parameters() if parameter.grad is not None]
        total = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(gradients, total.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def tell(self, make: Callable[[], T]) -> T:
        """What the first process makes, in every process; the others wait for it."""
        if self.size == 1:
            return make()
        told: list[Any] = [make() if self.first else None]
        self._meet(dist.broadcast_object_list, told)
        return told[0]

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        self._meet(dist.all_gather_object, values, value)
        return values

    @contextmanager
    def joint(self) -> Iterator[None]:
        """Means of the losses inside are shares of the joint batch's."""
        with reduce.over(self.add):
            yield

    def join(self, networks: nn.Module) -> None:
        """Gives networks the first process's weights, and batch norms the statistics of the joint batch."""
        if self.size == 1:
            return
        networks.load_state_dict(self.tell(networks.state_dict))
        for module in networks.modules():
            if isinstance(module, _BatchNorm):
                module.__class__ = JointBatchNorm
                module.world = self  # type: ignore[assignment]

    def _meet(self, collective: Callable[..., Any], *tensors: Any) -> None:
        try:
            collective(*tensors)
        except RuntimeError as error:
            reason = _first_line(error).split("] ", 1)[-1]  # without its place in somebody's source
            raise BadInput(f"training: process {self.rank} of {self.size} lost another one ({reason}); the last model and checkpoint are "
                           "as they were, --resume goes on from there") from error


class JointBatchNorm(_BatchNorm):
    """A batch norm by the joint batch's statistics; torch's SyncBatchNorm runs on GPUs alone. The state is a plain batch norm's."""

    world: World

    def _check_input_dim(self, input: Tensor) -> None:
        """Any batch will do."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C, ...)."""
        if not self.training:
            return super().forward(x)
        count, mean, var = self._moments(x.detach())
        self.num_batches_tracked.add_(1)  # type: ignore[operator]
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[operator]
        self.running_var.lerp_(var * count / (count - 1), self.momentum)  # type: ignore[operator]
        return _Normalise.apply(x, self.weight, self.bias, mean, var, count, self.eps, self.world)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The joint batch's values per channel, their means and variances."""
        mean, var = (each.double() for each in torch.batch_norm_update_stats(x.to(self.weight.dtype), None, None, 0.0))
        here = x.numel() // x.shape[1]
        # float64: the square of a mean that is far from 0 hides the variance of float32
        count, total, square = self.world.add(here * torch.stack([torch.ones_like(mean), mean, var + mean.square()]))
        mean = total / count
        return count[0], mean.to(self.weight.dtype), (square / count - mean.square()).clamp(min=0).to(self.weight.dtype)


class _Normalise(torch.autograd.Function):
    """A batch norm whose mean and variance come from all processes, and depend on every process's x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, count: Tensor, eps: float,
                world: World) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.count, ctx.eps, ctx.world = count, eps, world
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """With g = d loss / d y and x^ = (x - mean) / sigma: d x = weight / sigma (g - mean of g - x^ mean of g x^), means over all."""
        x, weight, mean, var = ctx.saved_tensors
        none = mean.new_empty(0)  # nothing saved: as if mean and variance were given
        fixed, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, var, none, none, False, ctx.eps, [True, True, True])
        joint = (ctx.world.add(torch.stack([of_weight, of_bias]).double()) / ctx.count).to(weight.dtype)
        scale = weight * (var + ctx.eps).rsqrt()
        return fixed - F.batch_norm(x, mean, var, scale * joint[0], scale * joint[1], eps=ctx.eps), of_weight, of_bias, *[None] * 5


@contextmanager
def joined(timeout_s: float) -> Iterator[World]:
    """The world that torchrun started this process in; a world of one without it.

    When a process fails, the first to notice raises its BadInput, and the others end silently (SystemExit 2): one sentence in all.
    A process that torchrun asks to end (SIGTERM) does the same. The processes leave together when all went well.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=timedelta(seconds=timeout_s)))
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"training: cannot meet the other processes ({_first_line(error)}); torchrun starts them and says where") from error
    world = World(rank, size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    signal.signal(signal.SIGTERM, _asked_to_end)
    try:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"  # what is told and gathered travels by gloo
        world._meet(lambda: dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout_s)))
        yield world
        world.gather(None) if torch.cuda.is_available() else world._meet(dist.barrier)
    except BadInput as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends anyway, and has something to say first
        if not _speaks(store):
            raise SystemExit(2) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _speaks(store: Any) -> bool:
    """Whether this is the first process to end."""
    try:
        return store.add("ended", 1) == 1
    except RuntimeError:  # the store is gone with the process that kept it
        return True


def _asked_to_end(signum: int, frame: object) -> None:
    raise BadInput("training: asked to end (SIGTERM), as when another process was killed; the last model and checkpoint are as they "
                   "were, --resume goes on from there")
