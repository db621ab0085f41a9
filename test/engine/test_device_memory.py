"""engine.cuda and engine.device_memory on the double; test_cuda_plumbing runs the same on a GPU."""

import ctypes
import inspect
import re

import numpy as np
import pytest
from cuda_double import CudaDouble, Status

from depth_perception.engine.cuda import LIBRARIES, Gpu, call, this_gpu
from depth_perception.engine.device_memory import Buffer, Stream
from depth_perception.frame import BadInput


@pytest.mark.parametrize(("prefix", "library"), LIBRARIES.items())
def test_the_double_has_the_calls_and_parameters_of_the_real_modules(prefix, library):
    real = pytest.importorskip(f"cuda.bindings.{library}")
    functions = [name for name, value in vars(CudaDouble).items() if re.match(rf"{prefix}[A-Z]", name) and inspect.isfunction(value)]
    assert len(functions) >= 5
    for name in functions:
        wanted = list(inspect.signature(getattr(real, name)).parameters)
        assert list(inspect.signature(getattr(CudaDouble, name)).parameters)[1:] == wanted, name


def test_the_double_has_the_numbers_of_the_real_module():
    real = pytest.importorskip("cuda.bindings.runtime")
    for name in ("cudaMemcpyKind", "cudaStreamCaptureMode"):
        for member, value in vars(getattr(CudaDouble, name)).items():
            assert getattr(getattr(real, name), member) == value
    assert real.cudaStreamNonBlocking == CudaDouble.cudaStreamNonBlocking
    assert {member.name: int(member) for member in Status}.items() <= {m.name: int(m) for m in real.cudaError_t}.items()


def test_this_gpu(cuda):
    assert this_gpu() == Gpu("Double", "sm86", 8192, "13.0")
    cuda.fails["cudaGetDeviceProperties"] = Status.cudaErrorInvalidValue
    with pytest.raises(BadInput, match=r"^CUDA: cudaGetDeviceProperties: cudaErrorInvalidValue \(cudaErrorInvalidValue\)$"):
        this_gpu()


@pytest.mark.parametrize(("name", "says"), [("cudaDriverGetVersion", "no NVIDIA driver"), ("cudaGetDeviceCount", "no GPU")])
def test_a_machine_without_a_gpu(cuda, monkeypatch, name, says):
    monkeypatch.setattr(CudaDouble, name, lambda self: (Status.cudaSuccess, 0))
    with pytest.raises(BadInput, match=says):
        this_gpu()


def test_a_machine_without_the_bindings(no_cuda):
    with pytest.raises(BadInput, match="pip install cuda-bindings"):
        this_gpu()


def test_there_and_back_and_only_when_waited_for(cuda):
    stream, buffer = Stream(), Buffer((2, 3), np.float16)
    assert (buffer.host.shape, buffer.host.dtype, buffer.nbytes) == ((2, 3), np.float16, 12)
    assert not buffer.host.any(), "starts at zero"
    buffer.host[...] = np.arange(6).reshape(2, 3)
    stream.upload(buffer)
    stream.wait()
    buffer.host[...] = -1
    stream.download(buffer)
    assert (buffer.host == -1).all(), "nothing has come before the wait"
    stream.wait()
    np.testing.assert_array_equal(buffer.host, [[0, 1, 2], [3, 4, 5]])
    for each in (buffer, stream):
        each.close()
        each.close()  # once is enough, twice is nothing
    assert cuda.calls.count("cudaFree") == cuda.calls.count("cudaFreeHost") == cuda.calls.count("cudaStreamDestroy") == 1


def test_a_buffer_that_gets_only_half_of_its_memory_gives_it_back(cuda):
    cuda.fails["cudaMallocHost"] = Status.cudaErrorMemoryAllocation
    with pytest.raises(BadInput, match="cudaMallocHost"):
        Buffer((4,), np.float32)
    assert cuda.alive()["device"] == 0


def test_device_memory_is_freed_even_where_the_host_s_is_not(cuda):
    buffer = Buffer((4,), np.float32)
    cuda.fails["cudaFreeHost"] = Status.cudaErrorIllegalAddress
    with pytest.raises(BadInput, match="cudaFreeHost"):
        buffer.close()
    assert cuda.alive()["device"] == 0
    cuda.fails.clear()
    call("cudaFreeHost", buffer._pinned)


def test_recorded_work_is_done_at_every_launch_and_not_before(cuda):
    stream, buffer = Stream(), Buffer((1,), np.float32)

    def add_one():
        value = ctypes.c_float.from_address(buffer.device)
        value.value += 1

    stream.upload(buffer)
    graph = stream.record(lambda: (cuda.launch(stream.handle, add_one), stream.download(buffer)))
    stream.wait()
    assert buffer.host[0] == 0
    for _ in range(3):
        graph.launch()
    stream.wait()
    assert buffer.host[0] == 3
    assert cuda.alive()["graphs"] == 0, "only the executable one is kept"
    for each in (graph, buffer, stream):
        each.close()


def test_what_cannot_be_recorded_leaves_the_stream_as_it_was(cuda):
    stream, buffer = Stream(), Buffer((1,), np.float32)

    def allocates():
        call("cudaMalloc", 4)

    assert stream.record(allocates) is None
    assert cuda.calls[-1] == "cudaGetLastError", "CUDA remembers the error until it is asked"
    cuda.fails["cudaGraphInstantiate"] = Status.cudaErrorInvalidValue
    assert stream.record(lambda: stream.upload(buffer)) is None
    cuda.fails.clear()
    with pytest.raises(KeyError):  # a defect of ours is nobody's fallback
        stream.record(lambda: {}["absent"])
    assert cuda.alive()["graphs"] == 0
    buffer.host[0] = 4
    stream.upload(buffer)
    stream.wait()
    assert ctypes.c_float.from_address(buffer.device).value == 4
    buffer.close()
    stream.close()
