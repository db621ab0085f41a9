"""Export: small, clean ONNX files that answer like the networks, or nothing at all."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from depth_perception import model
from depth_perception.engine import Engine
from depth_perception.export import export
from depth_perception.frame import BadInput
from depth_perception.networks.depth import DepthNetConfig
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.train import depth as recipe
from depth_perception.train.fit import History

TINY = recipe.Config(height=64, width=96, student=StudentConfig(channels=(4, 8, 8, 8, 8)), s1=DepthNetConfig(channels=(4, 4, 4, 4, 4)),
                     pose=PoseNetConfig(channels=(4, 4, 4, 4, 4)))
# what a TensorRT parser is known to take; batch norm must be folded away
HEAD = {"Add", "Clip", "Concat", "Conv", "DepthToSpace", "Div", "Exp", "Mul", "Neg", "Resize", "Sigmoid", "Sub"}
STUDENT = HEAD | {"HardSwish", "ReduceMean"}
S1 = HEAD | {"Relu"}
POSE = {"AveragePool", "Concat", "Conv", "Mul", "ReduceMean", "Relu", "Sub"}


def trained(path, **changes):
    """A model directory with weights and running statistics that are not the fresh ones."""
    config = replace(TINY, **changes)
    torch.manual_seed(1)
    networks = recipe.new_networks(config).train()
    with torch.no_grad():
        for _ in range(3):
            networks["depth"](torch.rand(2, 3, 64, 96))
            networks["pose"](torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96))
    recipe.write(networks.eval(), path, config, History(rows=[{"step": 1, "distance": 1.0}]), {"command": "test"})
    return networks


@pytest.mark.parametrize(("network", "operators"), [("student", STUDENT), ("s1", S1)])
def test_files_are_clean_and_answer_like_the_networks(tmp_path, network, operators):
    networks = trained(tmp_path / "m", network=network)
    exported = export(tmp_path / "m")
    for name, known in (("depth", operators), ("pose", POSE)):
        graph = onnx.load(exported.onnx(name))
        onnx.checker.check_model(graph, full_check=True)
        assert {node.op_type for node in graph.graph.node} <= known
        assert graph.opset_import[0].version >= 17 and not any(node.doc_string for node in graph.graph.node)
        assert exported.onnx(name).stat().st_size < 1.5 * exported.weights(name).stat().st_size + 30_000
    depth, pose = Engine(exported.onnx("depth")), Engine(exported.onnx("pose"))
    assert (depth.inputs, depth.outputs) == ({"image": [1, 3, 64, 96]}, {"depth": [1, 1, 64, 96]})
    assert (pose.inputs, pose.outputs) == ({"image": [1, 3, 64, 96], "neighbour": [1, 3, 64, 96]}, {"pose": [1, 6]})
    a, b = np.random.default_rng(0).random((2, 1, 3, 64, 96), np.float32)
    with torch.no_grad():
        assert np.allclose(depth(image=a)["depth"], networks["depth"](torch.from_numpy(a))[0], rtol=1e-4)
        assert np.allclose(pose(image=a, neighbour=b)["pose"], networks["pose"](torch.from_numpy(a), torch.from_numpy(b)), atol=1e-6)
    assert model.load(tmp_path / "m").lineage["export"]["largest_difference"]["depth"] < 1e-4


def test_the_self_test_replays(tmp_path):
    trained(tmp_path / "m")
    exported = export(tmp_path / "m")
    frames = np.load(exported.path / "selftest.npz")
    assert len([key for key in frames if key.endswith(".out")]) == 6
    for name in exported.networks:
        engine = Engine(exported.onnx(name))
        for k in range(3):
            answer = engine(**{key: frames[f"{name}.{k}.in.{key}"] for key in engine.inputs})
            (got,) = answer.values()
            assert np.allclose(got, frames[f"{name}.{k}.out"], rtol=1e-4, atol=1e-6)
    assert not np.allclose(frames["depth.0.out"], frames["depth.1.out"], rtol=1e-3)  # the frames do differ to the network


def test_a_network_that_answers_differently_is_refused_and_leaves_nothing(tmp_path):
    trained(tmp_path / "m")
    before = {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()}
    with pytest.raises(BadInput, match=r"differs from its network .* nothing was written"):
        export(tmp_path / "m", bound=1e-12)
    with pytest.raises(BadInput, match="nothing was written"):
        export(tmp_path / "m", tmp_path / "copy", bound=1e-12)
    assert {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_another_directory_gets_a_whole_model(tmp_path):
    trained(tmp_path / "m")
    export(tmp_path / "m", tmp_path / "copy")
    names = {"manifest.json", "depth.safetensors", "pose.safetensors", "depth.onnx", "pose.onnx", "selftest.npz"}
    assert {file.name for file in (tmp_path / "copy").iterdir()} == names
    assert model.load(tmp_path / "copy").lineage["command"] == "test"
    assert not (tmp_path / "m" / "depth.onnx").exists()


def test_what_is_no_trained_model_is_refused(tmp_path):
    with pytest.raises(BadInput, match="wanted a model directory"):
        export(tmp_path / "none")
    trained(tmp_path / "m")
    (tmp_path / "m" / "pose.safetensors").unlink()
    with pytest.raises(BadInput, match=r"pose.safetensors is missing"):
        export(tmp_path / "m")
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    manifest["networks"]["depth"]["class"] = "Elsewhere"
    (tmp_path / "m" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="Elsewhere"):
        export(tmp_path / "m")
