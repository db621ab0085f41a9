"""What drives on when a GPU fails on the way: the same frame is asked of the next best, which was proven before the drive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from depth_perception.engine import onnx_runtime, selection
from depth_perception.engine.preparation import OnDevice, Prepare
from depth_perception.engine.selection import LADDERS, WORDS, Proven, sentence
from depth_perception.engine.tensorrt_runtime import TensorRT
from depth_perception.frame import BadInput
from depth_perception.model import Model


class Failover:
    """Called as its engine is. One that raises is let go for good, and the call is answered by the next of those that stand by.

    What a caller did wrong (another name or shape of an input) is BadInput and costs no engine.

    Args:
        first: what drives.
        standby: what may drive later, best first, each proven.
        missing: a sentence for each better one of these that cannot stand by.
    Attributes:
        now: what drives now. `now.fell_back` also says what failed on the way.
        missing: as given.
    """

    def __init__(self, first: Proven, standby: tuple[Proven, ...] = (), missing: tuple[str, ...] = ()) -> None:
        self.now, self.missing = first, missing
        self._standby = list(standby)

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """float32 NCHW arrays by input name -> float32 arrays by output name."""
        self._check(arrays)
        while True:
            try:
                return self.now(**arrays)
            except Exception as error:
                if not self._standby:
                    raise
                self._step_down(sentence(error))

    @property
    def inputs(self) -> dict[str, list[int]]:
        """Name -> shape: whether a pose network is asked about a pair or a triplet."""
        return self.now.inputs

    @property
    def outputs(self) -> dict[str, list[int]]:
        """Name -> shape."""
        return self.now.outputs

    def _step_down(self, why: str) -> None:
        after = self._standby.pop(0)
        # Let go at once: what it holds of the GPU is freed, and where even that fails nobody waits for it.
        self.now = replace(after, fell_back=(*self.now.fell_back, f"fell back to {WORDS[after.device]} while driving: {why}"))

    def _check(self, arrays: dict[str, np.ndarray]) -> None:
        wanted = self.inputs
        if arrays.keys() != wanted.keys():
            raise BadInput(f"engine: wanted inputs {sorted(wanted)}, got {sorted(arrays)}")
        for name, array in arrays.items():
            if list(array.shape) != list(wanted[name]):
                raise BadInput(f"engine input {name}: wanted shape {tuple(wanted[name])}, got {array.shape}")


def load(model: Model, network: str, *, threads: int = 2, **options: Any) -> Failover:
    """`selection.load`, whose options these are, and everything below it that this machine has, loaded and proven too.

    On a car without a GPU that is nothing.
    """
    first = selection.load(model, network, threads=threads, **options)
    standby, missing = [], []
    for rung in _below(first.device):
        try:
            standby.append(selection.only(model, network, rung, threads=threads))
        except Exception as error:
            missing.append(f"{WORDS[rung]} cannot stand by for {network}: {sentence(error)}")
    return Failover(first, tuple(standby), tuple(missing))


def _below(device: str) -> list[str]:
    ladder = LADDERS["auto"]
    below = ladder[ladder.index(device) + 1 :]
    return [rung for rung in below if rung != "cuda" or "CUDAExecutionProvider" in onnx_runtime.providers()]


class Preparation:
    """Who prepares camera images: the GPU while TensorRT runs a network, else the CPU; and the CPU for good once the GPU has failed.

    Args:
        engine: the network that looks first; where it runs decides.
        plain: the CPU's way; see `preparation.OnDevice`.
    Attributes:
        missing: why the GPU does not prepare although TensorRT runs; empty: it does, or nobody wants it to.
        fell_back: a sentence once it has failed while driving.
    """

    def __init__(self, engine: Failover, plain: Prepare, *, height: int, width: int) -> None:
        self._engine, self._plain = engine, plain
        self._on_device: OnDevice | None = None
        self.missing: tuple[str, ...] = ()
        self.fell_back: tuple[str, ...] = ()
        running = engine.now.engine
        if isinstance(running, TensorRT):
            try:
                self._on_device = OnDevice(plain, height=height, width=width, dtype=next(iter(running.input_types.values())))
            except Exception as error:
                self.missing = (f"the CPU prepares images: {sentence(error)}",)

    @property
    def name(self) -> str:
        """GPU or CPU."""
        return "CPU" if self._on_device is None else "GPU"

    def __call__(self, image: np.ndarray, *, height: int, width: int) -> Any:
        """(H, W, 3) uint8 -> (1, 3, height, width), an array or a DeviceImage."""
        if self._on_device is not None and self._engine.now.device != "tensorrt":
            self._on_device = None  # nobody would look at it there
        if self._on_device is not None:
            try:
                return self._on_device(image)
            except Exception as error:
                self.fell_back = (f"fell back to preparing images on the CPU while driving: {sentence(error)}",)
                self._on_device = None
        return self._plain(image, height=height, width=width)
