"""A TensorRT engine behind the same call as ONNX Runtime's. No torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.engine.device_memory import Buffer, Stream
from depth_perception.engine.preparation import DeviceImage
from depth_perception.engine.tensorrt_context import Context, Package
from depth_perception.frame import BadInput


class TensorRT:
    """A built engine on this machine's GPU: `engine(image=array) -> {"depth": array}`, float32 in and out whatever it computes in.

    Memory is allocated once, here. A call copies its arrays into pinned memory, launches uploads, network and downloads (the last two
    as one CUDA graph where that can be recorded), waits, and reads each output once. One thread at a time. `close`, or the end of a
    `with` block, or of the object, releases everything.

    Args:
        engine: what the builder serialised, read and checked by the caller (`cache.find`).
        precision: for the name only; the engine's types are its own.
        runtime_cache: see `Context`; None: keep none.
    Attributes:
        name: what runs it, in words.
        device: tensorrt.
        inputs, outputs: name -> shape.
    Raises:
        BadInput: the package or the GPU refuses the engine, or it is not one of fixed shapes.
    """

    device = "tensorrt"

    def __init__(self, engine: bytes, *, package: Package, precision: str = "fp32", runtime_cache: Path | None = None) -> None:
        self._in: dict[str, Buffer] = {}
        self._out: dict[str, Buffer] = {}
        self._graph = None
        # Nothing in here may hold `self`: a node switches Python's search for cycles off, and the GPU's memory must not wait for it.
        with contextlib.ExitStack() as made:
            self._stream = Stream()
            made.callback(self._stream.close)
            self._context = Context(engine, package=package, runtime_cache=runtime_cache)
            made.callback(self._context.close)
            for tensor in self._context.tensors():
                buffer = Buffer(tensor.shape, tensor.dtype)
                made.callback(buffer.close)
                self._context.bind(tensor.name, buffer.device)
                (self._in if tensor.is_input else self._out)[tensor.name] = buffer
            made.callback(self._stream.wait)  # before its buffers go, whatever a failed call has left on it
            self.inputs = {name: list(buffer.host.shape) for name, buffer in self._in.items()}
            self.outputs = {name: list(buffer.host.shape) for name, buffer in self._out.items()}
            self(**{name: np.zeros(buffer.host.shape, np.float32) for name, buffer in self._in.items()})
            self._context.keep_kernels()
            # Only now: the first run sets up what may not be recorded.
            if self._context.recordable(self._stream.handle) and (graph := self._stream.record(self._enqueue)) is not None:
                self._graph = graph
                made.callback(graph.close)
            self._made = made.pop_all()
        self.name = f"{package.name} {package.version} {precision}{'' if self._graph else ' without CUDA graph'}"

    def __call__(self, **arrays: np.ndarray | DeviceImage) -> dict[str, np.ndarray]:
        """float32 NCHW arrays by input name, or what lies on the GPU already -> float32 arrays by output name, the caller's to keep."""
        self._check_names(arrays)
        for name, buffer in self._in.items():
            if arrays[name].shape != buffer.host.shape:
                raise BadInput(f"engine input {name}: wanted shape {buffer.host.shape}, got {arrays[name].shape}")
            array = arrays[name]
            if isinstance(array, DeviceImage) and array.dtype == buffer.host.dtype:
                self._stream.copy(buffer.device, array.address, buffer.nbytes, "cudaMemcpyDeviceToDevice")
            else:
                np.copyto(buffer.host, np.asarray(array), casting="same_kind")  # to float16 where the engine takes that
                self._stream.upload(buffer)
        return self._run()

    def run_device(self, **addresses: int) -> dict[str, np.ndarray]:
        """The same, of inputs that lie on the GPU already: where a transport of GPU-resident messages plugs in.

        addresses: input name -> device address of a whole NCHW array in the engine's own type (`input_types`), written before this call
        and left alone until it returns. The one copy, device to device, keeps the recorded graph's addresses.
        """
        self._check_names(addresses)
        for name, buffer in self._in.items():
            self._stream.copy(buffer.device, addresses[name], buffer.nbytes, "cudaMemcpyDeviceToDevice")
        return self._run()

    @property
    def input_types(self) -> dict[str, np.dtype[Any]]:
        """Input name -> type, as `run_device` wants it."""
        return {name: buffer.host.dtype for name, buffer in self._in.items()}

    def close(self) -> None:
        """Releases the GPU's memory, stream and engine; the engine cannot be called afterwards."""
        self._in, self._out = {}, {}
        self._made.close()

    def __enter__(self) -> TensorRT:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # nobody is left to hear; at the interpreter's end even modules are gone
            self.close()

    def _run(self) -> dict[str, np.ndarray]:
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()
        self._stream.wait()
        return {name: buffer.host.astype(np.float32) for name, buffer in self._out.items()}

    def _enqueue(self) -> None:
        self._context.enqueue(self._stream.handle)
        for buffer in self._out.values():
            self._stream.download(buffer)

    def _check_names(self, given: Mapping[str, Any]) -> None:
        if not self._out:
            raise BadInput("engine: it is closed")
        if given.keys() != self._in.keys():
            raise BadInput(f"engine: wanted inputs {sorted(self._in)}, got {sorted(given)}")
