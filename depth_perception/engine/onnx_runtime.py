"""A network run by ONNX Runtime, on the CPU or on a CUDA GPU."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from depth_perception.frame import BadInput


class Engine:
    """A network behind one call, run by ONNX Runtime.

    Args:
        device: auto (a CUDA GPU where ONNX Runtime can use one, else the CPU), cpu or cuda.
    Attributes:
        name: what runs it, in words.
        device: cuda or cpu.
        inputs, outputs: name -> shape (list; symbolic sizes stay strings).
        precision: fp32; fp16 or int8 where the graph itself says so.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 2, device: str = "auto") -> None:
        providers = _providers(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Spinning threads win a fifth of a run on an idle machine, and double it where something else has one of their cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise BadInput(f"engine {Path(path)}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        is_cuda = self._session.get_providers()[0] == "CUDAExecutionProvider"
        if device == "cuda" and not is_cuda:  # ONNX Runtime falls back without a word
            raise BadInput("engine: wanted cuda, but ONNX Runtime finds no GPU that it can use")
        self.device = "cuda" if is_cuda else "cpu"
        self.name = f"onnxruntime {onnxruntime.__version__} {'CUDA' if is_cuda else f'CPU x{threads}'}"
        self.inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self.outputs = {o.name: o.shape for o in self._session.get_outputs()}
        self._output_names = list(self.outputs)

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """float32 NCHW arrays, or what makes itself one, by input name -> float32 arrays by output name."""
        given = {name: np.asarray(array) for name, array in arrays.items()}
        return dict(zip(self._output_names, self._session.run(self._output_names, given), strict=True))


def providers() -> list[str]:
    """What this onnxruntime is built for, best first: "CUDAExecutionProvider", "CPUExecutionProvider" ..."""
    return list(onnxruntime.get_available_providers())


def _providers(device: str) -> list[Any]:
    """ONNX Runtime's providers for a device, best first. TF32 would fail the self-test: it has ten bits."""
    cuda: list[Any] = [("CUDAExecutionProvider", {"use_tf32": 0})]
    installed = "CUDAExecutionProvider" in providers()
    if device == "cuda" and not installed:
        raise BadInput("engine: wanted cuda, but this onnxruntime is built without it (onnxruntime-gpu has it)")
    if installed and device != "cpu":
        _find_libraries()
    return (cuda if installed and device != "cpu" else []) + ["CPUExecutionProvider"]


@functools.cache
def _find_libraries() -> None:
    """CUDA and cuDNN out of pip's packages, where no system has them; prints what it misses."""
    getattr(onnxruntime, "preload_dlls", lambda: None)()
