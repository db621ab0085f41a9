"""Which engine a network gets: TensorRT, else ONNX Runtime on the GPU, else on the CPU; proven, and every step down said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from depth_perception.engine import cache, compiled, cuda, onnx_runtime, tensorrt_package
from depth_perception.engine.selftest import Proof, prove
from depth_perception.engine.tensorrt_runtime import TensorRT
from depth_perception.frame import BadInput
from depth_perception.model import Model

# What may be asked for, and what is tried, best first. auto: the best that this machine offers.
LADDERS = {
    "auto": ("tensorrt", "cuda", "cpu"),
    "tensorrt": ("tensorrt", "cuda", "cpu"),
    "cuda": ("cuda", "cpu"),
    "cpu": ("cpu",),
}
DEVICES = tuple(LADDERS)
WORDS = {"tensorrt": "TensorRT", "auto": "ONNX Runtime", "cuda": "ONNX Runtime on the GPU", "cpu": "ONNX Runtime on the CPU"}


@dataclass(frozen=True, eq=False)
class Proven:
    """An engine that has passed its self-test; called as the engine is.

    Attributes:
        engine: what runs.
        proof: its self-test.
        precision: fp32, fp16 or int8.
        key: digest of the TensorRT engine's cache key; "" for ONNX Runtime.
        fell_back: a sentence for each better engine that should have run and does not; empty when all is as it was asked for.
    """

    engine: onnx_runtime.Engine | TensorRT
    proof: Proof
    precision: str = "fp32"
    key: str = ""
    fell_back: tuple[str, ...] = ()

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """float32 NCHW arrays by input name -> float32 arrays by output name."""
        return self.engine(**arrays)

    @property
    def name(self) -> str:
        """What runs it, in words."""
        return self.engine.name

    @property
    def device(self) -> str:
        """tensorrt, cuda or cpu: which rung of the ladder this is."""
        return self.engine.device

    @property
    def inputs(self) -> dict[str, list[int]]:
        """Name -> shape."""
        return self.engine.inputs

    @property
    def outputs(self) -> dict[str, list[int]]:
        """Name -> shape."""
        return self.engine.outputs


def load(
    model: Model,
    network: str,
    *,
    threads: int = 2,
    device: str = "auto",
    precision: str = "fp32",
    directory: Path | None = None,
    may_build: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Proven:
    """The engine of a model's network, proven: it must answer the model's stored inputs as the trained network did.

    Args:
        threads: of the CPU.
        device: one of DEVICES.
        precision: of the engine; the first rung of the ladder that has such a one drives. Where none has, it is fp32, which is a step
            down like any other; only who asks for device "cpu" is refused.
        directory: of TensorRT engines; None: `cache.directories`.
        may_build: build the TensorRT engine when it is not there; takes seconds to minutes.
        progress: told the phase and the seconds while it builds.
    Raises:
        BadInput: not even the last engine of the ladder loads and passes.
    """
    if device not in LADDERS:
        raise BadInput(f"engine: wanted one of {', '.join(LADDERS)}, got {device!r}")
    ladder = _offered(network, _places(model, directory), may_build=may_build) if device == "auto" else LADDERS[device]
    fell_back: list[str] = []
    precisions = [precision] if precision == "fp32" or device == "cpu" else [precision, "fp32"]
    if len(precisions) > 1 and (missing := _missing(model, network, precision)):  # no rung has it: one reason, not one for each
        fell_back.append(f"fell back to fp32: {missing}")
        precisions.remove(precision)
    steps = [(rung, wanted) for wanted in precisions for rung in ladder]
    for step, (rung, wanted) in enumerate(steps):
        try:
            found = only(model, network, rung, wanted, threads=threads, directory=directory, may_build=may_build, progress=progress)
            return replace(found, fell_back=tuple(fell_back))
        except Exception as error:  # also a driver's own, or a defect of ours: it costs the better engine, not the drive
            if step == len(steps) - 1:
                raise
            below, computes = steps[step + 1]
            in_fp32 = " in fp32" if computes != wanted else ""
            fell_back.append(f"fell back to {WORDS[below]}{in_fp32}: {sentence(error)}")
    raise AssertionError("a ladder has at least one rung")


def sentence(error: Exception) -> str:
    """Why an engine does not drive: the sentence of a BadInput, or that nobody foresaw it."""
    return str(error) if isinstance(error, BadInput) else f"internal error: {type(error).__name__}: {error}"


def only(
    model: Model,
    network: str,
    device: str,
    precision: str = "fp32",
    *,
    threads: int = 2,
    directory: Path | None = None,
    may_build: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Proven:
    """One rung of the ladder and nothing else; arguments as for `load`. BadInput says why it does not carry."""
    if device == "tensorrt":
        return _tensorrt(model, network, precision, directory, may_build=may_build, progress=progress)
    file = compiled.onnx_file(model, network, precision)
    twin = file.with_suffix(".cpu.onnx")  # INT8 in the form for which ONNX Runtime has kernels on CPUs: the same numbers
    on_cpu = device == "cpu" or (device == "auto" and "CUDAExecutionProvider" not in onnx_runtime.providers())
    engine = onnx_runtime.Engine(twin if on_cpu and twin.is_file() else file, threads=threads, device=device)
    return Proven(engine, prove(engine, model, network, inputs=engine.inputs, precision=precision), precision)


def _missing(model: Model, network: str, precision: str) -> str:
    """Why a network has no file in this precision; empty: it has one."""
    try:
        compiled.onnx_file(model, network, precision)
    except BadInput as error:
        return str(error)
    return ""


def _offered(network: str, places: list[Path], *, may_build: bool) -> tuple[str, ...]:
    """auto's ladder on this machine: no GPU, a package that nobody installed or an engine that nobody compiled is no failure."""
    try:
        cuda.this_gpu()
    except BadInput:
        return "auto", "cpu"  # ONNX Runtime may find a GPU without NVIDIA's Python bindings, and where it finds none it takes the CPU
    offers = {
        "tensorrt": tensorrt_package.packages() and (may_build or any(any(place.glob(f"{network}.*.engine")) for place in places)),
        "cuda": "CUDAExecutionProvider" in onnx_runtime.providers(),
        "cpu": True,
    }
    return tuple(device for device in LADDERS["auto"] if offers[device])


