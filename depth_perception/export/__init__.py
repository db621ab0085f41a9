"""Networks -> ONNX files, proven equal before they are kept: written, replayed in the engine, compared, and only then renamed into place.

NETWORK.onnx            float32
NETWORK.fp16.onnx       the same with types float16 in the graph, for TensorRT
NETWORK.int8.onnx       quantised with frames of bags, for TensorRT; NETWORK.int8.cpu.onnx: the same numbers for ONNX Runtime
selftest.npz            stored inputs and the network's own answers

Any size that is a multiple of 32 can be written. `canonical_focal_px` stays what it was trained with: it is in pixels of the network's
input, and a depth network of convolutions answers by the pixels that a thing covers, so at twice the size a camera has twice the focal
length in these pixels, sees everything twice as large, and `network_input.focal_ratio` multiplies a halved answer by two (measured:
docs/decisions/0016-larger-input-same-network.md). A pose network goes on looking at its own size: trained_size.py.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from torch import nn

from depth_perception import model
from depth_perception.engine import tensorrt_build, tensorrt_package
from depth_perception.engine.selftest import BOUNDS
from depth_perception.export import calibration as calibrations
from depth_perception.export import float16, int8, proof
from depth_perception.export.driving_form import driving_form
from depth_perception.export.onnx_file import OPSET, Finest, write_onnx
from depth_perception.export.trained_size import AtTrainedSize
from depth_perception.frame import BadInput
from depth_perception.networks.load import build, load_weights

__all__ = ["PRECISIONS", "export"]
PRECISIONS = ("fp32", "fp16", "int8")
# What INT8 may cost on frames of the calibration bags that it was not calibrated with: see calibration.cost.
MOST_LOSS, MOST_DIFFERENCE = 0.02, 0.05


def export(path: str | Path, out: str | Path | None = None, *, precisions: Sequence[str] = ("fp32",), size: tuple[int, int] | None = None,
           bag: str | Path | Sequence[str | Path] = (), reading: Mapping[str, Any] = MappingProxyType({}), bound: float = BOUNDS["fp32"],
           most_loss: float = MOST_LOSS, most_difference: float = MOST_DIFFERENCE,
           tell: Callable[[str], None] = lambda sentence: None) -> model.Model:
    """Adds ONNX files for every network and selftest.npz to a trained model directory, or to a copy of it at `out`.

    Args:
        precisions: of PRECISIONS; fp32 is always written. What an earlier export left in others goes: it may be of other weights.
        size: (width, height) of the input, multiples of 32; by default the model's own. Another size needs `out`.
        bag: one or several, which calibrate int8 and score it.
        reading: topics and calibration of the bags, as for `bag.FrameReader`.
        bound: largest difference of the float32 file from the network, relative to the largest magnitude of that output.
        most_loss: of depth in INT8, relative worsening of AbsRel against the bag's LiDAR, if it has one.
        most_difference: of any network in INT8, mean relative difference from the float32 file.
        tell: hears what is done, a sentence at a time.
    Raises:
        BadInput: with nothing left behind, when a file would break a bound.
    """
    opened = model.load(path)
    trained = _sized(opened, size)
    target = Path(out) if out is not None else trained.path
    is_copy = target.resolve() != trained.path.resolve()
    if unknown := [precision for precision in precisions if precision not in PRECISIONS]:
        raise BadInput(f"--precision: wanted some of {','.join(PRECISIONS)}, got {unknown[0]!r}")
    _check_bags(precisions, {"bag": bag, **reading})
    if opened.kind != "depth" and ("int8" in precisions or size is not None):
        option = "--precision int8" if "int8" in precisions else "--size"
        raise BadInput(f"{option}: wanted a depth model, {path} is one of {opened.kind}")
    if not is_copy and (opened.width, opened.height) != (trained.width, trained.height):
        raise BadInput(f"--size: model {path} is of {opened.width}x{opened.height}; say with --out where its copy of another size goes")
    networks = {name: _network(trained, name) for name in trained.networks}
    calibration = None
    if "int8" in precisions:
        images = max(len(words["inputs"]) for words in trained.networks.values())
        calibration = calibrations.read(bag, height=trained.height, width=trained.width, canonical_focal_px=trained.canonical_focal_px,
                                        images=images, reading=reading, tell=tell)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as directory:
        stage = Path(directory)
        selftest: dict[str, np.ndarray] = {}
        variants: dict[str, dict[str, Any]] = {precision: {} for precision in PRECISIONS if precision in {*precisions, "fp32"}}
        for name, network in networks.items():
            words = trained.networks[name]
            indices = words.get("indices", {})
            shown = proof.frames(name, words["inputs"], indices)
            file = stage / f"{name}.onnx"
            write_onnx(driving_form(network), file, inputs=words["inputs"], outputs=words["outputs"], indices=indices)
            variants["fp32"][name] = {"difference": proof.compare(network, file, shown, precision="fp32", bound=bound)}
            if "fp16" in variants:
                float16.write_float16(file, half := stage / f"{name}.fp16.onnx")
                variants["fp16"][name] = {"difference": proof.compare(network, half, shown, precision="fp16", bound=BOUNDS["fp16"])}
            if calibration is not None:
                tell(f"quantising {name}")
                variants["int8"][name] = _quantised(network, file, calibration, shown, most_loss, most_difference)
            selftest |= proof.answers(name, network, shown, words["outputs"])
        np.savez_compressed(stage / "selftest.npz", **selftest)
        for name in networks:
            for precision, found in variants.items():
                suffix = "" if precision == "fp32" else f".{precision}"
                file = stage / f"{name}{suffix}.onnx"
                found[name] |= {"sha256": model.sha256(file), "tensorrt_lacks": _lacking(file)}
                if lacking := found[name]["tensorrt_lacks"]:
                    tell(f"warning: {file.name}: TensorRT cannot run {'; '.join(lacking)}")
        target.mkdir(exist_ok=True)
        if is_copy:
            for name in trained.networks:
                shutil.copy2(trained.weights(name), stage)
        if stale := _remove_stale(target, networks, {file.name for file in stage.iterdir()}):
            tell(f"removed {', '.join(stale)} of an earlier export; to have several precisions, name all of them in one --precision")
        for file in sorted(stage.iterdir()):
            os.chmod(file, 0o644)
            os.replace(file, target / file.name)
    words = {"opset": OPSET, "bound": bound, "variants": variants,
             "largest_difference": {name: found["difference"] for name, found in variants["fp32"].items()},
             "sha256": {name: found["sha256"] for name, found in variants["fp32"].items()}}
    if calibration is not None:
        words["calibration"] = {"bags": calibration.bags, "sha256": calibration.sha256, "frames": len(calibration.ranging),
                                "most_loss": most_loss, "most_difference": most_difference}
    exported = replace(trained, path=target, lineage={**trained.lineage, "export": words})
    model.save_manifest(exported)
    return exported


def _check_bags(precisions: Sequence[str], given: Mapping[str, Any]) -> None:
    """INT8 needs bags, and nothing else reads them. given: option -> value."""
    if "int8" in precisions:
        if not given["bag"]:
            raise BadInput("--bag: wanted a bag to calibrate int8 with")
        return
    for name, value in given.items():
        if value:
            raise BadInput(f"--{name.replace('_', '-')}: is read for --precision int8 only")


def _remove_stale(target: Path, networks: Iterable[str], written: set[str]) -> list[str]:
    """Removes variants that are not written now: they are an earlier export's, perhaps of other weights. Returns their names."""
    variants = [f"{name}{suffix}.onnx" for name in networks for suffix in (".fp16", ".int8", ".int8.cpu")]
    stale = [name for name in variants if name not in written and (target / name).exists()]
    for name in stale:
        (target / name).unlink()
    return stale


