"""The real builder, on the CPU: types, sizes, and sentences for what TensorRT lacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from depth_perception.engine import tensorrt_build, tensorrt_package
from depth_perception.frame import BadInput

pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (requirements/learn.txt)")
onnx = pytest.importorskip("onnx")
helper, FLOAT, HALF = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
node = helper.make_node


@pytest.fixture(scope="module")
def package():
    return tensorrt_package.load("tensorrt_rtx")


@pytest.fixture
def graph(tmp_path):
    """Writes a small ONNX file."""

    def write(nodes, inputs, outputs, constants=()) -> Path:
        def infos(tensors):
            return [helper.make_tensor_value_info(*tensor) for tensor in tensors]

        made = helper.make_graph(nodes, "small", infos(inputs), infos(outputs), list(constants))
        onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "small.onnx")
        return tmp_path / "small.onnx"

    return write


def test_an_engine_and_its_layers(tiny_model, package):
    phases = []
    built = tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm86", progress=lambda *said: phases.append(said))
    assert len(built.engine) > 1000
    assert built.layers["types"]["REDUCE"] == 1
    layer = next(layer for layer in built.layers["layers"] if layer["type"] == "REDUCE")
    assert layer["inputs"] == [{"name": "image", "shape": [1, 3, 32, 64], "precision": "FLOAT"}]
    assert layer["outputs"] == [{"name": "grey", "shape": [1, 1, 32, 64], "precision": "FLOAT"}]
    json.dumps(built.layers)
    assert phases and all(isinstance(phase, str) and seconds >= 0 for phase, seconds in phases)
    other = tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm89")
    assert (other.onnx_sha256, other.engine != built.engine) == (built.onnx_sha256, True)


def test_what_tensorrt_lacks_is_named(graph, package):
    nodes = [node("Unique", ["x"], ["y"], name="/head/unique"), node("Det", ["x"], ["z"], name="/head/det"), node("Relu", ["x"], ["w"])]
    file = graph(nodes, [("x", FLOAT, [4, 4])], [("y", FLOAT, None), ("z", FLOAT, None), ("w", FLOAT, [4, 4])])
    assert tensorrt_build.unsupported(file, package=package) == ["Unique (node /head/unique)", "Det (node /head/det)"]
    with pytest.raises(BadInput, match=r"small\.onnx: tensorrt_rtx .* cannot build it: Unique \(node /head/unique\); Det \("):
        tensorrt_build.build(file, package=package, capability="sm86")


def test_scatter_with_a_sum_is_named(graph, package):
    indices = helper.make_tensor("indices", onnx.TensorProto.INT64, [2, 4], [0, 0, 1, 1, 0, 1, 2, 2])
    scatter = node("ScatterElements", ["r", "indices", "u"], ["y"], name="/bev/scatter_add", axis=0, reduction="add")
    inputs, outputs = [("x", FLOAT, [4, 4]), ("u", FLOAT, [2, 4])], [("y", FLOAT, [4, 4])]
    file = graph([node("Relu", ["x"], ["r"], name="/bev/relu"), scatter], inputs, outputs, [indices])
    assert tensorrt_build.unsupported(file, package=package) == ["ScatterElements (node /bev/scatter_add): Unsupported reduction type"]


def test_every_shipped_network_is_supported(package):
    from depth_perception.model import shipped

    files = sorted(shipped().parent.glob("*/*.onnx"))
    assert {file.name for file in files} >= {"depth.onnx", "pose.onnx"}
    assert {str(file): tensorrt_build.unsupported(file, package=package) for file in files} == {str(file): [] for file in files}


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_no_network(tmp_path, tiny_model, package, content):
    whole = (tiny_model / "depth.onnx").read_bytes()
    (tmp_path / "depth.onnx").write_bytes(whole[:len(whole) // 2] if content is None else content)
    with pytest.raises(BadInput, match=r"depth\.onnx: tensorrt_rtx .* cannot read it as ONNX: .") as refusal:
        tensorrt_build.build(tmp_path / "depth.onnx", package=package, capability="sm86")
    assert "\n" not in str(refusal.value)


def test_precision_is_the_graph_s_own(graph, tiny_model, package):
    half = graph([node("Cast", ["x"], ["h"], to=HALF), node("Relu", ["h"], ["r"]), node("Cast", ["r"], ["y"], to=FLOAT)],
                 [("x", FLOAT, [1, 3, 8, 8])], [("y", FLOAT, [1, 3, 8, 8])])
    assert tensorrt_build.build(half, package=package, capability="sm86", precision="fp16").engine
    with pytest.raises(BadInput, match="wanted a graph typed fp32, its layers give FLOAT, HALF"):
        tensorrt_build.build(half, package=package, capability="sm86")
    with pytest.raises(BadInput, match="wanted a graph typed fp16, its layers give FLOAT"):
        tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm86", precision="fp16")


def test_quantised(graph, package):
    scale = helper.make_tensor("scale", FLOAT, [], [0.1])
    zero = helper.make_tensor("zero", onnx.TensorProto.INT8, [], [0])
    weight = helper.make_tensor("weight", FLOAT, [4, 3, 1, 1], np.arange(12, dtype=np.float32) / 12)

    def both(name):
        return [node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
                node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"])]

    file = graph([*both("x"), *both("weight"), node("Conv", ["x_d", "weight_d"], ["y"])],
                 [("x", FLOAT, [1, 3, 8, 8])], [("y", FLOAT, [1, 4, 8, 8])], [scale, zero, weight])
    built = tensorrt_build.build(file, package=package, capability="sm89", precision="int8")
    assert built.layers["types"]["QUANTIZE"] == 2


def test_sizes(graph, tiny_model, package):
    with pytest.raises(BadInput, match=r"takes image \[1, 3, 32, 64\], wanted \[1, 3, 64, 64\] as the model's manifest says"):
        tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm86", shapes={"image": [1, 3, 64, 64]})
    file = graph([node("Relu", ["x"], ["y"])], [("x", FLOAT, ["batch", 3, "height", 8])], [("y", FLOAT, ["batch", 3, "height", 8])])
    with pytest.raises(BadInput, match=r"takes x \[-1, 3, -1, 8\], and the model's manifest does not say which size to build for"):
        tensorrt_build.build(file, package=package, capability="sm86")
    assert tensorrt_build.build(file, package=package, capability="sm86", shapes={"x": [1, 3, 4, 8]}).engine
    with pytest.raises(BadInput, match=r"wanted \[1, 3, 4, 9\]"):
        tensorrt_build.build(file, package=package, capability="sm86", shapes={"x": [1, 3, 4, 9]})


def test_what_progress_raises_ends_the_build(tiny_model, package):
    def stop(phase, seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm86", progress=stop)
    assert tensorrt_build.build(tiny_model / "depth.onnx", package=package, capability="sm86").engine