def _tensorrt(
    model: Model,
    network: str,
    precision: str,
    directory: Path | None,
    *,
    may_build: bool,
    progress: Callable[[str, float], None] | None,
) -> Proven:
    """From the cache; built only where that is allowed. An engine of any other key never loads."""
    package, capability = tensorrt_package.load(), cuda.this_gpu().capability
    if may_build:
        entry = compiled.compiled(
            model, network, package=package, capability=capability, precision=precision, directory=directory, progress=progress
        ).entry
    else:
        key = compiled.key(model, network, package=package, capability=capability, precision=precision)
        entry = _cached(_places(model, directory), key)
    engine = TensorRT(entry.content, package=package, precision=precision, runtime_cache=entry.engine.with_suffix(".kernels"))
    try:
        proof = prove(engine, model, network, inputs=engine.inputs, precision=precision)
    except BaseException:
        engine.close()
        raise
    return Proven(engine, proof, precision, str(entry.manifest["digest"]))


def _places(model: Model, directory: Path | None) -> list[Path]:
    return [directory] if directory is not None else cache.directories(model.path)


def _cached(places: list[Path], key: cache.Key) -> cache.Entry:
    """The engine of exactly this key; BadInput says what is there instead, in the place where there is something."""
    refused = []
    for place in places:
        try:
            if entry := cache.find(place, key):
                return entry
        except BadInput as error:
            refused.append((not any(place.glob(f"{key.network}.*.engine")), str(error)))
    raise BadInput(min(refused)[1])
