"""engine.failover: what fails while driving costs an engine, says so, and answers the same call."""

import gc
import shutil

import numpy as np
import pytest
import worlds
from cuda_double import Status
from tensorrt_double import TensorRTDouble, array_at, engine_bytes

from depth_perception import engine
from depth_perception import model as models
from depth_perception.engine import Failover, Preparation, onnx_runtime, selection, tensorrt_package
from depth_perception.engine.preparation import DeviceImage
from depth_perception.engine.selftest import Proof
from depth_perception.engine.tensorrt_runtime import TensorRT
from depth_perception.frame import BadInput
from depth_perception.systems.depth import Depth, DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.network_input import prepare
from depth_perception.systems.odometry import Odometry

IMAGE = np.full((1, 3, 32, 64), 0.25, np.float32)
SIZE = {"height": 32, "width": 64}
DEAD = dict.fromkeys(("cudaMemcpyAsync", "cudaGraphLaunch", "cudaStreamSynchronize", "cuLaunchKernel"), Status.cudaErrorIllegalAddress)


class Counting:
    """An engine that answers with its number until it has been called often enough."""

    inputs = {"image": [1, 3, 32, 64]}  # noqa: RUF012

    def __init__(self, device, number, *, good_calls=10**9, error=None):
        self.device = self.name = device
        self._number, self._left, self._error = number, good_calls, error or BadInput(f"{device} is lost")

    def __call__(self, image):
        self._left -= 1
        if self._left < 0:
            raise self._error
        return {"depth": np.full((1, 1, 32, 64), self._number)}


def proven(*arguments, **options):
    return selection.Proven(Counting(*arguments, **options), Proof(0.0, 1.0, 1, 0.0))


def answers(failover, calls):
    return [int(failover(image=IMAGE)["depth"][0, 0, 0, 0]) for _ in range(calls)]


def test_each_that_fails_is_followed_by_the_next_best_and_every_call_is_answered():
    failover = Failover(proven("tensorrt", 1, good_calls=3), (proven("cuda", 2, good_calls=2), proven("cpu", 3)))
    assert (answers(failover, 3), failover.now.fell_back) == ([1, 1, 1], ())
    assert answers(failover, 2) == [2, 2]
    assert failover.now.fell_back == ("fell back to ONNX Runtime on the GPU while driving: tensorrt is lost",)
    assert answers(failover, 2) == [3, 3]
    assert failover.now.fell_back[1:] == ("fell back to ONNX Runtime on the CPU while driving: cuda is lost",)


def test_one_that_takes_its_neighbour_along_costs_no_call():
    error = RuntimeError("CUDNN failure 4")
    failover = Failover(proven("tensorrt", 1, good_calls=1), (proven("cuda", 2, good_calls=0, error=error), proven("cpu", 3)))
    assert answers(failover, 3) == [1, 3, 3]
    assert failover.now.fell_back[1].endswith("while driving: internal error: RuntimeError: CUDNN failure 4")


def test_the_last_one_s_error_is_the_caller_s():
    failover = Failover(proven("cpu", 1, good_calls=1))
    assert answers(failover, 1) == [1]
    with pytest.raises(BadInput, match="cpu is lost"):
        failover(image=IMAGE)
    assert failover.now.fell_back == ()


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"image": IMAGE[:, :2]}, r"engine input image: wanted shape \(1, 3, 32, 64\), got \(1, 2, 32, 64\)"),
        ({"picture": IMAGE}, r"wanted inputs \['image'\], got \['picture'\]"),
    ],
)
def test_what_the_caller_did_wrong_costs_no_engine(arrays, says):
    failover = Failover(proven("tensorrt", 1), (proven("cpu", 2),))
    with pytest.raises(BadInput, match=says):
        failover(**arrays)
    assert failover.now.device == "tensorrt"


