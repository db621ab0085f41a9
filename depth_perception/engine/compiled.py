"""A model's network as a TensorRT engine: out of the cache where exactly it lies there, else built, once, whoever asks."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_perception import __version__, model
from depth_perception.engine import cache, tensorrt_build
from depth_perception.engine.tensorrt_build import PRECISIONS, WORKSPACE_MB
from depth_perception.engine.tensorrt_package import Package
from depth_perception.frame import BadInput
from depth_perception.model import Model


@dataclass(frozen=True)
class Compiled:
    """Attributes:
    entry: the engine and its manifest, checked.
    built: False when it came from the cache.
    why: what made us build it although something lay in its place; "" otherwise.
    """

    entry: cache.Entry
    built: bool
    why: str = ""


def onnx_file(opened: Model, network: str, precision: str) -> Path:
    """NETWORK.onnx, or its typed variant NETWORK.fp16.onnx or NETWORK.int8.onnx; BadInput names the command that makes it."""
    if precision not in PRECISIONS:
        raise BadInput(f"precision: wanted one of {', '.join(PRECISIONS)}, got {precision!r}")
    file = opened.onnx(network)
    if precision == "fp32":
        return file
    typed = file.with_suffix(f".{precision}.onnx")
    if not typed.is_file():
        # With those that are there already: an export leaves none but its own.
        wanted = [each for each in PRECISIONS if each == precision or (each != "fp32" and file.with_suffix(f".{each}.onnx").is_file())]
        bag = " --bag BAG" if "int8" in wanted else ""
        command = f"python -m depth_perception export --model {opened.path} --precision {','.join(wanted)}{bag}"
        raise BadInput(f"model {opened.path}: {typed.name} is missing; run `{command}`")
    return typed


def key(opened: Model, network: str, *, package: Package, capability: str, precision: str = "fp32",
        workspace_mb: int = WORKSPACE_MB) -> cache.Key:
    """What an engine of this network depends on. capability: "sm86" or "this-gpu"."""
    calibration = opened.lineage.get("export", {}).get("calibration") if precision == "int8" else None
    return cache.Key(
        network=network,
        onnx_sha256=model.sha256(onnx_file(opened, network, precision)),
        package=package.name,
        version=package.version,
        capability=package.capability(capability),
        precision=precision,
        shapes=opened.networks[network].get("inputs", {}),
        calibration=calibration["sha256"] if calibration else "",
        options={"workspace_mb": workspace_mb, "tf32": False, "machine": f"{platform.system()} {platform.machine()}".lower()},
    )


def compiled(opened: Model, network: str, *, package: Package, capability: str, precision: str = "fp32", directory: Path | None = None,
             workspace_mb: int = WORKSPACE_MB, force: bool = False, progress: tensorrt_build.Progress | None = None,
             waiting: Callable[[], None] | None = None, facts: dict[str, Any] | None = None) -> Compiled:
    """The engine of a network, from the cache or built into it; of several who ask at once, one builds and the others wait.

    Args:
        directory: where engines lie; by default beside the model, or in the user's cache (cache.directories).
        force: build even if it is there.
        progress, waiting: called while TensorRT builds, and once before we wait for another who does.
        facts: more for the manifest (the commit, where known).
    """
    wanted = key(opened, network, package=package, capability=capability, precision=precision, workspace_mb=workspace_mb)
    places = [directory] if directory else cache.directories(opened.path)
    for place in places if not force else ():
        if found := cache.find(place, wanted, may_rebuild=True):
            return Compiled(found, built=False)
    place = cache.writable(places) if directory is None else directory
    with cache.building(place, wanted, waiting=waiting):
        found, why = (None, "") if force else _found(place, wanted)
        if found:
            return Compiled(found, built=False)
        built = tensorrt_build.build(
            onnx_file(opened, network, precision), package=package, capability=wanted.capability, precision=precision, shapes=wanted.shapes,
            workspace_mb=workspace_mb, timing_cache=place / f"{package.name}.{wanted.capability}.timing", progress=progress)
        if built.onnx_sha256 != wanted.onnx_sha256:
            raise BadInput(f"model {opened.path}: the ONNX file of {network} was replaced while it was compiled; compile it again")
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        record = {"build_seconds": round(built.seconds, 3), "built": when, "by": f"depth_perception {__version__}", **(facts or {})}
        return Compiled(cache.put(place, wanted, built.engine, record, layers=built.layers), built=True, why=why)


def _found(place: Path, wanted: cache.Key) -> tuple[cache.Entry | None, str]:
    """An engine, or what is wrong with the files that lie in its place ("" when there are none)."""
    try:
        return cache.find(place, wanted), ""
    except BadInput as error:
        return None, str(error) if os.path.exists(place / f"{wanted.stem()}.json") else ""
