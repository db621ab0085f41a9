"""A torch network -> one clean ONNX file of fixed sizes."""

from __future__ import annotations

import warnings
from collections.abc import Container
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 17


class Finest(nn.Module):
    """A depth network with its finest output only: what drives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, 1, H, W) canonical metres."""
        return self.network(image)[0]


def write_onnx(network: nn.Module, file: Path, *, inputs: dict[str, list[int]], outputs: dict[str, list[int]],
               indices: Container[str] = ()) -> None:
    """One self-contained ONNX file of fixed sizes, batch norms folded into the convolutions, all constants among the weights.

    indices: inputs of int64; all others are float32.
    """
    example = tuple(torch.zeros(shape, dtype=torch.int64 if name in indices else torch.float32) for name, shape in inputs.items())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecation notes, and that sizes are fixed
        torch.onnx.export(network, example, str(file), input_names=list(inputs), output_names=list(outputs),
                          opset_version=OPSET, do_constant_folding=True, dynamo=False)
    model = onnx.load(file)
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        value = node.attribute[0].t
        value.name = node.output[0]
        model.graph.initializer.append(value)
        model.graph.node.remove(node)
    save(model, file)


def save(model: onnx.ModelProto, file: Path) -> None:
    """Checks a graph and writes it under our name, without the exporter's notes."""
    model.producer_name, model.producer_version, model.doc_string = "depth_perception", "", ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