def _quantised(network: nn.Module, file: Path, calibration: calibrations.Calibration, shown: list[dict[str, np.ndarray]],
               most_loss: float, most_difference: float) -> dict[str, Any]:
    """Writes both INT8 files beside a float32 file; what was rounded and what it costs, or BadInput."""
    graph = onnx.load(file)
    nodes = int8.worthwhile(graph)
    if not nodes:
        raise BadInput(f"{file.name} has no convolution that INT8 would make faster; nothing was written")
    rounded, cpu = file.with_suffix(".int8.onnx"), file.with_suffix(".int8.cpu.onnx")
    names = [value.name for value in graph.graph.input]
    int8.write_int8(file, rounded, nodes=nodes, inputs=[seen.inputs(names) for seen in calibration.ranging])
    int8.write_cpu_form(rounded, cpu)
    cost = calibrations.cost(file, cpu, calibration.scoring)
    for key, most, words in (("abs_rel_loss", most_loss, "AbsRel on the bag's LiDAR is worse"), ("difference", most_difference, "differs")):
        if not cost.get(key, 0.0) <= most:
            raise BadInput(f"{rounded.name}: {words} by {100 * cost[key]:.2g} %, allowed are {100 * most:.2g} %; nothing was written")
    differences = [proof.compare(network, each, shown, precision="int8", bound=BOUNDS["int8"]) for each in (rounded, cpu)]
    return {"difference": max(differences), "sha256_cpu": model.sha256(cpu), "convolutions": nodes, "on_the_bag": cost}


def _lacking(file: Path) -> list[str] | None:
    """The operators of a file that TensorRT's own parser refuses, by name and node; None where no package of it is installed."""
    return tensorrt_build.unsupported(file) if tensorrt_package.packages() else None


def _sized(opened: model.Model, size: tuple[int, int] | None) -> model.Model:
    """The model as it will be with another input size; the focal length, in pixels of the input, stays."""
    if size is None or size == (opened.width, opened.height):
        return opened
    width, height = size
    if min(size) < 32 or width % 32 or height % 32:
        raise BadInput(f"--size: wanted WIDTHxHEIGHT in multiples of 32, got {width}x{height}")
    old = [opened.height, opened.width]

    def shapes(found: dict[str, list[int]]) -> dict[str, list[int]]:
        return {key: [*shape[:2], height, width] if shape[2:] == old else shape for key, shape in found.items()}

    networks = {name: {**words, "inputs": shapes(words["inputs"]), "outputs": shapes(words["outputs"])}
                for name, words in opened.networks.items()}
    lineage = {**opened.lineage, "trained_size": list(_trained_size(opened))}
    return replace(opened, networks=networks, height=height, width=width, lineage=lineage)


def _trained_size(of: model.Model) -> tuple[int, int]:
    """(width, height) at which the weights were trained."""
    width, height = of.lineage.get("trained_size", (of.width, of.height))
    return int(width), int(height)


def _network(of: model.Model, name: str) -> nn.Module:
    """A network as it drives, from its weights."""
    network = build(name, of.networks[name])
    load_weights(network, of.weights(name))
    if name == "depth":
        return Finest(network).eval()
    width, height = _trained_size(of)
    if (width, height) != (of.width, of.height):
        network = AtTrainedSize(network, trained=(height, width), given=(of.height, of.width))
    return network.eval()
