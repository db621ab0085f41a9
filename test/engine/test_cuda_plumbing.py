"""The same memory, streams and graphs on a real GPU, with a kernel of our own in TensorRT's place. Needs cuda-bindings, no TensorRT."""

import ctypes
import gc

import numpy as np
import pytest
from tensorrt_double import TensorRTDouble, engine_bytes

from depth_perception.engine.cuda import call, this_gpu
from depth_perception.engine.device_memory import Buffer, Stream
from depth_perception.engine.tensorrt_runtime import TensorRT
from depth_perception.frame import BadInput

# to[i] = 5 + 40 * (from[i] + from[i + n] + from[i + 2 n]) / 3: the tiny model's depth network. The driver compiles it.
PTX = b"""
.version 6.4
.target sm_75
.address_size 64
.visible .entry depth(.param .u64 to, .param .u64 source, .param .u32 n)
{
    .reg .pred %done;
    .reg .b32 %i, %block, %threads, %thread, %n;
    .reg .b64 %to, %source, %at, %step;
    .reg .f32 %sum, %value;
    mov.u32 %block, %ctaid.x;
    mov.u32 %threads, %ntid.x;
    mov.u32 %thread, %tid.x;
    mad.lo.u32 %i, %block, %threads, %thread;
    ld.param.u32 %n, [n];
    setp.ge.u32 %done, %i, %n;
    @%done ret;
    ld.param.u64 %to, [to];
    ld.param.u64 %source, [source];
    cvta.to.global.u64 %to, %to;
    cvta.to.global.u64 %source, %source;
    mul.wide.u32 %at, %i, 4;
    mul.wide.u32 %step, %n, 4;
    add.u64 %to, %to, %at;
    add.u64 %source, %source, %at;
    ld.global.f32 %sum, [%source];
    add.u64 %source, %source, %step;
    ld.global.f32 %value, [%source];
    add.f32 %sum, %sum, %value;
    add.u64 %source, %source, %step;
    ld.global.f32 %value, [%source];
    add.f32 %sum, %sum, %value;
    fma.rn.f32 %sum, %sum, 0f41555555, 0f40A00000;
    st.global.f32 [%to], %sum;
    ret;
}
\0"""
IMAGE = np.random.default_rng(0).random((1, 3, 192, 640), np.float32)
ENGINE = engine_bytes(("image", "INPUT", list(IMAGE.shape), "FLOAT"), ("depth", "OUTPUT", [1, 1, 192, 640], "FLOAT"))


@pytest.fixture(scope="module")
def gpu():
    try:
        return this_gpu()
    except BadInput as error:
        pytest.skip(f"no CUDA GPU on this machine ({error})")


