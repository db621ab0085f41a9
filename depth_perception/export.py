"""Network -> ONNX, proven equal before it is kept: written, replayed in the engine, compared, and only then renamed into place."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from depth_perception import model
from depth_perception.engine import Engine
from depth_perception.frame import BadInput
from depth_perception.networks.load import build, load_weights

OPSET = 17
# float32 convolutions summed in another order; measured differences are ten times smaller.
BOUND = 2e-3
SELFTESTS = 3


class Finest(nn.Module):
    """A depth network with its finest output only: what drives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, 1, H, W) canonical metres."""
        return self.network(image)[0]


def export(path: str | Path, out: str | Path | None = None, *, bound: float = BOUND) -> model.Model:
    """Adds NETWORK.onnx for every network and selftest.npz to a trained model directory, or to a copy of it at `out`.

    BadInput, with nothing left behind, when the engine's answer differs from the network's by more than `bound` (relative to the
    largest magnitude of that output).
    """
    trained = model.load(path)
    target = Path(out) if out is not None else trained.path
    networks = {name: _network(trained, name) for name in trained.networks}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as directory:
        stage = Path(directory)
        selftest: dict[str, np.ndarray] = {}
        differences: dict[str, float] = {}
        for name, network in networks.items():
            words = trained.networks[name]
            write_onnx(network, stage / f"{name}.onnx", inputs=words["inputs"], outputs=words["outputs"])
            frames = selftest_frames(name, words["inputs"])
            differences[name] = compare(network, stage / f"{name}.onnx", frames, bound=bound)
            selftest |= _answers(name, network, frames)
        np.savez_compressed(stage / "selftest.npz", **selftest)
        target.mkdir(exist_ok=True)
        if target != trained.path:
            for name in trained.networks:
                shutil.copy2(trained.weights(name), stage)
        for file in sorted(stage.iterdir()):
            os.chmod(file, 0o644)
            os.replace(file, target / file.name)
    lineage = {**trained.lineage, "export": {"opset": OPSET, "bound": bound, "largest_difference": differences,
                                             "sha256": {name: model.sha256(target / f"{name}.onnx") for name in networks}}}
    exported = replace(trained, path=target, lineage=lineage)
    model.save_manifest(exported)
    return exported


def write_onnx(network: nn.Module, file: Path, *, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> None:
    """One self-contained ONNX file of fixed sizes, batch norms folded into the convolutions."""
    example = tuple(torch.zeros(shape) for shape in inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecation notes
        torch.onnx.export(network, example, str(file), input_names=list(inputs), output_names=list(outputs),
                          opset_version=OPSET, do_constant_folding=True, dynamo=False)
    graph = onnx.load(file)
    graph.producer_name, graph.doc_string = "depth_perception", ""
    for node in graph.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, file)


def selftest_frames(name: str, inputs: dict[str, list[int]]) -> list[dict[str, np.ndarray]]:
    """Made images with edges and gradients, 0..1: the same on every machine."""
    frames = []
    for k in range(SELFTESTS):
        rng = np.random.default_rng((len(name), k))
        frames.append({key: _scene(rng, shape) for key, shape in inputs.items()})
    return frames


def _scene(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """A sky, a ground and boxes; uint8 steps, like a camera's image."""
    _, _, height, width = shape
    rows = np.linspace(0, 1, height)[:, None, None]
    image = np.broadcast_to(np.where(rows < 0.45, 0.8 - 0.3 * rows, 0.25 + 0.4 * rows), (height, width, 3)).copy()
    for _ in range(12):
        y, x = rng.integers(height // 4, height), rng.integers(0, width)
        h, w = rng.integers(2, height // 2), rng.integers(2, width // 6)
        image[max(0, y - h):y, x:x + w] = rng.random(3)
    image = np.round(np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1) * 255) / 255
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def compare(network: nn.Module, file: Path, frames: list[dict[str, np.ndarray]], *, bound: float) -> float:
    """Largest difference of ONNX Runtime's answers to the network's, relative to the answer's size; BadInput above `bound`."""
    engine = Engine(file)
    worst = 0.0
    for frame in frames:
        wanted = _run(network, frame)
        got = next(iter(engine(**frame).values()))
        worst = max(worst, float(np.abs(got - wanted).max() / np.abs(wanted).max()))
    if not worst <= bound:
        raise BadInput(f"export: {file.name} differs from its network by {worst:.2g}, allowed is {bound:.2g}; nothing was written")
    return worst


def _network(trained: model.Model, name: str) -> nn.Module:
    network = build(name, trained.networks[name])
    load_weights(network, trained.weights(name))
    return (Finest(network) if name == "depth" else network).eval()


@torch.no_grad()
def _run(network: nn.Module, frame: dict[str, np.ndarray]) -> np.ndarray:
    return network(*(torch.from_numpy(array) for array in frame.values())).numpy()


def _answers(name: str, network: nn.Module, frames: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Keys NETWORK.K.in.INPUT and NETWORK.K.out; images as uint8 would lose nothing, but float32 feeds an engine as it is."""
    out: dict[str, Any] = {}
    for k, frame in enumerate(frames):
        out |= {f"{name}.{k}.in.{key}": array for key, array in frame.items()}
        out[f"{name}.{k}.out"] = _run(network, frame)
    return out
