"""Models whose answers are plain arithmetic, with a self-test: what a node publishes can be told by head."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from depth_perception.model import Model, save_manifest

node = helper.make_node


def constant(name, values):
    values = np.asarray(values)
    kind = TensorProto.INT64 if values.dtype == np.int64 else TensorProto.FLOAT
    return helper.make_tensor(name, kind, values.shape, values.ravel().tolist())


def write(folder, kind, networks, *, height, width, canonical_focal_px=40.0):
    """networks: name -> {"nodes", "inputs", "outputs", "constants", "config"}; the folder, a model directory."""
    folder.mkdir()
    described, answers = {}, {}
    for name, given in networks.items():
        def info(shapes):
            return [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()]

        graph = helper.make_graph(given["nodes"], name, info(given["inputs"]), info(given["outputs"]), given["constants"])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")
        shown = {key: np.random.default_rng(0).random(shape, np.float32) for key, shape in given["inputs"].items()}
        session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        said = dict(zip(given["outputs"], session.run(list(given["outputs"]), shown), strict=True))
        answers |= {f"{name}.0.in.{key}": array for key, array in shown.items()}
        answers |= {f"{name}.0.out" + (f".{key}" if len(said) > 1 else ""): array for key, array in said.items()}
        described[name] = {"class": "Arithmetic", **{key: given[key] for key in ("config", "inputs", "outputs")}}
    np.savez(folder / "selftest.npz", **answers)
    save_manifest(Model(folder, kind, described, height, width, canonical_focal_px))
    return folder
