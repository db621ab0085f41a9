"""engine.tensorrt_runtime with doubles of CUDA and TensorRT: known arithmetic, every refusal a sentence, everything released once."""

import ctypes
import gc
import re

import numpy as np
import pytest
import tensorrt_double
from cuda_double import Status
from tensorrt_double import TensorRTDouble, array_at, engine_bytes

from depth_perception.engine import cuda as cuda_calls
from depth_perception.engine import tensorrt_build, tensorrt_package
from depth_perception.engine.tensorrt_context import Context
from depth_perception.engine.tensorrt_runtime import TensorRT
from depth_perception.frame import BadInput

ENGINE = engine_bytes(("depth", "OUTPUT", [1, 1, 4, 8], "FLOAT"), ("image", "INPUT", [1, 3, 4, 8], "HALF"))
IMAGE = np.random.default_rng(0).random((1, 3, 4, 8), np.float32)


@pytest.fixture
def double(cuda):
    """depth = 5 + 40 * mean over the channels, put on the double's stream."""

    def kernel(stream, addresses, shapes, types):
        def work():
            image, depth = (array_at(addresses[name], shapes[name], types[name]) for name in ("image", "depth"))
            depth[...] = 5 + 40 * image.astype(np.float32).mean(1, keepdims=True)

        cuda.launch(stream, work)

    return TensorRTDouble(kernel)


def check(engine, image=IMAGE):
    depth = engine(image=image)["depth"]
    assert (depth.dtype, depth.shape) == (np.float32, (1, 1, 4, 8))
    np.testing.assert_allclose(depth, 5 + 40 * image.astype(np.float16).astype(np.float32).mean(1, keepdims=True), rtol=1e-6)
    return depth


@pytest.mark.parametrize("name", ["Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache"])
def test_the_double_has_the_calls_and_parameters_of_the_real_classes(name):
    real = getattr(pytest.importorskip("tensorrt_rtx"), name)
    double = getattr(tensorrt_double, name)
    for call, value in dict(vars(double)).items():
        if call.startswith("_") or call in double.__annotations__:
            continue
        assert hasattr(real, call), f"{name} has no {call}"
        if callable(value):
            mine = value.__code__.co_varnames[1 : value.__code__.co_argcount]
            signatures = re.findall(rf"{call}\(self: [\w.]+((?:, \w+: [^,)]+)*)", getattr(real, call).__doc__)
            assert any(mine == tuple(re.findall(r", (\w+):", signature)) for signature in signatures), (name, call, signatures)


def test_a_call_is_copied_run_and_read_once(cuda, double):
    with TensorRT(ENGINE, package=double.package, precision="fp16") as engine:
        assert engine.name == "tensorrt_rtx 1.7.1 fp16"
        assert (engine.inputs, engine.outputs) == ({"image": [1, 3, 4, 8]}, {"depth": [1, 1, 4, 8]})
        cuda.calls.clear()
        first = check(engine)
        assert cuda.calls == ["cudaMemcpyAsync", "cudaGraphLaunch", "cudaStreamSynchronize"], "no allocation while driving"
        kept = first.copy()
        check(engine, IMAGE * 0.5)
        np.testing.assert_array_equal(first, kept)  # the caller's own, not the memory that the next call writes


def test_without_a_graph_it_runs_all_the_same(cuda, double):
    double.capturable = False
    with TensorRT(ENGINE, package=double.package) as engine:
        assert engine.name.endswith("fp32 without CUDA graph")
        assert "cudaStreamBeginCapture" not in cuda.calls
        check(engine)
    double.capturable = True
    cuda.fails["cudaGraphInstantiate"] = Status.cudaErrorInvalidValue
    with TensorRT(ENGINE, package=double.package) as engine:
        assert engine.name.endswith("without CUDA graph")
        check(engine)


def test_inputs_on_the_gpu_stay_there(cuda, double):
    with TensorRT(ENGINE, package=double.package) as engine:
        wanted = check(engine)
        check(engine, 1 - IMAGE)
        assert engine.input_types == {"image": np.float16}
        message = IMAGE.astype(np.float16)
        cuda._memory[message.ctypes.data] = "device", (ctypes.c_byte * message.nbytes).from_buffer(message)
        np.testing.assert_array_equal(engine.run_device(image=message.ctypes.data)["depth"], wanted)
        del cuda._memory[message.ctypes.data]


def test_a_forgotten_engine_releases_everything_without_the_garbage_collector(cuda, double):
    gc.disable()
    try:
        engine = TensorRT(ENGINE, package=double.package)
        assert cuda.alive() == {"device": 2, "host": 2, "streams": 1, "graphs": 0, "executables": 1, "modules": 0, "programs": 0}
        del engine
        assert not any(cuda.alive().values()), "a cycle keeps it"
    finally:
        gc.enable()


