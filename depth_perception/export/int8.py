"""INT8 graphs: symmetric QDQ, weights per channel, calibrated with frames of a bag; refused when they cost too much depth.

Two files from one calibration, with the very same numbers in them (docs/decisions/0015-two-int8-graphs.md):

    NETWORK.int8.onnx       activations int8, zero point 0: the only form that TensorRT takes
    NETWORK.int8.cpu.onnx   activations uint8, zero point 128: the form for which ONNX Runtime has kernels on x86

Biases stay float32: TensorRT takes no others, and ONNX Runtime rounds them itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from depth_perception.export.float16 import ends
from depth_perception.export.onnx_file import save

# Multiplications per value read or written from which INT8 pays in spite of rounding the values (measured: bench/int8_layers.py).
_LEAST_INTENSITY = 40
_LEAST_CHANNELS = 32


def worthwhile(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions that INT8 makes faster: dense ones that multiply much per value; never a network's last ones.

    Nor those that add up the sparse codes of a `SparseBlock` (what comes out of a hardswish): a few large values set the grid on which
    all the small ones are rounded, on its one side of zero, and half of the whole network's error came from there.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    sizes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
             for value in (*graph.value_info, *graph.input, *graph.output)}
    weights = {weight.name: list(weight.dims) for weight in graph.initializer}
    last, codes = ends(graph), {node.output[0] for node in graph.node if node.op_type == "HardSwish"}
    found = []
    for node in graph.node:
        if node.op_type != "Conv" or node.name in last or node.input[0] in codes:
            continue
        c_out, c_in, *kernel = weights[node.input[1]]
        before, after = (int(np.prod(sizes[name])) for name in (node.input[0], node.output[0]))
        is_dense = sizes[node.input[0]][1] == c_in
        if is_dense and c_out >= _LEAST_CHANNELS and after * c_in * int(np.prod(kernel)) >= _LEAST_INTENSITY * (before + after):
            found.append(node.name)
    return found


def write_int8(source: Path, file: Path, *, nodes: list[str], inputs: Iterable[dict[str, np.ndarray]]) -> None:
    """Writes the TensorRT form of a float32 ONNX file; inputs: what the ranges of activations are taken from."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # the library recommends a step that changes nothing here
    try:
        quantize_static(str(source), str(file), _Reader(inputs), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"],
                        nodes_to_quantize=nodes, per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                        calibrate_method=CalibrationMethod.MinMax,
                        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False})
    finally:
        logger.setLevel(level)
    save(onnx.load(file), file)


def write_cpu_form(source: Path, file: Path) -> None:
    """Writes the twin of a symmetric INT8 file with activations as uint8 around 128: the same values, saturating at the same ones."""
    model = onnx.load(source)
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    rounded = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    middle = numpy_helper.from_array(np.array(128, np.uint8), "uint8_middle")
    for node in graph.node:
        if node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and node.input[0] in rounded):
            zero = weights[node.input[2]]
            assert zero.data_type == TensorProto.INT8 and not numpy_helper.to_array(zero).any(), "only a symmetric graph has a uint8 twin"
            node.input[2] = middle.name
    used = {name for node in graph.node for name in node.input}
    kept = [weight for weight in (*graph.initializer, middle) if weight.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    save(model, file)


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: Iterable[dict[str, np.ndarray]]) -> None:
        self._inputs: Iterator[dict[str, np.ndarray]] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)
