"""One call for a compiled network: `Engine(file)(image=array) -> {"depth": array}`. No torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import onnxruntime

from depth_perception.frame import BadInput


class Engine:
    """A network behind one call, run by ONNX Runtime.

    inputs, outputs: name -> shape (list; symbolic sizes stay strings). `last_ms` is the last call's duration.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Spinning threads win microseconds and cost a core; between two images there are 100 ms.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise BadInput(f"engine {Path(path)}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        self.name = f"onnxruntime {onnxruntime.__version__} CPU x{threads}"
        self.inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self.outputs = {o.name: o.shape for o in self._session.get_outputs()}
        self._output_names = list(self.outputs)
        self.last_ms = 0.0

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """float32 NCHW arrays by input name -> float32 arrays by output name."""
        started = time.perf_counter()
        outputs = self._session.run(self._output_names, arrays)
        self.last_ms = (time.perf_counter() - started) * 1e3
        return dict(zip(self._output_names, outputs, strict=True))
