"""One call for a compiled network: `Engine(file)(image=array) -> {"depth": array}`. No torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from depth_perception.frame import BadInput
from depth_perception.model import Model

# Another sum order of float32 convolutions; what `export` allows too.
SELFTEST_BOUND = 2e-3
# auto: a CUDA GPU where ONNX Runtime can use one, else the CPU.
DEVICES = ("auto", "cpu", "cuda")


class Engine:
    """A network behind one call, run by ONNX Runtime.

    inputs, outputs: name -> shape (list; symbolic sizes stay strings).
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 2, device: str = "auto") -> None:
        providers = _providers(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Spinning threads win microseconds and cost a core; between two images there are 100 ms.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise BadInput(f"engine {Path(path)}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        is_cuda = self._session.get_providers()[0] == "CUDAExecutionProvider"
        if device == "cuda" and not is_cuda:  # ONNX Runtime falls back without a word
            raise BadInput("engine: wanted cuda, but ONNX Runtime finds no GPU that it can use")
        self.name = f"onnxruntime {onnxruntime.__version__} {'CUDA' if is_cuda else f'CPU x{threads}'}"
        self.inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self.outputs = {o.name: o.shape for o in self._session.get_outputs()}
        self._output_names = list(self.outputs)

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """float32 NCHW arrays by input name -> float32 arrays by output name."""
        return dict(zip(self._output_names, self._session.run(self._output_names, arrays), strict=True))


def _providers(device: str) -> list[Any]:
    """ONNX Runtime's providers for one of DEVICES, best first. TF32 would fail the self-test: it has ten bits."""
    cuda: list[Any] = [("CUDAExecutionProvider", {"use_tf32": 0})]
    installed = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not installed:
        raise BadInput("engine: wanted cuda, but this onnxruntime is built without it (onnxruntime-gpu has it)")
    return (cuda if installed and device != "cpu" else []) + ["CPUExecutionProvider"]


def load(model: Model, network: str, *, threads: int = 2, device: str = "auto") -> Engine:
    """The engine of a model's network, proven: it must answer the model's stored inputs as the network itself did.

    BadInput when the file is missing, takes other inputs than the manifest says, or answers otherwise.
    """
    engine = Engine(model.onnx(network), threads=threads, device=device)
    size = [1, 3, model.height, model.width]
    for name, shape in engine.inputs.items():
        if shape != size:
            raise BadInput(f"model {model.path}: {network}.onnx takes {name} {shape}, its manifest says {size}")
    file = model.path / "selftest.npz"
    if not file.is_file():
        raise BadInput(f"model {model.path}: selftest.npz is missing; run `python -m depth_perception export --model {model.path}`")
    with np.load(file, allow_pickle=False) as stored:
        for key in sorted(key for key in stored.files if key.startswith(f"{network}.") and key.endswith(".out")):
            inputs = {name: stored[f"{key.removesuffix('out')}in.{name}"] for name in engine.inputs}
            wanted, (name, got) = stored[key], next(iter(engine(**inputs).items()))
            difference = float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-12)) if got.shape == wanted.shape else np.inf
            if not difference <= SELFTEST_BOUND:
                off = f"{network}.onnx answers {name} off by {difference:.2g} of its largest value, wanted {SELFTEST_BOUND:g}"
                raise BadInput(f"model {model.path}: self-test: {off}; it is not the network that was trained")
    return engine