# --- with the double of a GPU ------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_model, tmp_path):
    return models.load(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def car(cuda, model, monkeypatch):
    """A depth network on TensorRT (5 + 40 * mean, the tiny model's), and the CPU standing by."""

    def kernel(stream, addresses, shapes, types):
        def work():
            image, depth = (array_at(addresses[name], shapes[name], types[name]) for name in ("image", "depth"))
            depth[...] = 5 + 40 * image.mean(1, keepdims=True)

        cuda.launch(stream, work)

    double = TensorRTDouble(kernel)
    content = engine_bytes(("image", "INPUT", [1, 3, 32, 64], "FLOAT"), ("depth", "OUTPUT", [1, 1, 32, 64], "FLOAT"))
    monkeypatch.setattr(tensorrt_package, "load", lambda name=None: double.package)
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    real = selection.only

    def only(model, network, device, *arguments, **options):
        if device == "tensorrt":
            return selection.Proven(TensorRT(content, package=double.package), Proof(0.0, 2e-3, 1, 0.0))
        return real(model, network, device, *arguments, **options)

    monkeypatch.setattr(selection, "only", only)
    car = engine.load_with_standby(model, "depth", device="tensorrt")
    yield car
    if car.now.device == "tensorrt":
        car.now.engine.close()


def test_what_stands_by_is_proven_before_the_drive(car):
    assert (car.now.device, car.missing) == ("tensorrt", ())
    assert (car.inputs, car.outputs) == ({"image": [1, 3, 32, 64]}, {"depth": [1, 1, 32, 64]})
    assert [standby.device for standby in car._standby] == ["cpu"]
    assert car._standby[0].proof.bound == 2e-3


def test_a_car_without_a_gpu_loads_nothing_twice(model, no_cuda):
    car = engine.load_with_standby(model, "depth")
    assert (car.now.device, car._standby, car.missing) == ("cpu", [], ())


def test_what_cannot_stand_by_is_said_and_the_better_engine_drives(car, model, monkeypatch):
    model.onnx("depth").write_bytes(b"no network")
    car = engine.load_with_standby(model, "depth", device="tensorrt")
    assert car.now.device == "tensorrt"
    car.now.engine.close()
    assert car.missing[0].startswith("ONNX Runtime on the CPU cannot stand by for depth: engine ")


def test_a_gpu_that_dies_costs_no_frame_and_lets_everything_go(car, cuda):
    preparation = Preparation(car, prepare, **SIZE)
    assert (preparation.name, preparation.missing) == ("GPU", ())
    camera = np.random.default_rng(0).integers(0, 256, (96, 200, 3), np.uint8)
    wanted = 5 + 40 * prepare(camera, **SIZE).mean(1, keepdims=True)
    image = preparation(camera, **SIZE)
    assert isinstance(image, DeviceImage)
    np.testing.assert_allclose(car(image=image)["depth"], wanted, rtol=1e-5)
    cuda.fails = dict(DEAD)  # between preparing and inferring: what lies on the GPU is lost
    np.testing.assert_allclose(car(image=image)["depth"], wanted, rtol=1e-5)
    assert car.now.fell_back[0].startswith("fell back to ONNX Runtime on the CPU while driving: CUDA: cudaMemcpyAsync: ")
    after = preparation(camera, **SIZE)
    assert isinstance(after, np.ndarray) and preparation.name == "CPU"
    assert preparation.fell_back == (), "nobody on the GPU wants it any more, that is no other failure"
    np.testing.assert_allclose(car(image=after)["depth"], wanted, rtol=1e-5)
    del image
    gc.collect()  # errors that came of errors hold their frames in a circle
    assert not any(cuda.alive().values())


@pytest.mark.parametrize("dies_at", [2, None])
def test_a_whole_drive_is_the_cpu_s_to_the_last_output(car, cuda, model, dies_at):
    """Corners are few in noise this small, so the pose network also looks at the inputs mirrored."""

    def outputs(depth_engine, prepare_images, before_frame=lambda i: None):
        sizes = {**SIZE, "canonical_focal_px": 100.0}
        pose = engine.load_with_standby(model, "pose", device="cpu")
        drive = Drive(Depth(depth_engine, **sizes, prepare=prepare_images), Odometry(pose, **sizes))
        for i in range(5):
            before_frame(i)
            image = np.random.default_rng(i // 2).integers(0, 256, (*worlds.SIZE, 3), np.uint8)
            yield from drive.step(worlds.frame(stamp_ns=i * 100_000_000, image=image))

    def die(i):
        cuda.fails = dict(DEAD) if i == dies_at else cuda.fails

    on_gpu = outputs(car, Preparation(car, prepare, **SIZE), die)
    count = 0
    for got, wanted in zip(on_gpu, outputs(engine.load(model, "depth", device="cpu"), prepare), strict=True):
        count += 1
        if isinstance(wanted, DepthOutput):
            np.testing.assert_allclose(got.depth, wanted.depth, rtol=1e-5)
        else:
            np.testing.assert_allclose(got.T_odom_base, wanted.T_odom_base, atol=1e-6)
    assert count == 9, "five depths, four motions"
    assert (car.now.device == "tensorrt") == (dies_at is None)
    del got
    gc.collect()


def test_a_gpu_that_dies_while_it_prepares(car, cuda):
    preparation = Preparation(car, prepare, **SIZE)
    cuda.fails = dict(DEAD)
    camera = np.full((96, 200, 3), 51, np.uint8)
    image = preparation(camera, **SIZE)
    np.testing.assert_array_equal(image, prepare(camera, **SIZE))
    assert preparation.fell_back[0].startswith("fell back to preparing images on the CPU while driving: CUDA: cudaMemcpyAsync: ")
    np.testing.assert_allclose(car(image=image)["depth"], 13, rtol=1e-5)


def test_without_a_compiler_the_cpu_prepares_and_the_engine_stays(car, cuda):
    cuda.fails["nvrtcCreateProgram"] = Status.cudaErrorInvalidValue
    preparation = Preparation(car, prepare, **SIZE)
    assert preparation.missing[0].startswith("the CPU prepares images: CUDA: nvrtcCreateProgram")
    image = preparation(np.full((96, 200, 3), 51, np.uint8), **SIZE)
    np.testing.assert_allclose(car(image=image)["depth"], 13, rtol=1e-5)
    assert (car.now.device, car.now.fell_back, preparation.fell_back) == ("tensorrt", (), ())


def test_the_cpu_prepares_for_the_cpu(model, no_cuda):
    preparation = Preparation(engine.load_with_standby(model, "depth"), prepare, **SIZE)
    assert (preparation.name, preparation.missing) == ("CPU", ())
    assert isinstance(preparation(np.zeros((96, 200, 3), np.uint8), **SIZE), np.ndarray)
