"""The proof before the drive: an engine must answer a model's stored frames as the trained network itself did."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.model import Model

# Difference that an engine may show (see `difference`).
# fp32: another sum order of float32 convolutions; what `export` allows too.
# fp16: the shipped networks show 2.7e-3 on the CPU, which sums in float32; seven times that leaves room for sums in float16.
# int8: the shipped networks with the convolutions that `export` rounds show 0.5 to 3e-2; with all of them 7e-2 and more.
BOUNDS = {"fp32": 2e-3, "fp16": 2e-2, "int8": 5e-2}
_SIZES = {"int8": "mean"}


@dataclass(frozen=True)
class Proof:
    """A self-test that was passed.

    Attributes:
        difference: the largest that was seen over the frames (see `difference`).
        bound: the difference allowed at this precision.
        frames: stored frames replayed.
        seconds: how long it took, the first and slowest calls among them.
    """

    difference: float
    bound: float
    frames: int
    seconds: float


def prove(
    run: Callable[..., Mapping[str, np.ndarray]], model: Model, network: str, *, inputs: Mapping[str, Any], precision: str = "fp32"
) -> Proof:
    """Replays the stored frames of a network through an engine. BadInput when it takes other inputs or answers otherwise.

    inputs: name -> shape, as the engine takes them.
    """
    if precision not in BOUNDS:
        raise BadInput(f"precision: wanted one of {', '.join(BOUNDS)}, got {precision!r}")
    size = [1, 3, model.height, model.width]
    for name, shape in inputs.items():
        if list(shape) != size:
            raise BadInput(f"model {model.path}: {network}.onnx takes {name} {list(shape)}, its manifest says {size}")
    started, bound, worst = time.perf_counter(), BOUNDS[precision], 0.0
    frames = stored_frames(model, network, inputs)
    for arrays, wanted in frames:
        name, got = next(iter(run(**arrays).items()))
        seen = difference(got, wanted, precision)
        if not seen <= bound:
            off = f"{network}.onnx answers {name} off by {seen:.2g} of its {_SIZES.get(precision, 'largest')} value, wanted {bound:g}"
            raise BadInput(f"model {model.path}: self-test: {off}; it is not the network that was trained")
        worst = max(worst, seen)
    return Proof(worst, bound, len(frames), time.perf_counter() - started)


def difference(got: np.ndarray, wanted: np.ndarray, precision: str) -> float:
    """How far an answer is off: its largest difference over the largest value; for int8, the mean difference over the mean value.

    Rounding to eight bits moves a depth edge by a pixel, and there the largest difference is that between its two sides, whatever else
    is right.
    """
    if got.shape != wanted.shape:
        return float("inf")
    of = np.mean if precision in _SIZES else np.max
    return float(of(np.abs(got - wanted)) / max(float(of(np.abs(wanted))), 1e-12))


def stored_frames(model: Model, network: str, inputs: Mapping[str, Any]) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Inputs by name, and the trained network's answer, of every stored frame of a network; BadInput when there is none."""
    file = model.path / "selftest.npz"
    hint = f"run `python -m depth_perception export --model {model.path}`"
    if not file.is_file():
        raise BadInput(f"model {model.path}: selftest.npz is missing; {hint}")
    try:
        with np.load(file, allow_pickle=False) as stored:
            keys = sorted(key for key in stored.files if key.startswith(f"{network}.") and key.endswith(".out"))
            frames = [({name: stored[f"{key.removesuffix('out')}in.{name}"] for name in inputs}, stored[key]) for key in keys]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"model {model.path}: selftest.npz cannot be read: {type(error).__name__}; {hint}") from error
    if not frames:
        raise BadInput(f"model {model.path}: selftest.npz has no frame of {network}; {hint}")
    return frames
