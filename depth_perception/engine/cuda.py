"""CUDA through NVIDIA's own bindings: whatever it refuses is BadInput, one sentence with the call's name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from depth_perception.frame import BadInput

LIBRARIES = {"cuda": "runtime", "cu": "driver", "nvrtc": "nvrtc"}


@dataclass(frozen=True)
class Gpu:
    """Attributes:
    name: as its maker calls it.
    capability: of its cores, "sm86" for 8.6.
    memory_mib: device memory.
    driver_cuda: newest CUDA that the driver can run, "13.0".
    """

    name: str
    capability: str
    memory_mib: int
    driver_cuda: str


def this_gpu() -> Gpu:
    """The first GPU that CUDA shows (see CUDA_VISIBLE_DEVICES); BadInput says why there is none."""
    driver = call("cudaDriverGetVersion")
    if driver == 0:
        raise BadInput("CUDA: no NVIDIA driver on this machine")
    if call("cudaGetDeviceCount") == 0:
        raise BadInput("CUDA: no GPU on this machine")
    found = call("cudaGetDeviceProperties", 0)
    name = found.name.decode(errors="replace").rstrip("\0")
    driver_cuda = f"{driver // 1000}.{driver % 1000 // 10}"
    return Gpu(name, f"sm{found.major}{found.minor}", int(found.totalGlobalMem) >> 20, driver_cuda)


def bindings(library: str = "runtime") -> ModuleType:
    """cuda.bindings.LIBRARY, imported when a GPU is wanted: a car without one needs neither the package nor its import's time."""
    try:
        return importlib.import_module(f"cuda.bindings.{library}")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a library of the driver is missing
        raise BadInput(f"CUDA: its Python bindings cannot be used (pip install cuda-bindings): {_line(error)}") from error


def call(name: str, *arguments: Any) -> Any:
    """What a call of the CUDA runtime (cudaX), driver (cuX) or NVRTC (nvrtcX) returns besides its status: nothing, a value, or a tuple."""
    library, prefix = next((library, prefix) for prefix, library in LIBRARIES.items() if name.startswith(prefix))
    called = bindings(library)
    try:
        status, *values = getattr(called, name)(*arguments)
    except RuntimeError as error:  # the bindings' own, where the driver lacks a function or a library is not installed
        raise BadInput(f"CUDA: {name}: {_line(error)}") from error
    if status != 0:
        *_, text = getattr(called, f"{prefix}GetErrorString")(status)  # NVRTC's has no status of its own
        raise BadInput(f"CUDA: {name}: {text.decode() if isinstance(text, bytes) else text} ({status.name})")
    return values[0] if len(values) == 1 else tuple(values) or None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
