"""cuda.bindings.runtime, .driver and .nvrtc on the CPU: device memory is host memory, and a stream's work is done when somebody waits.

It refuses what CUDA refuses: memory that was freed or never allocated, copies over an end, allocations on a stream that records.
Kernels are the real ones, compiled for the CPU (host_kernels). Its calls have the real modules' names and parameters; test_device_memory
compares them where the real ones are installed.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import host_kernels


class Status(enum.IntEnum):
    """The cudaError_t that the double gives."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidResourceHandle = 400
    cudaErrorIllegalAddress = 700
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


OK, BAD = Status.cudaSuccess, Status.cudaErrorInvalidValue


class CudaDouble:
    """Attributes:
    calls: names of all calls so far.
    fails: name -> the status that its next calls give instead of doing anything.
    recording: stream handle -> what has been recorded so far; None: the recording is broken.
    """

    cudaError_t = Status
    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, capability: tuple[int, int] = (8, 6)) -> None:
        self.calls: list[str] = []
        self.fails: dict[str, Status] = {}
        self.recording: dict[int, list[Callable[[], None]] | None] = {}
        self._capability = capability
        self._memory: dict[int, tuple[str, Any]] = {}
        self._streams: dict[int, list[Callable[[], None]]] = {}
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        self._executables: dict[int, list[Callable[[], None]]] = {}
        self._modules: dict[int, bytes] = {}
        self._programs: dict[int, list[bytes]] = {}
        self._next = 1000

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if not (name.startswith(("cu", "nvrtc")) and callable(value) and name != "cudaError_t"):
            return value

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            return (self.fails[name], None) if name in self.fails else value(*arguments)

        return call

    # --- what the tests ask ------------------------------------------------------------------------------------------

    def alive(self) -> dict[str, int]:
        """What was made and is not yet released."""
        kinds = [kind for kind, _ in self._memory.values()]
        found = {"device": kinds.count("device"), "host": kinds.count("host"), "streams": len(self._streams)}
        found |= {"graphs": len(self._graphs), "executables": len(self._executables)}
        return found | {"modules": len(self._modules), "programs": len(self._programs)}

    def launch(self, stream: int, work: Callable[[], None]) -> None:
        """A kernel, as TensorRT would put it on a stream."""
        recorded = self.recording.get(stream, self._streams[stream])
        if recorded is not None:
            recorded.append(work)

    # --- the runtime -------------------------------------------------------------------------------------------------

    def cudaDriverGetVersion(self):
        return OK, 13000

    def cudaGetDeviceCount(self):
        return OK, 1

    def cudaGetDeviceProperties(self, device):
        major, minor = self._capability
        return OK, SimpleNamespace(name=b"Double", major=major, minor=minor, totalGlobalMem=8 << 30)

    def cudaGetErrorString(self, error):
        return OK, error.name.encode()

    def cudaGetLastError(self):
        return (OK,)

    def cudaMalloc(self, size):
        return self._allocate("device", size)

    def cudaMallocHost(self, size):
        return self._allocate("host", size)

    def cudaFree(self, devPtr):
        if devPtr == 0:
            return (OK,)
        return self._free("device", devPtr)

    def cudaFreeHost(self, ptr):
        return self._free("host", ptr)

    def cudaStreamCreateWithFlags(self, flags):
        self._next += 1
        self._streams[self._next] = []
        return OK, self._next

    def cudaStreamSynchronize(self, stream):
        if stream not in self._streams:
            return (Status.cudaErrorInvalidResourceHandle,)
        work, self._streams[stream] = self._streams[stream], []
        for each in work:
            each()
        return (OK,)

    def cudaStreamDestroy(self, stream):
        return self._end(self._streams, stream)

    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        if not (self._holds(dst, count) and self._holds(src, count)):
            return (Status.cudaErrorIllegalAddress,)

        def copy() -> None:
            assert self._holds(dst, count) and self._holds(src, count), "memory was freed before the work on it was done"
            ctypes.memmove(dst, src, count)

        self.launch(stream, copy)
        return (OK,)

    def cudaStreamBeginCapture(self, stream, mode):
        if stream not in self._streams:
            return (Status.cudaErrorInvalidResourceHandle,)
        self.recording[stream] = []
        return (OK,)

    def cudaStreamEndCapture(self, stream):
        recorded = self.recording.pop(stream)
        if recorded is None:
            return Status.cudaErrorStreamCaptureInvalidated, None
        self._next += 1
        self._graphs[self._next] = recorded
        return OK, self._next

    def cudaGraphInstantiate(self, graph, flags):
        self._next += 1
        self._executables[self._next] = list(self._graphs[graph])
        return OK, self._next

    def cudaGraphLaunch(self, graphExec, stream):
        self._streams[stream] += self._executables[graphExec]
        return (OK,)

    def cudaGraphDestroy(self, graph):
        return self._end(self._graphs, graph)

    def cudaGraphExecDestroy(self, graphExec):
        return self._end(self._executables, graphExec)

    # --- the driver --------------------------------------------------------------------------------------------------

    def cuGetErrorString(self, error):
        return OK, error.name.encode()

    def cuModuleLoadData(self, image):
        self._next += 1
        self._modules[self._next] = ctypes.string_at(image, 4)
        return OK, self._next

    def cuModuleGetFunction(self, hmod, name):
        return OK, name if hmod in self._modules else None

    def cuModuleUnload(self, hmod):
        return self._end(self._modules, hmod)

    def cuLaunchKernel(
        self, f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams, extra
    ):
        (image, height, width, levels, prepared, h, w), _ = kernelParams
        size = {b"prepare_float32": 4, b"prepare_float16": 2}[f]
        touched = ((image, height * width * 3), (levels, 256 * size), (prepared, 3 * h * w * size))
        if not all(self._holds(*each) for each in touched):
            return (Status.cudaErrorIllegalAddress,)
        self.launch(hStream, lambda: host_kernels.run(f, (gridDimX, gridDimY), (blockDimX, blockDimY), kernelParams))
        return (OK,)

    # --- NVRTC -------------------------------------------------------------------------------------------------------

    def nvrtcGetErrorString(self, result):
        return OK, result.name.encode()

    def nvrtcCreateProgram(self, src, name, numHeaders, headers, includeNames):
        self._next += 1
        self._programs[self._next] = []
        return OK, self._next

    def nvrtcCompileProgram(self, prog, numOptions, options):
        self._programs[prog] = options
        return (OK if b"--gpu-architecture=sm_86" in options else BAD,)

    def nvrtcGetProgramLogSize(self, prog):
        return OK, 8

    def nvrtcGetProgramLog(self, prog, log):
        log[:] = b"no sm_86"
        return (OK,)

    def nvrtcGetCUBINSize(self, prog):
        return OK, 4

    def nvrtcGetCUBIN(self, prog, cubin):
        cubin[:] = b"\x7fELF"
        return (OK,)

    def nvrtcDestroyProgram(self, prog):
        return self._end(self._programs, prog)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _allocate(self, kind: str, size: int) -> Any:
        if self.recording:
            self.recording = dict.fromkeys(self.recording)
            return Status.cudaErrorStreamCaptureUnsupported, None
        memory = (ctypes.c_byte * max(size, 1))()
        ctypes.memset(memory, 0x55, size)  # what CUDA gives is not zero
        self._memory[ctypes.addressof(memory)] = kind, memory
        return OK, ctypes.addressof(memory)

    def _free(self, kind: str, address: int) -> Any:
        if self._memory.get(address, ("",))[0] != kind:
            return (BAD,)
        del self._memory[address]
        return (OK,)

    def _holds(self, address: int, count: int) -> bool:
        ends = {start: start + len(memory) for start, (_, memory) in self._memory.items()}
        return any(start <= address and address + count <= end for start, end in ends.items())

    @staticmethod
    def _end(those: dict[int, Any], handle: int) -> Any:
        return (OK,) if those.pop(handle, None) is not None else (Status.cudaErrorInvalidResourceHandle,)
