"""CUDA without a GPU."""

import sys
import types

import pytest
from cuda_double import CudaDouble


@pytest.fixture
def cuda(monkeypatch):
    """A CudaDouble in the place of NVIDIA's bindings; whatever a test made must be released at its end."""
    double = CudaDouble()
    place = types.ModuleType("cuda")
    place.bindings = types.ModuleType("cuda.bindings")
    modules = {"cuda": place, "cuda.bindings": place.bindings}
    for library in ("runtime", "driver", "nvrtc"):
        setattr(place.bindings, library, double)
        modules[f"cuda.bindings.{library}"] = double
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield double
    assert not any(double.alive().values()), double.alive()


@pytest.fixture
def no_cuda(monkeypatch):
    """A machine without NVIDIA's bindings."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
