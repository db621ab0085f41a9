"""One engine of one network, tried on this machine: built, loaded, proven and timed. What does not work is a sentence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_perception.engine import compiled, cuda, preparation, selection, tensorrt_package
from depth_perception.engine.device_memory import Buffer, Stream
from depth_perception.engine.selftest import stored_frames
from depth_perception.frame import BadInput
from depth_perception.model import Model

WARM_UP = 10
LONGEST_S = 10.0


@dataclass(frozen=True)
class Trial:
    """Attributes:
    network, precision, device: what was tried; device: tensorrt, cuda or cpu.
    failed: why it does not drive; empty: it does.
    engine: what ran, in words.
    build_s: what building it took, now or when it came into the cache; None where nothing is built.
    load_s: from the file to proven.
    difference, bound: of the self-test.
    calls, p50_ms, p99_ms: a call from arrays to arrays.
    """

    network: str
    precision: str
    device: str
    failed: str = ""
    engine: str = ""
    build_s: float | None = None
    load_s: float | None = None
    difference: float | None = None
    bound: float | None = None
    calls: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


def tried(
    model: Model,
    network: str,
    precision: str,
    device: str,
    *,
    calls: int = 200,
    directory: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Trial:
    """Builds where needed, proves, and times `calls` calls, or as many as ten seconds allow."""
    build_s = None
    try:
        if device == "tensorrt":
            # Asked for in this order: what a machine lacks first is what its owner should hear first.
            package, capability = tensorrt_package.load(), cuda.this_gpu().capability
            made = compiled.compiled(
                model, network, package=package, capability=capability, precision=precision, directory=directory, progress=progress
            )
            build_s = float(made.entry.manifest["build_seconds"])
        started = time.perf_counter()
        proven = selection.only(model, network, device, precision, directory=directory)
        load_s = time.perf_counter() - started
        took_ms = _timed(proven, [arrays for arrays, _ in stored_frames(model, network, proven.inputs)], calls)
    except Exception as error:  # one that nobody foresaw is what the trial is for
        return Trial(network, precision, device, failed=selection.sentence(error), build_s=build_s)
    return Trial(
        network,
        precision,
        device,
        engine=proven.name,
        build_s=build_s,
        load_s=load_s,
        difference=proven.proof.difference,
        bound=proven.proof.bound,
        calls=len(took_ms),
        p50_ms=float(np.percentile(took_ms, 50)),
        p99_ms=float(np.percentile(took_ms, 99)),
    )


def _timed(run: Callable[..., object], frames: list[dict[str, np.ndarray]], calls: int) -> list[float]:
    took_ms: list[float] = []
    end = time.perf_counter() + LONGEST_S
    for call in range(WARM_UP + calls):
        before = time.perf_counter()
        run(**frames[call % len(frames)])
        after = time.perf_counter()
        if call >= WARM_UP:
            took_ms.append((after - before) * 1e3)
        if after > end and took_ms:
            break
    return took_ms


@dataclass(frozen=True)
class Prepared:
    """Attributes:
    rows, columns: of the camera.
    dtype: of the network's input.
    failed: why the GPU does not prepare; empty: it does.
    difference, bound: from the CPU's, over images of noise.
    gpu_ms, cpu_ms: median of a call, from the camera's image to a network input on the GPU, or in memory.
    """

    rows: int
    columns: int
    dtype: str
    failed: str = ""
    difference: float | None = None
    bound: float = preparation.BOUND
    gpu_ms: float | None = None
    cpu_ms: float | None = None


def prepared(plain: preparation.Prepare, rows: int, columns: int, dtype: str, *, height: int, width: int, calls: int = 200) -> Prepared:
    """Compares and times `preparation.OnDevice` with the CPU's way on the images of one camera."""
    image = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)
    wanted = plain(image, height=height, width=width)
    try:
        on_device = preparation.OnDevice(plain, height=height, width=width, dtype=dtype)
        try:
            difference = max(on_device.difference, float(np.abs(on_device.downloaded(on_device(image)).astype(np.float32) - wanted).max()))
            gpu_ms = float(np.median(_timed(lambda image: on_device(image), [{"image": image}], calls)))
        finally:
            on_device.close()
    except Exception as error:
        return Prepared(rows, columns, dtype, failed=selection.sentence(error))
    off = f"prepared images: {rows}x{columns} as {dtype} is off by {difference:.2g}, wanted {preparation.BOUND:.2g}"
    failed = "" if difference <= preparation.BOUND + preparation.ROUNDING else off
    cpu_ms = float(np.median(_timed(lambda image: plain(image, height=height, width=width), [{"image": image}], calls)))
    return Prepared(rows, columns, dtype, failed, difference, gpu_ms=gpu_ms, cpu_ms=cpu_ms)


def round_trip(shape: tuple[int, ...], *, calls: int = 200) -> tuple[float, bool]:
    """What TensorRT's engines stand on, without TensorRT: a float32 array to the GPU and back, as they copy theirs.

    Returns:
        median milliseconds, and whether the copies could be recorded as a CUDA graph. BadInput where CUDA refuses, or another array
        comes back.
    """
    wanted = np.random.default_rng(0).random(shape, np.float32)
    took_ms = []
    with contextlib.ExitStack() as made:
        stream = Stream()
        made.callback(stream.close)
        there, back = Buffer(shape, np.float32), Buffer(shape, np.float32)
        made.callback(there.close)
        made.callback(back.close)

        def copies() -> None:
            stream.upload(there)
            stream.copy(back.device, there.device, there.nbytes, "cudaMemcpyDeviceToDevice")
            stream.download(back)

        graph = stream.record(copies)
        if graph is not None:
            made.callback(graph.close)
        made.callback(stream.wait)
        there.host[...] = wanted
        for _ in range(calls):
            back.host[...] = 0
            before = time.perf_counter()
            graph.launch() if graph is not None else copies()
            stream.wait()
            took_ms.append((time.perf_counter() - before) * 1e3)
            if not np.array_equal(back.host, wanted):
                raise BadInput("CUDA: an array that was sent to the GPU came back as another one")
    return float(np.median(took_ms)), graph is not None
