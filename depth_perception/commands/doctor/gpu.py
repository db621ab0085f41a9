"""The GPU: every network built, proven and timed on every engine, our own kernels compared with the CPU; a table, and a JSON to send."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_perception.commands.doctor import machine

if TYPE_CHECKING:
    from depth_perception.engine.trial import Prepared, Trial
    from depth_perception.model import Model

CAMERAS = ((375, 1242), (1080, 1920))


def run(args: argparse.Namespace) -> int:
    """Tries our kernels, and every network in every precision on every engine; a table, a JSON, and one sentence at the end."""
    from depth_perception import model as models
    from depth_perception.engine import cuda
    from depth_perception.engine.trial import round_trip
    from depth_perception.frame import BadInput

    if args.calls < 1:
        raise BadInput(f"--calls: wanted at least 1, got {args.calls}")
    model = models.load(args.model or models.shipped())
    gpu: dict[str, Any] = {}
    copies: dict[str, Any] = {}
    shape = (1, 3, model.height, model.width)
    try:
        gpu = vars(cuda.this_gpu())
        print("{name}, {capability}, {memory_mib} MiB, driver for CUDA {driver_cuda}".format(**gpu))
        copies = dict(zip(("p50_ms", "graph"), round_trip(shape, calls=args.calls), strict=True))
        print(f"an input of {shape} there and back: {copies['p50_ms']:.3f} ms, {'as' if copies['graph'] else 'without'} a CUDA graph")
    except BadInput as error:
        copies["failed"] = str(error)
        print(f"{'its memory' if gpu else 'no GPU'}: {error}")
    preparations = list(_preparations(args, model)) if gpu else []
    trials = list(_trials(args, model))
    tried = (copies.get("failed"), *(prepared.failed for prepared in preparations), *(trial.failed for trial in trials))
    failed = list(dict.fromkeys(said for said in tried if said))
    verdict = f"{len(failed)} reasons why not every engine drives here" if failed else "every engine drives here"
    facts = {
        "name": "doctor_gpu",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "gpu": gpu or None,
        "round_trip": copies,
        "preparations": [vars(prepared) for prepared in preparations],
        "driver": machine.driver(),
        "machine": {"system": platform.platform(), "cpu": machine.cpu(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **machine.versions()},
        "model": {"directory": model.path.name, "sha256": {name: models.sha256(model.onnx(name)) for name in model.networks}},
        "verdict": verdict,
        "failed": failed,
        "trials": [vars(trial) for trial in trials],
    }
    file = Path(args.json or "doctor_gpu.json")
    models.write_atomically(file, models.as_json(facts))
    for sentence in failed:
        print(f"- {sentence}")
    print(f"doctor: {verdict}; please send {file} back")
    return 1 if failed else 0


def _preparations(args: argparse.Namespace, model: Model) -> Iterator[Prepared]:
    """Our kernels against the CPU, on the images of common cameras."""
    from depth_perception.engine.trial import Prepared, prepared

    for rows, columns in CAMERAS:
        for dtype in ("float32", "float16"):
            try:
                from depth_perception.systems.network_input import prepare
            except ImportError as error:
                yield Prepared(rows, columns, dtype, failed=f"prepared images: nothing to compare the kernels with ({error})")
                continue
            found = prepared(prepare, rows, columns, dtype, height=model.height, width=model.width, calls=args.calls)
            said = "failed, see below"
            if not found.failed:
                said = f"{found.gpu_ms:.3f} ms, on the CPU {found.cpu_ms:.3f} ms, off by {found.difference:.1e} of {found.bound:.1e}"
            print(f"an image of {rows}x{columns} prepared as {dtype}: {said}", flush=True)
            yield found


def _trials(args: argparse.Namespace, model: Model) -> Iterator[Trial]:
    """Each is printed as it is done."""
    from depth_perception.engine import BOUNDS
    from depth_perception.engine.trial import tried

    has = [precision for precision in BOUNDS if precision == "fp32" or any(model.path.glob(f"*.{precision}.onnx"))]
    precisions = [word.strip() for word in args.precision.split(",")] if args.precision else has
    print(f"{'network':8s}{'precision':10s}{'engine':10s}{'build s':>9s}{'load s':>8s}{'p50 ms':>9s}{'p99 ms':>9s}  self-test")
    for network in model.networks:
        for precision in precisions:
            for device in ("tensorrt", "cuda", "cpu"):
                trial = tried(
                    model,
                    network,
                    precision,
                    device,
                    calls=args.calls,
                    directory=Path(args.engines) if args.engines else None,
                    progress=_progress,
                )
                print(_row(trial), flush=True)
                yield trial


def _row(trial: Trial) -> str:
    def number(value: float | None, width: int, digits: int) -> str:
        return f"{'-' if value is None else f'{value:.{digits}f}':>{width}s}"

    figures = number(trial.build_s, 9, 1) + number(trial.load_s, 8, 2) + number(trial.p50_ms, 9, 3) + number(trial.p99_ms, 9, 3)
    said = "failed, see below" if trial.failed else f"off by {trial.difference:.1e} of {trial.bound:g}, {trial.engine}"
    return f"{trial.network:8s}{trial.precision:10s}{trial.device:10s}{figures}  {said}"


def _progress(phase: str, seconds: float) -> None:
    """Only where somebody looks: a log needs no hundred lines."""
    if sys.stderr.isatty():
        print(f"\r\033[Kbuilding: {phase}, {seconds:.0f} s", end="\r", file=sys.stderr, flush=True)
