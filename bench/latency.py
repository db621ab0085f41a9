"""How long depth networks take in ONNX Runtime, side by side in one run.

    python -m bench.latency [--width nano small base] [--finest 0 1] [--model DIR...] [--peer NAME=FILE...] [--size 416x128 640x192]

Students of the given widths and last decoder stages are made with random weights (latency does not depend on them) and exported; models
bring their own depth.onnx, and depth.int8.cpu.onnx where they have it; peers are ONNX files of one image input, at whatever sizes.
Files of one input size take turns, a call each, so that whatever else the machine does hits all of them alike. Of a noisy machine the
smallest time says the most; the median is given, too, and the smallest time on CPUs (all threads together). As in the package's engine,
threads sleep while they wait.

MACs are counted in the graph: what its convolutions and matrix products multiply.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from bench.image_size import image_size
from depth_perception.engine import Engine
from depth_perception.export.driving_form import driving_form
from depth_perception.export.onnx_file import Finest, write_onnx
from depth_perception.frame import BadInput
from depth_perception.model import as_json, write_atomically
from depth_perception.networks.student import PRESETS, Student, StudentConfig
from depth_perception.report.bench import machine

WARM_UP = 3


def student(config: StudentConfig, file: Path, *, width: int, height: int) -> Path:
    """A student as it drives, with random weights."""
    torch.manual_seed(0)
    sides = [height, width]
    write_onnx(driving_form(Finest(Student(config))), file, inputs={"image": [1, 3, *sides]}, outputs={"depth": [1, 1, *sides]})
    return file


def macs(file: Path) -> int:
    """Multiplications of a graph's convolutions and matrix products."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    sizes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
             for value in (*graph.value_info, *graph.input, *graph.output)}
    sizes |= {weight.name: list(weight.dims) for weight in graph.initializer}
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            weight = node.input[1]
            while weight in rounded:
                weight = rounded[weight]
            total += int(np.prod(sizes[node.output[0]])) * int(np.prod(sizes[weight][1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            total += int(np.prod(sizes[node.output[0]])) * sizes[node.input[0]][-1]
    return total


def parameters(file: Path) -> int:
    """Numbers in a graph's kernels and matrices: about what was learned; biases and norms are not told from other constants."""
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT8)
    weights = onnx.load(file).graph.initializer
    return sum(int(np.prod(weight.dims)) for weight in weights if weight.data_type in kinds and len(weight.dims) > 1)


def race(files: dict[str, Path], *, rounds: int, threads: int) -> dict[str, np.ndarray]:
    """Name -> (rounds, 2) milliseconds by the clock and on CPUs, all of them taking turns."""
    engines = {name: Engine(file, threads=threads, device="cpu") for name, file in files.items()}
    rng = np.random.default_rng(0)
    inputs = {name: {key: rng.random(shape, np.float32) for key, shape in engine.inputs.items()} for name, engine in engines.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for step in range(WARM_UP + rounds):
        for name, engine in engines.items():
            started, busy = time.perf_counter(), time.process_time()
            engine(**inputs[name])
            if step >= WARM_UP:
                times[name].append(((time.perf_counter() - started) * 1e3, (time.process_time() - busy) * 1e3))
    return {name: np.array(each) for name, each in times.items()}


def contenders(args: argparse.Namespace, folder: Path) -> dict[tuple[int, int], dict[str, tuple[Path, int | None]]]:
    """(width, height) -> name -> ONNX file and its number of parameters, None: count them in the file."""
    found: dict[tuple[int, int], dict[str, tuple[Path, int | None]]] = {}
    for words in args.size:
        width, height = (int(side) for side in words.split("x"))
        for name in args.width:
            for finest in args.finest:
                config = StudentConfig(channels=PRESETS[name], finest=finest)
                count = sum(p.numel() for p in Student(config).parameters())
                file = student(config, folder / f"{name}_{finest}_{words}.onnx", width=width, height=height)
                found.setdefault((width, height), {})[f"student {name}, finest {finest}"] = (file, count)
    given = [tuple(words.partition("=")[::2]) for words in args.peer]
    for directory in args.model:
        given += [(f"{directory} {file.name}", str(file)) for name in ("depth.onnx", "depth.int8.cpu.onnx")
                  if (file := Path(directory) / name).is_file()]
    for name, path in given:
        if not Path(path).is_file():
            raise BadInput(f"--peer or --model: wanted NAME=FILE of an ONNX file, or an exported model, got {name}={path}")
        _, _, height, width = next(iter(Engine(path, device="cpu").inputs.values()))
        found.setdefault((int(width), int(height)), {})[name] = (Path(path), None)
    return found


def table(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a file: what it is, and its times."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for (width, height), files in contenders(args, Path(folder)).items():
            times = race({name: file for name, (file, _) in files.items()}, rounds=args.rounds, threads=args.threads)
            for name, (file, count) in files.items():
                rows.append({"size": f"{width}x{height}", "network": name, "parameters": count or parameters(file), "macs": macs(file),
                             "min_ms": float(times[name][:, 0].min()), "median_ms": float(np.median(times[name][:, 0])),
                             "cpu_ms": float(times[name][:, 1].min()), "rounds": args.rounds})
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", nargs="*", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--finest", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--model", nargs="*", default=[], metavar="DIR")
    parser.add_argument("--peer", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--size", nargs="*", type=image_size, default=["416x128", "640x192"], metavar="WxH")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    args = parser.parse_args()
    facts = machine()
    rows = table(args)
    size = ""
    for row in rows:
        if row["size"] != size:
            size = row["size"]
            print(f"{size:44s} parameters    GMAC  ms: min  median     CPU")
        line = "{network:44s} {0:8.3f} M {1:7.3f} {min_ms:8.2f} {median_ms:7.2f} {cpu_ms:7.2f}"
        print(line.format(row["parameters"] / 1e6, row["macs"] / 1e9, **row))
    if args.json:
        write_atomically(Path(args.json), as_json({"name": "latency", "threads": args.threads, **facts, "results": rows}))


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        print(f"latency: {error}", file=sys.stderr)
        sys.exit(2)
