"""How ONNX Runtime's threads should wait, and whether they should keep to a core: what `engine/onnx_runtime.py` chose by.

    python -m bench.engine_threads [--model models/student] [--rate 30] [--seconds 8]

A depth network is given an image at a camera's rate, in a process of its own for each row, first with the machine to itself and then beside
a process that never rests. Between two images a thread can sleep or spin; ONNX Runtime's default spins. `asleep` is ours. Pinned, each
thread of the engine has a core: the calling one the first, the others the next.

With one thread, with two, and where there are more than two cores with as many as cores.

Printed and in --json: p50 and p99 of the engine's call, and milliseconds of CPU an image, those between images among them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception import model as models
from depth_perception.frame import BadInput
from depth_perception.model import as_json, write_atomically
from depth_perception.report.bench import machine, percentiles

WARM_UP = 10
SPIN, STOP = "session.intra_op.allow_spinning", "session.force_spinning_stop"
# How threads wait -> ONNX Runtime's session settings.
WAITS: dict[str, dict[str, str]] = {"asleep": {SPIN: "0"}, "awake within a run": {SPIN: "1", STOP: "1"}, "awake": {}}


def timed(file: str, threads: int, waits: str, pinned: bool, rate: float, seconds: float) -> dict[str, Any]:
    """A row, measured in this process: {"engine_ms": percentiles, "cpu_ms", "images"}."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    for key, value in WAITS[waits].items():
        options.add_session_config_entry(key, value)
    cores = sorted(os.sched_getaffinity(0))
    if pinned:  # ONNX Runtime counts processors from one, and wants one for each thread but the caller's
        options.add_session_config_entry("session.intra_op_thread_affinities", ";".join(str(core + 1) for core in cores[1:threads]))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    if pinned:
        os.sched_setaffinity(0, {cores[0]})
    rng = np.random.default_rng(0)
    inputs = {each.name: rng.random(each.shape, np.float32) for each in session.get_inputs()}
    took, count = [], WARM_UP + round(rate * seconds)
    begun = time.monotonic()
    for tick in range(count):
        time.sleep(max(begun + tick / rate - time.monotonic(), 0))
        if tick == WARM_UP:
            busy = time.process_time()
        started = time.perf_counter()
        session.run(None, inputs)
        took.append((time.perf_counter() - started) * 1e3)
    busy_ms, images = (time.process_time() - busy) * 1e3, count - WARM_UP
    return {"engine_ms": percentiles(took[WARM_UP:]), "cpu_ms": busy_ms / images, "images": images}


def never_rest() -> None:
    """Another program on the machine."""
    while True:
        sum(range(100_000))


def ways(cores: int) -> list[tuple[int, str, bool]]:
    """(threads, how they wait, whether they are pinned): one thread, two, and as many as cores."""
    several = [2, *[cores] * (cores > 2)]
    return [(1, "asleep", False), *((threads, waits, False) for threads in several for waits in WAITS),
            *((threads, "asleep", True) for threads in several if threads <= cores)]


def rows(file: Path, *, rate: float, seconds: float) -> list[dict[str, Any]]:
    """All ways, alone and beside a process that never rests."""
    context, found = multiprocessing.get_context("spawn"), []
    for beside in (False, True):
        other = context.Process(target=never_rest, daemon=True)
        if beside:
            other.start()
        try:
            for threads, waits, pinned in ways(len(os.sched_getaffinity(0))):
                with ProcessPoolExecutor(1, mp_context=context) as one:
                    measured = one.submit(timed, str(file), threads, waits, pinned, rate, seconds).result()
                found.append({"threads": threads, "waits": waits, "pinned": pinned, "beside_another": beside} | measured)
                print(line(found[-1]), flush=True)
        finally:
            if beside:
                other.kill()
                other.join()
    return found


def line(row: dict[str, Any]) -> str:
    """A row, for reading."""
    how = f"{row['threads']} thread{'s' * (row['threads'] > 1)}, {row['waits']}{', pinned' * row['pinned']}"
    return (f"{'beside another' if row['beside_another'] else 'alone':15s} {how:34s} p50 / p99 {row['engine_ms']['p50']:6.2f} / "
            f"{row['engine_ms']['p99']:6.2f} ms, {row['cpu_ms']:6.2f} ms of CPU an image")


def main(argv: list[str] | None = None) -> int:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(models.shipped()), metavar="DIR", help="whose depth.onnx it is")
    parser.add_argument("--rate", type=float, default=30.0, help="Hz")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row")
    parser.add_argument("--json")
    args = parser.parse_args(argv)
    if not (1 <= args.rate <= 1000 and 0.1 <= args.seconds <= 600):
        raise BadInput(f"wanted --rate from 1 to 1000 and --seconds from 0.1 to 600, got {args.rate:g} and {args.seconds:g}")
    if round(args.rate * args.seconds) < 1:
        raise BadInput(f"wanted --rate and --seconds for at least one image, got {args.rate:g} Hz for {args.seconds:g} s")
    file = models.load(args.model).path / "depth.onnx"
    if not file.is_file():
        raise BadInput(f"--model {args.model}: has no depth.onnx")
    about = machine()
    found = rows(file, rate=args.rate, seconds=args.seconds)
    if args.json:
        write_atomically(Path(args.json), as_json({"name": "engine_threads", **about, "rate_hz": args.rate, "results": found}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(f"engine_threads: {error}", file=sys.stderr)
        sys.exit(2)
