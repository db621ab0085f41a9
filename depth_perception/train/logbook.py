"""What TensorBoard shows of a training: `tensorboard --logdir OUT/tensorboard`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


class Logbook:
    """Scalars and images under `folder`; where TensorBoard is not installed it says so once and stays silent.

    step: where the run begins (a resumed one writes over what came after its checkpoint).
    """

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("no tensorboard here (pip install tensorboard): curves and pictures are in report/ only", file=sys.stderr)
        else:
            self._writer = SummaryWriter(str(folder), purge_step=step)

    def scalars(self, room: str, values: dict[str, float], step: int) -> None:
        """One number each, as room/name."""
        for name, value in values.items():
            if self._writer is not None and name != "step":
                self._writer.add_scalar(f"{room}/{name}", value, step)

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """(H, W, 3) uint8 RGB."""
        if self._writer is not None:
            self._writer.add_image(name, image, step, dataformats="HWC")

    def text(self, name: str, text: str, step: int) -> None:
        """A sentence."""
        if self._writer is not None:
            self._writer.add_text(name, text, step)

    def close(self) -> None:
        """Everything is on disk afterwards."""
        if self._writer is not None:
            self._writer.close()
