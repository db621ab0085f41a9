"""engine/image_kernels.cu compiled as C++: the very same source, run by the CPU, one thread after another."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depth_perception.engine import kernels

# What nvcc knows by itself; then a loop in the place of the GPU's threads.
BEFORE = """
#include <cmath>
#define __device__ static
#define __global__ static
#define __noinline__
struct Index { unsigned x, y; };
static Index blockIdx, threadIdx, blockDim;
"""
AFTER = """
#define ON_HOST(NAME, VALUE) \\
    extern "C" __attribute__((visibility("default"))) \\
    void host_##NAME(unsigned columns, unsigned rows, unsigned wide, unsigned high, \\
                     const byte* image, int height, int width, const VALUE* levels, VALUE* prepared, int h, int w) { \\
        blockDim = {wide, high}; \\
        for (blockIdx.y = 0; blockIdx.y < rows; blockIdx.y++) for (blockIdx.x = 0; blockIdx.x < columns; blockIdx.x++) \\
        for (threadIdx.y = 0; threadIdx.y < high; threadIdx.y++) for (threadIdx.x = 0; threadIdx.x < wide; threadIdx.x++) \\
            NAME(image, height, width, levels, prepared, h, w); }
ON_HOST(prepare_float32, float)
ON_HOST(prepare_float16, unsigned short)
"""


@functools.cache
def library() -> ctypes.CDLL:
    """Skips the test where there is no C++ compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine")
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "host.cpp", Path(folder) / "host.so"
        # extern "C" of a static function is dropped by the compiler with a warning.
        source.write_text(BEFORE + kernels.SOURCE.read_text().replace('extern "C" __global__', "__global__") + AFTER)
        subprocess.run([compiler, "-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", source, "-o", made], check=True)
        return ctypes.CDLL(str(made))


def run(name: bytes, grid: tuple[int, int], block: tuple[int, int], arguments: Any) -> None:
    """A launch, as cuLaunchKernel takes it: arguments are (values, ctypes)."""
    values, types = arguments
    call = getattr(library(), f"host_{name.decode()}")
    call(*map(ctypes.c_uint, (*grid, *block)), *[kind(value) for kind, value in zip(types, values, strict=True)])


def prepared(image: np.ndarray, *, height: int, width: int, dtype: Any = np.float32) -> np.ndarray:
    """(1, 3, height, width), as `kernels.launch_of` asks a GPU for it."""
    image, levels = np.ascontiguousarray(image), kernels.levels(dtype)
    out = np.full((1, 3, height, width), np.nan, dtype)
    run(*kernels.launch_of(image.ctypes.data, image.shape[:2], levels.ctypes.data, out.ctypes.data, (height, width), dtype))
    return out
