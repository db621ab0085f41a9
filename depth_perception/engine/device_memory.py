"""A CUDA GPU's memory, one stream of work and its graphs. No torch, no TensorRT.

Everything here is released exactly once, by `close`.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from depth_perception.engine.cuda import bindings, call
from depth_perception.frame import BadInput


class Buffer:
    """An array twice: in pinned host memory, where numpy sees it, and on the device.

    Attributes:
        host: the numpy array; its memory is gone after `close`.
        device: address on the device.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        dtype = np.dtype(dtype)
        self.nbytes = math.prod(shape) * dtype.itemsize
        self.device = int(call("cudaMalloc", self.nbytes))
        try:
            self._pinned = int(call("cudaMallocHost", self.nbytes))
        except BaseException:
            call("cudaFree", self.device)
            raise
        self.host: np.ndarray[Any, Any] = np.frombuffer((ctypes.c_byte * self.nbytes).from_address(self._pinned), dtype).reshape(shape)
        self.host[...] = 0

    def close(self) -> None:
        """Frees both."""
        device, self.device = self.device, 0
        if device:
            self.host = np.empty(0, self.host.dtype)
            try:
                call("cudaFreeHost", self._pinned)
            finally:
                call("cudaFree", device)


class Memory:
    """Bytes on the device alone.

    Attributes:
        address: where on the device.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.address = int(call("cudaMalloc", nbytes))

    def close(self) -> None:
        """Frees them."""
        address, self.address = self.address, 0
        if address:
            call("cudaFree", address)


class Pool:
    """Pieces of device memory of one size, used again: after the first few, taking one allocates nothing."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._free: list[Memory] = []
        self._closed = False

    def take(self) -> Memory:
        """A piece, written by whoever had it before."""
        return self._free.pop() if self._free else Memory(self._nbytes)

    def give(self, memory: Memory) -> None:
        """Takes a piece back."""
        if self._closed:
            memory.close()
        else:
            self._free.append(memory)

    def close(self) -> None:
        """Frees what has come back, and what still will when it does."""
        self._closed = True
        free, self._free = self._free, []
        close_all(free)


def close_all(those: Iterable[Memory | Buffer]) -> None:
    """Closes each, whatever another one's closing raises."""
    with contextlib.ExitStack() as stack:
        for each in those:
            stack.callback(each.close)


class Stream:
    """Work for the device, one after the other; the host goes on meanwhile.

    Attributes:
        handle: the stream as an integer, as TensorRT takes it.
    """

    def __init__(self) -> None:
        runtime = bindings()
        # Not the default stream, nor waiting for it: another network's work must not hold this one up.
        self._stream = call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
        self.handle = int(self._stream)

    def upload(self, buffer: Buffer) -> None:
        """Host to device."""
        self.copy(buffer.device, buffer.host.ctypes.data, buffer.nbytes, "cudaMemcpyHostToDevice")

    def download(self, buffer: Buffer) -> None:
        """Device to host; there when `wait` returns."""
        self.copy(buffer.host.ctypes.data, buffer.device, buffer.nbytes, "cudaMemcpyDeviceToHost")

    def copy(self, to: int, source: int, nbytes: int, kind: str) -> None:
        """nbytes between two addresses; kind: name of a cudaMemcpyKind."""
        call("cudaMemcpyAsync", to, source, nbytes, getattr(bindings().cudaMemcpyKind, kind), self._stream)

    def wait(self) -> None:
        """Returns when all work is done; BadInput when some of it failed."""
        call("cudaStreamSynchronize", self._stream)

    def record(self, work: Callable[[], None]) -> Graph | None:
        """What `work` puts on this stream, as one launch; None where it cannot be recorded, and the stream is as before."""
        runtime = bindings()
        # Thread local: another thread may load a model, and allocate, meanwhile.
        call("cudaStreamBeginCapture", self._stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            work()
        except BaseException as error:
            graph = self._end_capture()
            if graph is not None:
                call("cudaGraphDestroy", graph)
            if isinstance(error, BadInput):
                return None
            raise
        graph = self._end_capture()
        if graph is None:
            return None
        try:
            return Graph(call("cudaGraphInstantiate", graph, 0), self._stream)
        except BadInput:
            return None
        finally:
            call("cudaGraphDestroy", graph)

    def _end_capture(self) -> Any:
        """The recorded graph; None when the recording had been broken off. CUDA remembers that error: it is taken back here."""
        try:
            graph = call("cudaStreamEndCapture", self._stream)
        except BadInput:
            bindings().cudaGetLastError()
            return None
        return graph if int(graph) else None

    def close(self) -> None:
        """Waits for its work, then ends it."""
        stream, self._stream, self.handle = self._stream, None, 0
        if stream is not None:
            try:
                call("cudaStreamSynchronize", stream)
            finally:
                call("cudaStreamDestroy", stream)


class Graph:
    """Recorded work of a stream, launched as one."""

    def __init__(self, executable: Any, stream: Any) -> None:
        self._executable, self._stream = executable, stream

    def launch(self) -> None:
        """Puts all of it on its stream."""
        call("cudaGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Forgets the recording."""
        executable, self._executable = self._executable, None
        if executable is not None:
            call("cudaGraphExecDestroy", executable)
