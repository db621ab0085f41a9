"""A typed float16 graph: weights and activations are float16 where it pays, and every type stands in the graph itself.

Float32 stay the inputs and outputs, so that nobody who calls an engine needs to know; what is done to an input before the first
convolution; and the head from the last convolution on: its logit is a log depth, of which float16 loses 0.1 % at 8 and more beyond,
and the reciprocal of a far disparity would lose the rest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from depth_perception.export.onnx_file import save

# Inputs that an operator wants as float32 whatever its data is: the region and the scales of a Resize.
_ALWAYS_FLOAT = {"Resize": (1, 2)}


def write_float16(source: Path, file: Path) -> None:
    """Writes the float16 twin of a float32 ONNX file."""
    model = onnx.shape_inference.infer_shapes(onnx.load(source))
    graph = model.graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    weights = {weight.name: weight for weight in graph.initializer}
    kinds |= {name: weight.data_type for name, weight in weights.items()}
    full = ends(graph)
    halves = {name for node in graph.node if node.name not in full for name in node.output if kinds[name] == TensorProto.FLOAT}
    nodes: list[onnx.NodeProto] = []
    made: dict[str, onnx.TensorProto | None] = {}
    for node in graph.node:
        is_half = node.name not in full
        for place, name in enumerate(node.input):
            if kinds.get(name) != TensorProto.FLOAT or (is_half and place in _ALWAYS_FLOAT.get(node.op_type, ())):
                continue
            if name in weights:
                if is_half:
                    node.input[place] = twin = f"{name}.fp16"
                    made[twin] = numpy_helper.from_array(numpy_helper.to_array(weights[name]).astype(np.float16), twin)
            elif (name in halves) != is_half:
                node.input[place] = twin = f"{name}.{'fp16' if is_half else 'fp32'}"
                if twin not in made:
                    made[twin] = None
                    kind = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
                    nodes.append(helper.make_node("Cast", [name], [twin], name=f"{twin}/Cast", to=kind))
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [weight for weight in (*weights.values(), *made.values()) if weight is not None and weight.name in used]
    typed = helper.make_graph(nodes, graph.name, list(graph.input), list(graph.output), initializer=kept)
    save(helper.make_model(typed, opset_imports=model.opset_import, ir_version=model.ir_version), file)


def ends(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes before the first convolutions, and of the last ones and what follows them."""
    maker = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    ahead = [value.name for value in graph.output]
    while ahead:
        node = maker.get(ahead.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            ahead += node.input if node.op_type != "Conv" else ()
    fresh = {value.name for value in graph.input}
    for node in graph.node:
        if node.op_type != "Conv" and fresh & set(node.input):
            found.add(node.name)
            fresh |= set(node.output)
    return found
