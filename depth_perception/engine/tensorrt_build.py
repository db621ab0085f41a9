"""An ONNX file -> the bytes of a TensorRT engine and a report of its layers. On the CPU alone where the package can."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_perception import model
from depth_perception.engine import tensorrt_package
from depth_perception.engine.tensorrt_package import Package
from depth_perception.frame import BadInput

WORKSPACE_MB = 1024
# precision -> TensorRT's type that must occur in the graph, and the ones that may not. Precision is the graph's own, not a switch.
TYPES = {"fp32": ("FLOAT", {"HALF", "BF16", "INT8", "FP8"}), "fp16": ("HALF", {"INT8", "FP8"}), "int8": ("INT8", {"FP8"})}
PRECISIONS = tuple(TYPES)
# The phase that TensorRT is in, and seconds since the start.
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Built:
    """Attributes:
    engine: for TensorRT's runtime.
    layers: {"source", "types": type -> how many, "layers": [{"name", "type", "inputs", "outputs"}]}.
    onnx_sha256: of the bytes that were parsed.
    seconds: that it took.
    """

    engine: bytes = field(repr=False)
    layers: dict[str, Any] = field(repr=False)
    onnx_sha256: str
    seconds: float


def build(onnx: Path, *, package: Package, capability: str, precision: str = "fp32", shapes: dict[str, list[int]] | None = None,
          workspace_mb: int = WORKSPACE_MB, timing_cache: Path | None = None, progress: Progress | None = None) -> Built:
    """Builds one engine.

    Args:
        capability: a GPU kind ("sm86") or "this-gpu".
        precision: what the graph's types must be: a typed FP16 or INT8 graph is made by `export`.
        shapes: input name -> NCHW: checked where the graph's sizes are fixed, its profile where they are not.
        timing_cache: plain tensorrt's measurements of kernels, read and written; tensorrt_rtx measures none while it builds.
        progress: called about ten times a second in the caller's thread; what it raises (Ctrl-C) ends the build at its next step.

    BadInput names the nodes and operators that TensorRT lacks, or what else it said.
    """
    start = time.monotonic()
    trt = package.module
    capability = package.capability(capability)
    content = onnx.read_bytes()
    package.log.errors.clear()
    builder = trt.Builder(package.log)
    network, parser, wrong = _parsed(package, builder, content, onnx)
    if wrong:
        raise BadInput(f"{onnx}: {package.name} {package.version} cannot build it: {'; '.join(wrong)}")
    _check_types(network, precision, onnx)
    config = builder.create_builder_config()
    if capability in package.compute_capabilities():
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability.upper()), 0)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    config.clear_flag(trt.BuilderFlag.TF32)  # ten bits would fail the self-test
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the engine's inspector, on a GPU; costs nothing when driving
    _set_shapes(builder, config, network, shapes or {}, onnx)
    timings = _read_timings(config, timing_cache) if timing_cache and package.name == "tensorrt" else None
    config.progress_monitor = monitor = _monitor(trt)

    def work() -> Any:
        return builder.build_serialized_network(network, config)

    with ThreadPoolExecutor(1) as pool:  # TensorRT gives the interpreter free: the caller's thread can talk meanwhile
        future = pool.submit(work)
        try:
            while True:
                if progress:
                    progress(monitor.phase, time.monotonic() - start)
                if wait([future], timeout=0.1).done:
                    break
        except BaseException:
            monitor.cancelled = True
            raise
    plan = future.result()
    if plan is None:
        said = "; ".join(dict.fromkeys(package.log.errors)) or "it does not say why"
        raise BadInput(f"{onnx}: {package.name} {package.version} cannot build it for {capability} in {precision}: {said}")
    if timings is not None and timing_cache:
        model.write_atomically(timing_cache, bytes(timings.serialize()))
    layers = _layers(network)
    del parser  # it owns the weights that the network points to
    return Built(bytes(plan), layers, hashlib.sha256(content).hexdigest(), time.monotonic() - start)


def unsupported(onnx: Path, *, package: Package | None = None) -> list[str]:
    """What TensorRT's own parser lacks in a graph: "Det (node /net/det)", with its reason where it gives one. BadInput for no graph."""
    package = package or tensorrt_package.load()
    builder = package.module.Builder(package.log)
    _network, _parser, wrong = _parsed(package, builder, onnx.read_bytes(), onnx)
    return wrong


