"""Constants made on the device in use. torch.tensor would make them on the CPU, and their copy to a GPU waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def vector(values: Sequence[float], like: Tensor) -> Tensor:
    """(N,) of the type and on the device of `like`."""
    return torch.stack([like.new_full((), value) for value in values])