@pytest.fixture
def double(gpu):
    """A TensorRT whose one network is the kernel above, put on the engine's own stream."""
    from cuda.bindings import driver

    def asked(answer):
        status, *values = answer
        assert status == driver.CUresult.CUDA_SUCCESS, status
        return values[0] if values else None

    call("cudaFree", 0)  # makes the runtime's context current in this thread
    image = np.frombuffer(PTX, np.uint8)
    module = asked(driver.cuModuleLoadData(image.ctypes.data))
    function = asked(driver.cuModuleGetFunction(module, b"depth"))

    def kernel(stream, addresses, shapes, types):
        n = int(np.prod(shapes["depth"]))
        arguments = ((addresses["depth"], addresses["image"], n), (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32))
        asked(driver.cuLaunchKernel(function, -(-n // 256), 1, 1, 256, 1, 1, 0, stream, arguments, 0))

    yield TensorRTDouble(kernel)
    asked(driver.cuModuleUnload(module))


def free_bytes():
    call("cudaDeviceSynchronize")
    return call("cudaMemGetInfo")[0]


def test_what_the_gpu_says_of_itself(gpu):
    assert gpu.name
    assert gpu.capability.startswith("sm") and int(gpu.capability[2:]) >= 75
    assert gpu.memory_mib > 1000


def test_there_and_back(gpu):
    stream, buffer = Stream(), Buffer(IMAGE.shape, np.float32)
    buffer.host[...] = IMAGE
    stream.upload(buffer)
    stream.wait()
    buffer.host[...] = 0
    stream.download(buffer)
    stream.wait()
    np.testing.assert_array_equal(buffer.host, IMAGE)
    for each in (buffer, stream, buffer, stream):
        each.close()


def test_a_network_as_a_graph_and_without(double):
    for double.capturable in (True, False):
        with TensorRT(ENGINE, package=double.package) as engine:
            assert engine.name.endswith("without CUDA graph") != double.capturable
            for image in (IMAGE, 1 - IMAGE, IMAGE):
                np.testing.assert_allclose(engine(image=image)["depth"], 5 + 40 * image.mean(1, keepdims=True), rtol=1e-5)


def test_inputs_on_the_gpu_stay_there(double):
    with TensorRT(ENGINE, package=double.package) as engine:
        wanted = engine(image=IMAGE)["depth"]
        engine(image=1 - IMAGE)
        stream, message = Stream(), Buffer(IMAGE.shape, engine.input_types["image"])
        message.host[...] = IMAGE
        stream.upload(message)
        stream.wait()
        np.testing.assert_array_equal(engine.run_device(image=message.device)["depth"], wanted)
        message.close()
        stream.close()


def test_what_breaks_a_recording_leaves_the_stream_usable(double):
    """A wait while a graph is recorded: CUDA breaks the recording off, and must not hold it against us."""
    kernel, runs = double.kernel, []

    def waits(stream, *arguments):
        runs.append(stream)
        if len(runs) == 2:  # the first run is plain, the second is recorded
            call("cudaStreamSynchronize", stream)
        kernel(stream, *arguments)

    double.kernel = waits
    with TensorRT(ENGINE, package=double.package) as engine:
        assert engine.name.endswith("without CUDA graph")
        np.testing.assert_allclose(engine(image=IMAGE)["depth"], 5 + 40 * IMAGE.mean(1, keepdims=True), rtol=1e-5)


def test_a_wrong_address_is_a_sentence(gpu):
    with pytest.raises(BadInput, match=r"^CUDA: cudaFree: "):
        call("cudaFree", 12345)


def test_engines_come_and_go_without_a_leak(double):
    gc.disable()  # as a driving node does
    try:
        for turn in range(30):
            TensorRT(ENGINE, package=double.package)(image=IMAGE)
            if turn == 9:
                before = free_bytes()
        assert free_bytes() >= before - (1 << 20), "each engine holds 2 MiB"
    finally:
        gc.enable()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_camera_images_are_prepared_as_the_cpu_does(gpu, dtype):
    pytest.importorskip("cv2")
    from depth_perception.engine.preparation import BOUND, ROUNDING, OnDevice
    from depth_perception.systems.network_input import prepare

    size = {"height": 128, "width": 416}
    on_device = OnDevice(prepare, **size, dtype=dtype)
    for rows, columns in ((375, 1242), (1080, 1920), (200, 500), (100, 300), (375, 1242)):
        image = np.random.default_rng(rows).integers(0, 256, (rows, columns, 3), np.uint8)
        np.testing.assert_allclose(on_device.downloaded(on_device(image)), prepare(image, **size), atol=BOUND + ROUNDING, rtol=0)


def test_a_network_takes_what_was_prepared_where_it_lies(double):
    pytest.importorskip("cv2")
    from depth_perception.engine.preparation import OnDevice
    from depth_perception.systems.network_input import prepare

    on_device = OnDevice(prepare, height=192, width=640)
    with TensorRT(ENGINE, package=double.package) as engine:
        for seed in range(5):
            camera = np.random.default_rng(seed).integers(0, 256, (375, 1242, 3), np.uint8)
            wanted = engine(image=prepare(camera, height=192, width=640))["depth"]
            np.testing.assert_allclose(engine(image=on_device(camera))["depth"], wanted, atol=40 / 255 + 1e-3)
