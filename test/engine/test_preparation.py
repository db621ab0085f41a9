"""engine.preparation on the double, whose kernels are the real ones run by the CPU."""

import gc

import numpy as np
import pytest
from cuda_double import BAD, Status
from tensorrt_double import TensorRTDouble, array_at, engine_bytes

from depth_perception.engine.preparation import BOUND, OnDevice
from depth_perception.engine.tensorrt_runtime import TensorRT
from depth_perception.frame import BadInput
from depth_perception.systems.network_input import prepare

SIZE = {"height": 32, "width": 64}


def noise(height=96, width=200, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def on_device(cuda):
    made = OnDevice(prepare, **SIZE)
    yield made
    made.close()


def test_it_is_proven_when_it_is_made(on_device):
    assert on_device.difference <= BOUND + 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_lies_on_the_gpu_is_what_the_cpu_prepares(cuda, dtype):
    on_device = OnDevice(prepare, **SIZE, dtype=dtype)
    for image in (noise(), noise(seed=1), noise(375, 1242), noise()):  # another camera, and back
        given = on_device(image)
        wanted = prepare(image, **SIZE)
        assert (given.shape, given.dtype) == (wanted.shape, dtype)
        np.testing.assert_allclose(on_device.downloaded(given), wanted, atol=1e-6 if dtype == np.float32 else 1e-3)
        np.testing.assert_array_equal(np.asarray(given), wanted)
        np.testing.assert_array_equal(given[..., ::-1], wanted[..., ::-1])
    del given, on_device


def test_an_image_that_is_a_view_into_another(on_device):
    bgr = noise(100, 300)[:90, 10:250, ::-1]
    np.testing.assert_allclose(on_device.downloaded(on_device(bgr)), prepare(np.ascontiguousarray(bgr), **SIZE), atol=BOUND + 1e-6)


def test_inputs_that_are_held_stay_and_the_others_memory_is_used_again(cuda, on_device):
    previous = on_device(noise(seed=1))
    wanted = on_device.downloaded(previous)
    now = on_device(noise(seed=2))
    previous, now = now, on_device(noise(seed=3))
    cuda.calls.clear()
    for seed in range(4, 8):
        previous, now = now, on_device(noise(seed=seed))
    assert not {"cudaMalloc", "cudaMallocHost", "cudaFree"} & set(cuda.calls), "it allocates while driving"
    assert cuda.calls[:3] == ["cudaMemcpyAsync", "cuLaunchKernel", "cudaStreamSynchronize"]
    np.testing.assert_allclose(on_device.downloaded(previous), prepare(noise(seed=6), **SIZE), atol=BOUND + 1e-6)
    assert np.abs(on_device.downloaded(previous) - wanted).max() > 0.1


def test_an_input_outlives_what_made_it(cuda):
    on_device = OnDevice(prepare, **SIZE)
    image = on_device(noise())
    gc.disable()
    try:
        del on_device
        assert cuda.alive()["device"] == 1, "only the input that is held"
        np.testing.assert_array_equal(np.asarray(image), prepare(noise(), **SIZE))
        del image
        assert not any(cuda.alive().values()), "a cycle keeps it"
    finally:
        gc.enable()


def test_it_is_an_array_even_when_the_gpu_is_gone(cuda, on_device):
    image = on_device(noise())
    cuda.fails = dict.fromkeys(("cudaMemcpyAsync", "cudaStreamSynchronize", "cuLaunchKernel"), Status.cudaErrorIllegalAddress)
    np.testing.assert_array_equal(np.asarray(image), prepare(noise(), **SIZE))
    with pytest.raises(BadInput, match="cudaErrorIllegalAddress"):
        on_device(noise())
    cuda.fails.clear()
    del image


@pytest.mark.parametrize(
    "name", ["nvrtcCompileProgram", "cuModuleLoadData", "cudaMalloc", "cudaMallocHost", "cuLaunchKernel", "cudaStreamSynchronize"]
)
def test_whatever_cuda_refuses_is_a_sentence_and_leaves_nothing_behind(cuda, name):
    """The fixture counts what is left."""
    cuda.fails[name] = BAD
    with pytest.raises(BadInput, match=f"^CUDA: {name}: "):
        OnDevice(prepare, **SIZE)
    cuda.fails.clear()
    gc.collect()  # errors that came of errors hold their frames in a circle


def test_a_kernel_that_gives_other_numbers_never_prepares(cuda):
    with pytest.raises(BadInput, match=r"the kernel that prepares images is off by 0\.0\d+ of 1, wanted 0\.0039"):
        OnDevice(lambda image, **size: prepare(image, **size) * np.float32(0.98), **SIZE)


# --- and the networks that look at it ---------------------------------------------------------------------------------------


@pytest.fixture
def tensorrt(cuda):
    """sum = image + neighbour."""

    def kernel(stream, addresses, shapes, types):
        def work():
            image, neighbour, out = (array_at(addresses[name], shapes[name], types[name]) for name in ("image", "neighbour", "sum"))
            out[...] = image.astype(np.float32) + neighbour

        cuda.launch(stream, work)

    return TensorRTDouble(kernel)


@pytest.mark.parametrize("kind", ["FLOAT", "HALF"])
def test_a_network_takes_its_inputs_where_they_lie(cuda, on_device, tensorrt, kind):
    shape = [1, 3, 32, 64]
    engine = TensorRT(
        engine_bytes(("image", "INPUT", shape, kind), ("neighbour", "INPUT", shape, kind), ("sum", "OUTPUT", shape, "FLOAT")),
        package=tensorrt.package,
    )
    earlier, later = on_device(noise(seed=1)), on_device(noise(seed=2))
    copies = []
    real = type(cuda).cudaMemcpyAsync
    cuda.cudaMemcpyAsync = lambda *given: copies.append(given[3]) or real(cuda, *given)
    wanted = prepare(noise(seed=1), **SIZE) + prepare(noise(seed=2), **SIZE)
    np.testing.assert_allclose(engine(image=earlier, neighbour=later)["sum"], wanted, atol=3e-3)
    assert copies == [3, 3] if kind == "FLOAT" else [1, 1], "of the same type: device to device; of another: from the host"
    np.testing.assert_allclose(engine(image=np.asarray(earlier), neighbour=later)["sum"], wanted, atol=3e-3)
    del cuda.cudaMemcpyAsync
    engine.close()
