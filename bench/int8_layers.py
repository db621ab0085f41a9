"""Which convolutions INT8 makes faster in ONNX Runtime on this CPU, layer by layer.

    python -m bench.int8_layers --model models/student --bag BAG [--size 640x192] [--json out/bench/int8_layers.json]

Every convolution is quantised, both graphs run with ONNX Runtime's own profiler on one thread, and the fastest kernel of each layer is
compared. What a kernel wins must pay for rounding its input and its output, and a hardswish, which ONNX Runtime fuses into a float32
convolution, then stands alone: the last lines give the operators of both graphs as wholes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from bench.image_size import image_size
from depth_perception import model as models
from depth_perception.export import calibration, export, int8
from depth_perception.frame import BadInput
from depth_perception.model import as_json, write_atomically
from depth_perception.report.bench import machine

Kernels = dict[tuple[str, str], float]


def kernels(file: Path, folder: Path, *, rounds: int) -> Kernels:
    """(node, operator) -> the fastest of its calls, microseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    image = {value.name: np.random.default_rng(0).random(value.shape, np.float32) for value in session.get_inputs()}
    for _ in range(rounds):
        session.run(None, image)
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]].append(event["dur"])
    return {key: min(each) for key, each in times.items()}


def layer(name: str) -> str:
    """ONNX Runtime's name of a kernel -> the layer's: fused kernels are called by their output, or with a suffix."""
    return re.sub(r"(_nchwc|_quant|_token_\d+|_output_0|/Conv|/Clip|/Relu|/Sigmoid|/HardSwish)+$", "", name)


def table(args: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Rows of layers, and operators -> microseconds of both graphs."""
    size = tuple(int(side) for side in args.size.split("x")) if args.size else None
    opened = export(args.model, folder / "model", size=size)  # type: ignore[arg-type]
    file, rounded, cpu = opened.onnx("depth"), folder / "all.onnx", folder / "all.cpu.onnx"
    seen = calibration.read(args.bag, height=opened.height, width=opened.width, canonical_focal_px=opened.canonical_focal_px).ranging
    graph = onnx.load(file)
    convs = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    int8.write_int8(file, rounded, nodes=convs, inputs=[frame.inputs(["image"]) for frame in seen[:4]])
    int8.write_cpu_form(rounded, cpu)
    full, small = (kernels(each, folder, rounds=args.rounds) for each in (file, cpu))
    by_layer = [{layer(name): time for (name, operator), time in found.items() if operator in kinds}
                for found, kinds in ((full, {"Conv", "FusedConv"}), (small, {"QLinearConv"}))]
    outputs = {node.name: layer(node.output[0]) for node in graph.graph.node if node.op_type == "Conv"}
    chosen = set(int8.worthwhile(graph))
    rows = [{"layer": layer(node), "fp32_us": by_layer[0].get(layer(node), by_layer[0].get(outputs[node])),
             "int8_us": by_layer[1].get(layer(node), by_layer[1].get(outputs[node])), "chosen": node in chosen} for node in convs]
    operators: dict[str, dict[str, float]] = {}
    for name, found in (("fp32", full), ("int8", small)):
        count: Counter[str] = Counter()
        for (_, operator), time in found.items():
            count[operator] += time  # type: ignore[assignment]
        operators[name] = dict(count.most_common())
    return rows, operators


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(models.shipped()))
    parser.add_argument("--bag", required=True)
    parser.add_argument("--size", type=image_size, metavar="WxH")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json")
    args = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        rows, operators = table(args, Path(folder))
    print(f"{'layer':44s} fp32 us  int8 us  in INT8")
    for row in rows:
        times = [f"{row[key]:8.0f}" if row[key] is not None else "       -" for key in ("fp32_us", "int8_us")]
        print(f"{row['layer']:44s}{times[0]} {times[1]}  {'yes' if row['chosen'] else ''}")
    for name, count in operators.items():
        print(f"{name}: {sum(count.values()):.0f} us: " + ", ".join(f"{key} {value:.0f}" for key, value in list(count.items())[:8]))
    if args.json:
        write_atomically(Path(args.json), as_json({"name": "int8_layers", **facts, "layers": rows, "operators": operators}))


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        print(f"int8_layers: {error}", file=sys.stderr)
        sys.exit(2)
