"""engine/image_kernels.cu: the source that a GPU gets, compiled for GPUs by the real compiler, and run here by the CPU."""

import ctypes

import numpy as np
import pytest
from host_kernels import prepared
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.engine import cuda as cuda_calls
from depth_perception.engine import kernels
from depth_perception.frame import BadInput
from depth_perception.systems.network_input import prepare

# To the level; other builds of OpenCV may round in other places.
LEVEL = 1 / 255 + 1e-6


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def agree(image, *, height, width):
    """The kernel's image is that of `prepare`, to the level everywhere and to the bit almost everywhere."""
    wanted, got = prepare(image, height=height, width=width), prepared(image, height=height, width=width)
    np.testing.assert_allclose(got, wanted, atol=LEVEL, rtol=0)
    assert (got == wanted).mean() > 0.97


@pytest.mark.parametrize(
    "size",
    [
        (375, 1242),  # KITTI
        (1080, 1920),
        (720, 1280),
        (2160, 3840),
        (256, 832),  # exactly twice: the mean of four
        (512, 1664),  # four times: that mean twice
        (384, 1248),  # three times
        (200, 500),  # less than twice: areas
        (300, 416),  # areas in one direction only
        (200, 300),  # fewer rows, more columns
        (128, 416),
        (100, 300),  # enlarged
        (100, 1000),
        (1, 1),
    ],
)
def test_real_and_awkward_sizes(size):
    agree(noise(*size), height=128, width=416)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_any_size_of_camera_and_network(height, width, h, w, seed):
    image = noise(height, width, seed)
    np.testing.assert_allclose(prepared(image, height=h, width=w), prepare(image, height=h, width=w), atol=LEVEL, rtol=0)


def test_colours_and_places_by_hand():
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, :, 0], image[:32, :, 1], image[:, 64:, 2] = 255, 51, 102
    got = prepared(image, height=16, width=32)[0]
    assert (got[0] == 1).all()
    np.testing.assert_allclose(got[1], np.where(np.arange(16) < 8, 0.2, 0)[:, None] + np.zeros(32), atol=1e-7)
    np.testing.assert_allclose(got[2], np.where(np.arange(32) < 16, 0, 0.4) + np.zeros((16, 1)), atol=1e-7)


def test_half_floats_are_the_same_rounded():
    image = noise(375, 1242)
    half = prepared(image, height=128, width=416, dtype=np.float16)
    np.testing.assert_array_equal(half, prepared(image, height=128, width=416).astype(np.float16))


@pytest.mark.parametrize("capability", ["sm86", "sm89"])
def test_the_real_compiler_takes_it_without_a_gpu(capability):
    pytest.importorskip("cuda.bindings.nvrtc")
    try:
        code = kernels.compiled(capability)
    except BadInput as error:
        if "NVRTC_ERROR" in str(error):
            raise
        pytest.skip(f"NVRTC is not installed ({error})")
    assert code.startswith(b"\x7fELF")
    assert b"prepare_float32" in code and b"prepare_float16" in code


def test_what_the_real_compiler_refuses_is_a_sentence(monkeypatch, tmp_path):
    pytest.importorskip("cuda.bindings.nvrtc")
    with pytest.raises(BadInput, match=r"^CUDA: nvrtcC"):
        kernels.compiled("sm1")
    broken = tmp_path / "broken.cu"
    broken.write_text("__global__ void prepare( {")
    monkeypatch.setattr(kernels, "SOURCE", broken)
    with pytest.raises(BadInput, match=r"^CUDA: nvrtcC.*(broken\.cu\(1\): error|not be found|could not)"):
        kernels.compiled("sm86")


def test_another_kind_of_gpu_and_its_log(cuda):
    with pytest.raises(BadInput, match=r"nvrtcCompileProgram: .*: no sm_86$"):
        kernels.compiled("sm89")


@pytest.mark.parametrize("name", ["cuModuleLoadData", "cuModuleGetFunction"])
def test_what_the_driver_refuses_leaves_nothing_behind(cuda, name):
    from cuda_double import BAD

    cuda.fails[name] = BAD
    with pytest.raises(BadInput, match=f"^CUDA: {name}: "):
        kernels.Kernels("sm86")
    assert not any(cuda.alive().values())


def test_the_real_bindings_take_its_arguments():
    """They read them before they look for a driver; what they cannot read is a TypeError."""
    driver = pytest.importorskip("cuda.bindings.driver")
    _, grid, block, arguments = kernels.launch_of(1, (375, 1242), 2, 3, (128, 416), np.float32)
    assert (grid, block) == ((13, 16), (32, 8))
    with pytest.raises(TypeError):
        driver.cuLaunchKernel(0, *grid, 1, *block, 1, 0, 0, ((1,), (ctypes.c_wchar_p,)), 0)
    try:
        cuda_calls.this_gpu()
    except BadInput:
        with pytest.raises(RuntimeError, match="driver"):
            driver.cuLaunchKernel(0, *grid, 1, *block, 1, 0, 0, arguments, 0)