def _parsed(package: Package, builder: Any, content: bytes, onnx: Path) -> tuple[Any, Any, list[str]]:
    """Network, parser (both must live until the engine is built) and what the parser refuses."""
    trt = package.module
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, package.log)
    package.log.parsing = ""
    parsed = parser.parse(content, str(onnx))
    errors = [parser.get_error(k) for k in range(parser.num_errors)]
    broken = [error for error in errors if error.code() == trt.ErrorCode.MODEL_DESERIALIZE_FAILED]
    if broken or not (errors or network.num_layers):
        said = _reason(broken[0]) if broken else ": it holds no layers"
        raise BadInput(f"{onnx}: {package.name} {package.version} cannot read it as ONNX{said}")
    wrong = [] if parsed else [f"{_node(error, package.log.parsing)}{_reason(error)}" for error in errors]
    return network, parser, list(dict.fromkeys(wrong))


def _node(error: Any, parsing: str) -> str:
    """Operator and node. An importer's own refusals come without them: then it is the node that the log named last."""
    if operator := error.node_operator():
        return f"{operator} (node {error.node_name() or error.node()})"
    name, _, operator = parsing.rstrip("]").rpartition(" [")
    return f"{operator} (node {name})" if operator else error.func().removeprefix("import")


def _reason(error: Any) -> str:
    """The parser's reason, without its own source's conditions: "false" says nothing."""
    line = error.desc().partition("\n")[0].removeprefix("Assertion failed: ").strip()
    return "" if line in ("", "false") else f": {line}"


def _check_types(network: Any, precision: str, onnx: Path) -> None:
    wanted, unwanted = TYPES[precision]
    found = {layer.get_output(k).dtype.name for layer in _each_layer(network) for k in range(layer.num_outputs)}
    if wanted not in found or found & unwanted:
        floats = sorted(found - {"INT32", "INT64", "BOOL"})
        raise BadInput(f"{onnx}: wanted a graph typed {precision}, its layers give {', '.join(floats)}")


def _set_shapes(builder: Any, config: Any, network: Any, shapes: dict[str, list[int]], onnx: Path) -> None:
    """Fixed sizes must be the ones asked for; open ones get a profile of exactly those."""
    profile = None
    for k in range(network.num_inputs):
        tensor = network.get_input(k)
        has, wanted = list(tensor.shape), shapes.get(tensor.name, list(tensor.shape))
        if len(has) != len(wanted) or any(mine not in (-1, asked) for mine, asked in zip(has, wanted, strict=True)):
            raise BadInput(f"{onnx}: takes {tensor.name} {has}, wanted {wanted} as the model's manifest says")
        if -1 in wanted:
            raise BadInput(f"{onnx}: takes {tensor.name} {has}, and the model's manifest does not say which size to build for")
        if -1 in has:
            profile = profile or builder.create_optimization_profile()
            profile.set_shape(tensor.name, wanted, wanted, wanted)
    if profile:
        config.add_optimization_profile(profile)


def _read_timings(config: Any, file: Path) -> Any:
    """TensorRT itself refuses another version's or GPU's measurements; then we start with none."""
    for content in (file.read_bytes() if file.is_file() else b"", b""):
        timings = config.create_timing_cache(content)
        if timings is not None and config.set_timing_cache(timings, False):
            return timings
    return None


def _monitor(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phase, self.cancelled = "starting", False

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.phase = phase

        def step_complete(self, phase: str, step: int) -> bool:
            return not self.cancelled

        def phase_finish(self, phase: str) -> None:
            pass

    return Monitor()


def _layers(network: Any) -> dict[str, Any]:
    """The network as parsed. What TensorRT fused it into, only the loaded engine's inspector can say, and that needs a GPU."""

    def tensors(count: int, get: Callable[[int], Any]) -> list[dict[str, Any]]:
        found = [tensor for tensor in map(get, range(count)) if tensor is not None]
        return [{"name": tensor.name, "shape": list(tensor.shape), "precision": tensor.dtype.name} for tensor in found]

    layers = [{"name": layer.name, "type": layer.type.name, "inputs": tensors(layer.num_inputs, layer.get_input),
               "outputs": tensors(layer.num_outputs, layer.get_output)} for layer in _each_layer(network)]
    return {"source": "network definition", "types": dict(Counter(layer["type"] for layer in layers).most_common()), "layers": layers}


def _each_layer(network: Any) -> list[Any]:
    return [network.get_layer(k) for k in range(network.num_layers)]
