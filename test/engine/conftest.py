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
    place.bindings.runtime = double
    for name, module in (("cuda", place), ("cuda.bindings", place.bindings), ("cuda.bindings.runtime", double)):
        monkeypatch.setitem(sys.modules, name, module)
    yield double
    assert not any(double.alive().values()), double.alive()


@pytest.fixture
def no_cuda(monkeypatch):
    """A machine without NVIDIA's bindings."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
