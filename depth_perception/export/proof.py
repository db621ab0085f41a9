"""What proves an exported file: stored frames, the network's own answers, and how far an engine's answers are from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from depth_perception.engine import Engine
from depth_perception.engine.selftest import difference
from depth_perception.frame import BadInput

FRAMES = 3


def frames(name: str, inputs: dict[str, list[int]], indices: Mapping[str, int] = MappingProxyType({})) -> list[dict[str, np.ndarray]]:
    """Made inputs, the same on every machine: images with edges and gradients, 0..1; other maps sparse, as what a LiDAR saw is.

    indices: inputs that are int64 places below a number, in any order.
    """
    out = []
    for k in range(FRAMES):
        rng = np.random.default_rng((len(name), k))
        out.append({key: rng.integers(0, indices[key], shape) if key in indices
                    else _scene(rng, shape) if len(shape) == 4 and shape[1] == 3 else _sparse(rng, shape) for key, shape in inputs.items()})
    return out


def _sparse(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """A map of which a tenth of the places hold anything."""
    held = rng.random((shape[0], 1, *shape[2:])) < 0.1
    return np.where(held, rng.normal(0, 1, shape), 0).astype(np.float32)


def _scene(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """A sky, a ground and boxes; uint8 steps, like a camera's image."""
    _, _, height, width = shape
    rows = np.linspace(0, 1, height)[:, None, None]
    image = np.broadcast_to(np.where(rows < 0.45, 0.8 - 0.3 * rows, 0.25 + 0.4 * rows), (height, width, 3)).copy()
    for _ in range(12):
        y, x = rng.integers(height // 4, height), rng.integers(0, width)
        h, w = rng.integers(2, height // 2), rng.integers(2, max(3, width // 6))
        image[max(0, y - h):y, x:x + w] = rng.random(3)
    image = np.round(np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1) * 255) / 255
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


@torch.no_grad()
def answer(network: nn.Module, frame: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The network's own answer to a frame: each of its outputs."""
    given = network(*(torch.from_numpy(array) for array in frame.values()))
    return [each.numpy() for each in (given if isinstance(given, tuple | list) else [given])]


def answers(name: str, network: nn.Module, shown: list[dict[str, np.ndarray]], outputs: Iterable[str]) -> dict[str, Any]:
    """Keys NETWORK.K.in.INPUT and NETWORK.K.out, or NETWORK.K.out.OUTPUT where it has several.

    Images as uint8 would lose nothing, but float32 feeds an engine as it is.
    """
    out: dict[str, Any] = {}
    for k, frame in enumerate(shown):
        out |= {f"{name}.{k}.in.{key}": array for key, array in frame.items()}
        found = dict(zip(outputs, answer(network, frame), strict=True))
        out |= {f"{name}.{k}.out" + (f".{key}" if len(found) > 1 else ""): array for key, array in found.items()}
    return out


def compare(network: nn.Module, file: Path, shown: list[dict[str, np.ndarray]], *, precision: str, bound: float) -> float:
    """Largest difference of ONNX Runtime's answers to the network's, as the self-test measures it; BadInput above `bound`."""
    engine = Engine(file, device="cpu")
    worst = max(difference(got, wanted, precision)
                for frame in shown for got, wanted in zip(engine(**frame).values(), answer(network, frame), strict=True))
    if not worst <= bound:
        raise BadInput(f"{file.name} differs from its network by {worst:.2g}, allowed is {bound:.2g}; nothing was written")
    return worst