def test_a_closed_engine_says_so(double):
    engine = TensorRT(ENGINE, package=double.package)
    engine.close()
    engine.close()
    with pytest.raises(BadInput, match="closed"):
        engine(image=IMAGE)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"image": IMAGE[:, :2]}, r"engine input image: wanted shape \(1, 3, 4, 8\), got \(1, 2, 4, 8\)"),
        ({"picture": IMAGE}, r"wanted inputs \['image'\], got \['picture'\]"),
        ({}, r"wanted inputs \['image'\], got \[\]"),
    ],
)
def test_what_it_cannot_take(double, arrays, says):
    with TensorRT(ENGINE, package=double.package) as engine, pytest.raises(BadInput, match=says):
        engine(**arrays)


@pytest.mark.parametrize(
    "name",
    ["cudaStreamCreateWithFlags", "cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaStreamSynchronize"],
)
def test_whatever_cuda_refuses_is_a_sentence_and_leaves_nothing_behind(cuda, double, name):
    cuda.fails[name] = Status.cudaErrorMemoryAllocation
    with pytest.raises(BadInput, match=rf"^CUDA: {name}: cudaErrorMemoryAllocation"):
        TensorRT(ENGINE, package=double.package)
    if name == "cudaStreamSynchronize":  # asked again before the stream ends, and refused again; it ends all the same
        assert cuda.calls[-1] == "cudaStreamDestroy"


def test_an_error_while_driving_names_its_call_and_the_engine_still_closes(cuda, double):
    with TensorRT(ENGINE, package=double.package) as engine:
        cuda.fails["cudaGraphLaunch"] = Status.cudaErrorLaunchFailure
        with pytest.raises(BadInput, match="CUDA: cudaGraphLaunch: cudaErrorLaunchFailure"):
            engine(image=IMAGE)
        cuda.fails.clear()
        check(engine)


def test_whatever_tensorrt_refuses_comes_with_its_reason(double):
    with pytest.raises(BadInput, match=r"tensorrt_rtx 1\.7\.1: deserialize_cuda_engine failed: .*magic tag does not match"):
        TensorRT(b"not an engine", package=double.package)
    for call, reason in (("create_execution_context", "it does not say why"), ("execute_async_v3", "Error Code 7 more")):
        double.refuses = call
        with pytest.raises(BadInput, match=f"{call} failed: .*{reason}"):
            TensorRT(ENGINE, package=double.package)


def test_the_real_package_says_why_it_does_not_load(tiny_model):
    """Built for real, on any machine; to load it takes a GPU of that kind."""
    pytest.importorskip("tensorrt_rtx")
    package = tensorrt_package.load("tensorrt_rtx")
    engine = tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm86").engine
    with pytest.raises(BadInput, match=r"^tensorrt_rtx [\d.]+: deserialize_cuda_engine failed: .*Serialization"):
        Context(engine[:-1], package=package, runtime_cache=None)
    try:
        cuda_calls.this_gpu()
    except BadInput:
        with pytest.raises(BadInput, match=r"deserialize_cuda_engine failed: .*cudaError"):
            Context(engine, package=package, runtime_cache=None)


def test_types_and_shapes_that_it_cannot_hold(cuda, double):
    with pytest.raises(BadInput, match="nptype failed: Could not resolve"):
        TensorRT(engine_bytes(("image", "INPUT", [1, 3, 4, 8], "BF16")), package=double.package)
    with pytest.raises(BadInput, match=r"engine tensor depth: wanted a fixed shape, it has \(1, 1, -1, 8\)"):
        TensorRT(engine_bytes(("depth", "OUTPUT", [1, 1, -1, 8], "FLOAT")), package=double.package)
    assert not any(cuda.alive().values())


def test_an_open_input_takes_the_shape_that_the_engine_was_built_for(double):
    engine = engine_bytes(("image", "INPUT", [-1, 3, 4, 8], "HALF"), ("depth", "OUTPUT", [1, 1, 4, 8], "FLOAT"))
    with TensorRT(engine, package=double.package) as engine:
        check(engine)


# --- the kernels that an RTX engine compiles ------------------------------------------------------------------------------


def test_compiled_kernels_are_kept_for_the_next_start(double, tmp_path):
    file = tmp_path / "depth.0123.kernels"
    for _ in range(3):
        with TensorRT(ENGINE, package=double.package, runtime_cache=file) as engine:
            check(engine)
    assert double.compiled == 1
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content[:40] + b"?" + content[41:]])
def test_damaged_kernels_are_compiled_anew(double, tmp_path, damage):
    file = tmp_path / "depth.0123.kernels"
    for expected in (1, 2, 2):
        with TensorRT(ENGINE, package=double.package, runtime_cache=file):
            assert double.compiled == expected
        if expected == 1:
            file.write_bytes(damage(file.read_bytes()))


def test_a_place_that_cannot_be_written_costs_no_drive(double, tmp_path):
    (tmp_path / "file").write_text("")
    with TensorRT(ENGINE, package=double.package, runtime_cache=tmp_path / "file" / "kernels") as engine:
        check(engine)


def test_plain_tensorrt_has_no_such_kernels(cuda, double, tmp_path):
    plain = TensorRTDouble(double.kernel, name="tensorrt")
    with TensorRT(ENGINE, package=plain.package, runtime_cache=tmp_path / "kernels") as engine:
        check(engine)
    assert plain.configs == [None]
    assert not (tmp_path / "kernels").exists()
