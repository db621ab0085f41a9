"""engine.selection: which engine drives, that every step down is said, and that no other network's engine ever does."""

import ctypes
import hashlib
import json
import shutil

import numpy as np
import pytest
from cuda_double import CudaDouble
from tensorrt_double import TensorRTDouble, engine_bytes

from depth_perception import engine
from depth_perception import model as models
from depth_perception.engine import onnx_runtime, selection, tensorrt_build, tensorrt_package
from depth_perception.frame import BadInput

IMAGE = np.full((1, 3, 32, 64), 0.25, np.float32)


@pytest.fixture
def model(tiny_model, tmp_path):
    return models.load(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def vehicle(cuda, monkeypatch):
    """A car with an RTX GPU: TensorRT computes what the tiny model's depth network does, times `wrong`; builds are counted."""

    def array_at(address, shape):
        return np.frombuffer((ctypes.c_byte * (4 * int(np.prod(shape)))).from_address(address), np.float32).reshape(shape)

    def kernel(stream, addresses, shapes, types):
        def work():
            image, depth = (array_at(addresses[name], shapes[name]) for name in ("image", "depth"))
            depth[...] = (5 + 40 * image.mean(1, keepdims=True)) * double.wrong

        cuda.launch(stream, work)

    def build(onnx, **options):
        double.built += 1
        options["progress"]("tactics", 0.5) if options.get("progress") else None
        content = engine_bytes(("image", "INPUT", [1, 3, 32, 64], "FLOAT"), ("depth", "OUTPUT", [1, 1, 32, 64], "FLOAT"))
        return tensorrt_build.Built(content, {"layers": []}, hashlib.sha256(onnx.read_bytes()).hexdigest(), 0.1)

    double = TensorRTDouble(kernel)
    double.wrong, double.built = 1.0, 0
    monkeypatch.setattr(tensorrt_package, "load", lambda name=None: double.package)
    monkeypatch.setattr(tensorrt_package, "packages", lambda: ["tensorrt_rtx"])
    monkeypatch.setattr(tensorrt_build, "build", build)
    return double


def compiled(model, folder):
    """The model's depth engine, in the folder; its file."""
    engine.load(model, "depth", device="tensorrt", directory=folder, may_build=True)
    return next(folder.glob("depth.*.engine"))


# --- without a GPU -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_cpu_is_no_fall_for_who_asked_for_nothing_better(model, no_cuda, device):
    proven = engine.load(model, "depth", device=device)
    assert proven.fell_back == ()
    assert proven.name.endswith("CPU x2")
    assert (proven.precision, proven.key) == ("fp32", "")
    assert proven.proof.difference <= proven.proof.bound == 2e-3
    np.testing.assert_allclose(proven(image=IMAGE)["depth"], 15)


def test_each_step_down_is_a_sentence(model, no_cuda, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    proven = engine.load(model, "depth", device="tensorrt")
    assert proven.name.endswith("CPU x2")
    first, second = proven.fell_back
    assert first.startswith("fell back to ONNX Runtime on the GPU: ")
    assert second == (
        "fell back to ONNX Runtime on the CPU: engine: wanted cuda, but this onnxruntime is built without it (onnxruntime-gpu has it)"
    )
    assert engine.load(model, "depth", device="cuda").fell_back == (second,)


def test_what_does_not_pass_on_the_last_rung_is_refused(model, no_cuda):
    with np.load(model.path / "selftest.npz") as stored:
        changed = {key: stored[key] * np.float32(1.01 if key == "depth.0.out" else 1) for key in stored.files}
    np.savez(model.path / "selftest.npz", **changed)
    for device in selection.DEVICES:
        with pytest.raises(BadInput, match="self-test"):
            engine.load(model, "depth", device=device)


def test_an_unknown_engine_is_named(model):
    with pytest.raises(BadInput, match="engine: wanted one of auto, tensorrt, cuda, cpu, got 'abacus'"):
        engine.load(model, "depth", device="abacus")


def test_a_precision_that_was_never_exported_falls_back_to_fp32(model, no_cuda):
    with pytest.raises(BadInput, match=r"depth\.int8\.onnx is missing"):
        engine.load(model, "depth", device="cpu", precision="int8")
    proven = engine.load(model, "depth", device="cuda", precision="int8")
    assert proven.precision == "fp32"
    assert r"depth.int8.onnx is missing" in proven.fell_back[0]


@pytest.mark.parametrize("device", ["auto", "cuda", "tensorrt"])
def test_a_precision_that_no_file_has_is_one_sentence_and_never_silent(model, no_cuda, monkeypatch, device):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    proven = engine.load(model, "depth", device=device, precision="int8")
    missing, *rest = proven.fell_back
    assert missing.startswith(f"fell back to fp32: model {model.path}: depth.int8.onnx is missing; run `python -m depth_perception export")
    assert len(rest) == len(selection.LADDERS[device]) - 1 if device != "auto" else rest == []
    assert (proven.device, proven.precision) == ("cpu", "fp32")


def with_int8(model, **wrong):
    """The model with depth in INT8, as far as anyone can tell; wrong: another file's content."""
    for name in ("int8", "int8.cpu"):
        (model.path / f"depth.{name}.onnx").write_bytes(wrong.get("content") or model.onnx("depth").read_bytes())


def test_int8_on_a_car_without_a_gpu_is_honoured_under_auto(model, no_cuda, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    with_int8(model)
    (model.path / "depth.int8.onnx").write_bytes(b"TensorRT's form")
    proven = engine.load(model, "depth", precision="int8")
    assert (proven.device, proven.precision, proven.proof.bound) == ("cpu", "int8", engine.BOUNDS["int8"])
    assert proven.fell_back == ()


def test_int8_is_honoured_by_the_first_rung_that_can(model, no_cuda, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    with_int8(model)
    proven = engine.load(model, "depth", device="cuda", precision="int8")
    assert (proven.device, proven.precision) == ("cpu", "int8")
    (only,) = proven.fell_back
    assert only.startswith("fell back to ONNX Runtime on the CPU: engine: wanted cuda")


def test_int8_that_does_not_load_is_a_step_down_to_fp32(model, no_cuda, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    with_int8(model, content=b"no graph")
    proven = engine.load(model, "depth", precision="int8")
    assert proven.precision == "fp32"
    assert proven.fell_back[0].startswith("fell back to ONNX Runtime on the CPU: engine ")
    assert proven.fell_back[-1].startswith("fell back to ONNX Runtime in fp32: engine ")
    with pytest.raises(BadInput, match=r"depth\.int8\.cpu\.onnx: ONNX Runtime cannot load it"):
        engine.load(model, "depth", device="cpu", precision="int8")


def test_int8_on_the_cpu_runs_the_form_that_it_has_kernels_for(model, no_cuda):
    shutil.copy(model.onnx("depth"), model.path / "depth.int8.cpu.onnx")
    (model.path / "depth.int8.onnx").write_bytes(b"TensorRT's form")
    proven = engine.load(model, "depth", device="cpu", precision="int8")
    assert (proven.precision, proven.proof.bound) == ("int8", engine.BOUNDS["int8"])
    np.testing.assert_allclose(proven(image=IMAGE)["depth"], 15)


# --- with a GPU ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["auto", "tensorrt"])
def test_a_compiled_engine_drives(model, vehicle, tmp_path, device):
    file = compiled(model, tmp_path / "engines")
    proven = engine.load(model, "depth", device=device, directory=tmp_path / "engines")
    assert (proven.name, proven.fell_back) == ("tensorrt_rtx 1.7.1 fp32", ())
    assert proven.key == json.loads(file.with_suffix(".json").read_text())["digest"]
    np.testing.assert_allclose(proven(image=IMAGE * 2)["depth"], 25)
    assert vehicle.built == 1


def test_nothing_is_built_unless_it_may_be(model, vehicle, tmp_path):
    asked = {"device": "tensorrt", "directory": tmp_path / "engines"}
    fell_back = engine.load(model, "depth", **asked).fell_back
    assert "none of depth for sm86 in fp32 by tensorrt_rtx 1.7.1" in fell_back[0]
    assert vehicle.built == 0
    phases = []
    assert engine.load(model, "depth", **asked, may_build=True, progress=lambda *phase: phases.append(phase)).fell_back == ()
    assert engine.load(model, "depth", **asked, may_build=True).fell_back == ()
    assert (vehicle.built, phases) == (1, [("tactics", 0.5)])


def test_auto_takes_int8_where_an_engine_was_compiled_in_fp32_only(model, vehicle, tmp_path, monkeypatch):
    compiled(model, tmp_path / "engines")
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    with_int8(model)
    proven = engine.load(model, "depth", precision="int8", directory=tmp_path / "engines")
    assert (proven.device, proven.precision) == ("cpu", "int8")
    (only,) = proven.fell_back
    assert only.startswith("fell back to ONNX Runtime on the CPU: ") and "precision" in only


def test_auto_keeps_the_gpu_where_no_file_has_the_precision(model, vehicle, tmp_path):
    compiled(model, tmp_path / "engines")
    proven = engine.load(model, "depth", precision="int8", directory=tmp_path / "engines")
    assert (proven.device, proven.precision) == ("tensorrt", "fp32")
    assert len(proven.fell_back) == 1 and proven.fell_back[0].startswith("fell back to fp32: ")


def test_auto_does_not_miss_what_nobody_compiled(model, vehicle, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    proven = engine.load(model, "depth", directory=tmp_path / "engines")
    assert (proven.fell_back, proven.name.endswith("CPU x2")) == ((), True)


def retrain(model, vehicle, file):
    """Other weights, the same shapes."""
    content = bytearray(model.onnx("depth").read_bytes())
    at = content.index(np.float32(40).tobytes())
    content[at : at + 4] = np.float32(40.001).tobytes()
    model.onnx("depth").write_bytes(content)


def swap_gpu(model, vehicle, file):
    vehicle.monkeypatch.setattr(CudaDouble, "cudaGetDeviceProperties", lambda self, device: ADA)


def damage(model, vehicle, file):
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def cut(model, vehicle, file):
    file.write_bytes(file.read_bytes()[:-1])


def upgrade(model, vehicle, file):
    vehicle.package.version = "1.8.0"


ADA = CudaDouble((8, 9)).cudaGetDeviceProperties(0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (retrain, "has another ONNX file"),
        (swap_gpu, "has another GPU sm86"),
        (damage, "is damaged"),
        (cut, "bytes"),
        (upgrade, "version 1.7.1"),
    ],
)
@pytest.mark.parametrize("device", ["auto", "tensorrt"])
def test_an_engine_of_anything_else_never_drives_and_that_is_said(model, vehicle, tmp_path, monkeypatch, change, says, device):
    file = compiled(model, tmp_path / "engines")
    vehicle.monkeypatch = monkeypatch
    change(model, vehicle, file)
    proven = engine.load(model, "depth", device=device, directory=tmp_path / "engines")
    assert proven.name.startswith("onnxruntime")
    assert says in proven.fell_back[0]


def test_an_engine_that_answers_otherwise_lets_the_gpu_go(model, vehicle, cuda, tmp_path):
    compiled(model, tmp_path / "engines")
    vehicle.wrong = 1.01
    proven = engine.load(model, "depth", device="tensorrt", directory=tmp_path / "engines")
    assert "self-test: depth.onnx answers depth off by 0.01" in proven.fell_back[0]
    assert proven.name.startswith("onnxruntime")
    assert not any(cuda.alive().values())


def test_what_nobody_foresaw_costs_the_better_engine_and_not_the_drive(model, vehicle, tmp_path):
    compiled(model, tmp_path / "engines")
    del vehicle.package.module.TensorIOMode
    proven = engine.load(model, "depth", device="tensorrt", directory=tmp_path / "engines")
    assert "internal error: AttributeError" in proven.fell_back[0]
    np.testing.assert_allclose(proven(image=IMAGE)["depth"], 15)
