"""Where a training runs: one CUDA GPU for each process, or the CPU."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from depth_perception.frame import BadInput

DEVICES = ("auto", "cpu", "cuda")


def chosen(device: str) -> torch.device:
    """What fit.device asks for, for this process. "auto": a GPU where there is one for every process of this host, else the CPU.

    Under torchrun a process takes the GPU of its LOCAL_RANK. BadInput where GPUs were asked for and are missing.
    """
    processes, rank = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and gpus < processes):
        return torch.device("cpu")
    if gpus < processes:
        each = "one" if processes == 1 else f"one for each of {processes} processes"
        why = "" if torch.version.cuda else f": torch {torch.__version__} was built without CUDA"
        raise BadInput(f"fit.device: wanted a CUDA GPU, {each}, torch finds {gpus}{why}")
    return torch.device("cuda", rank)


def home(network: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU when it has none."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def onto(device: torch.device, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch on a device; from page-locked memory the GPU copies while the CPU goes on."""
    return {name: x.to(device, non_blocking=True) for name, x in batch.items()}
