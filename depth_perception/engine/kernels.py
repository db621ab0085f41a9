"""Our own kernels on a CUDA GPU: compiled by NVRTC for one kind of GPU, in tenths of a second, from the source beside this file."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.engine.cuda import call
from depth_perception.frame import BadInput

SOURCE = Path(__file__).with_name("image_kernels.cu")
BLOCK = (32, 8)
Launch = tuple[bytes, tuple[int, int], tuple[int, int], tuple[tuple[int, ...], tuple[Any, ...]]]


class Kernels:
    """The kernels of SOURCE, loaded on this machine's GPU.

    Args:
        capability: of the GPU, "sm86".
    Raises:
        BadInput: NVRTC is missing or does not know this GPU, or the driver refuses what it made.
    """

    def __init__(self, capability: str) -> None:
        binary = np.frombuffer(compiled(capability), np.uint8)
        self._module = None
        call("cudaFree", 0)  # makes the runtime's context current in this thread
        self._module = call("cuModuleLoadData", binary.ctypes.data)
        try:
            self._functions = {name: call("cuModuleGetFunction", self._module, name) for name in (b"prepare_float32", b"prepare_float16")}
        except BaseException:
            self.close()
            raise

    def launch(self, launch: Launch, *, stream: int) -> None:
        """Puts one on a stream."""
        name, grid, block, arguments = launch
        call("cuLaunchKernel", self._functions[name], *grid, 1, *block, 1, 0, stream, arguments, 0)

    def close(self) -> None:
        """Unloads them."""
        module, self._module = self._module, None
        if module is not None:
            call("cudaFree", 0)  # as above: this may be another thread
            call("cuModuleUnload", module)


def compiled(capability: str) -> bytes:
    """SOURCE as machine code of one kind of GPU; takes NVRTC and no GPU. The GPU's own code: an older driver may not know NVRTC's PTX."""
    program = call("nvrtcCreateProgram", SOURCE.read_bytes(), SOURCE.name.encode(), 0, [], [])
    # No fused multiply-add: OpenCV rounds in between, and so do we.
    options = [f"--gpu-architecture={capability.replace('sm', 'sm_')}".encode(), b"--fmad=false", b"--std=c++17"]
    try:
        try:
            call("nvrtcCompileProgram", program, len(options), options)
        except BadInput as error:
            log = bytearray(call("nvrtcGetProgramLogSize", program))
            call("nvrtcGetProgramLog", program, log)
            said = " ".join(log.decode(errors="replace").rstrip("\0").split())
            raise BadInput(f"{error}{f': {said}' if said else ''}") from error
        code = bytearray(call("nvrtcGetCUBINSize", program))
        call("nvrtcGetCUBIN", program, code)
    finally:
        call("nvrtcDestroyProgram", program)
    return bytes(code)


def launch_of(image: int, size: tuple[int, int], levels: int, to: int, to_size: tuple[int, int], dtype: Any) -> Launch:
    """What makes a (3, *to_size) network input of a camera image: the kernel's name, blocks, threads of each, and arguments.

    image, levels, to: addresses of (*size, 3) bytes, of `levels(dtype)`, and of the input.
    """
    (height, width), (h, w) = size, to_size
    address, number = ctypes.c_void_p, ctypes.c_int
    grid = -(-w // BLOCK[0]), -(-h // BLOCK[1])
    return (
        f"prepare_{np.dtype(dtype).name}".encode(),
        grid,
        BLOCK,
        ((image, height, width, levels, to, h, w), (address, number, number, address, address, number, number)),
    )


def levels(dtype: Any) -> np.ndarray:
    """(256,) what each level of an image is to a network: 0..1."""
    return (np.arange(256, dtype=np.float32) * np.float32(1 / 255)).astype(dtype)
