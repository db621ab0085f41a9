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
    for name, shape in inputs.items():
        says = _said_shape(model, network, name)
        if list(shape) != says:
            raise BadInput(f"model {model.path}: {network}.onnx takes {name} {list(shape)}, its manifest says {says}")
    started, bound, worst = time.perf_counter(), BOUNDS[precision], 0.0
    frames = stored_frames(model, network, inputs)
    for arrays, wanted in frames:
        got = run(**arrays)
        for name, answer in wanted.items():
            name = name or next(iter(got))
            seen = difference(got[name], answer, precision) if name in got else float("inf")
            if not seen <= bound:
                off = f"{network}.onnx answers {name} off by {seen:.2g} of its {_SIZES.get(precision, 'largest')} value, wanted {bound:g}"
                raise BadInput(f"model {model.path}: self-test: {off}; it is not the network that was trained")
            worst = max(worst, seen)
    return Proof(worst, bound, len(frames), time.perf_counter() - started)


def _said_shape(model: Model, network: str, name: str) -> list[int] | None:
    """The shape of an input by the manifest. Images are of the model's one size, whatever else it says of them."""
    says: list[int] | None = model.networks.get(network, {}).get("inputs", {}).get(name)
    is_image = says is None or (len(says) == 4 and says[1] == 3)
    return [1, 3, model.height, model.width] if is_image else says


def difference(got: np.ndarray, wanted: np.ndarray, precision: str) -> float:
    """How far an answer is off: its largest difference over the largest value; for int8, the mean difference over the mean value.

    Rounding to eight bits moves a depth edge by a pixel, and there the largest difference is that between its two sides, whatever else
    is right.
    """
    if got.shape != wanted.shape:
        return float("inf")
    of = np.mean if precision in _SIZES else np.max
    return float(of(np.abs(got - wanted)) / max(float(of(np.abs(wanted))), 1e-12))


def stored_frames(model: Model, network: str, inputs: Mapping[str, Any]) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Inputs by name, and the trained network's answers by name, of every stored frame of a network; BadInput when there is none.

    The answer of a network with a single output is kept without its name, under "".
    """
    file = model.path / "selftest.npz"
    hint = f"run `python -m depth_perception export --model {model.path}`"
    if not file.is_file():
        raise BadInput(f"model {model.path}: selftest.npz is missing; {hint}")
    try:
        with np.load(file, allow_pickle=False) as stored:
            answers: dict[str, dict[str, np.ndarray]] = {}
            for key in sorted(stored.files):
                if key.startswith(f"{network}.") and (parts := key.split("."))[2] == "out":
                    answers.setdefault(".".join(parts[:2]), {})[".".join(parts[3:])] = stored[key]
            frames = [({name: stored[f"{frame}.in.{name}"] for name in inputs}, found) for frame, found in answers.items()]
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"model {model.path}: selftest.npz cannot be read: {type(error).__name__}; {hint}") from error
    if not frames:
        raise BadInput(f"model {model.path}: selftest.npz has no frame of {network}; {hint}")
    return frames
