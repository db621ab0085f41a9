"""Benchmarks of the driving path."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception import __version__
from depth_perception import bag as bags
from depth_perception import model as models
from depth_perception.frame import BadInput

WARM_UP = 20  # images: two seconds


def machine() -> dict[str, Any]:
    """What the figures were measured on: machine, versions, commit."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.processor(),
    )
    names = ("rclpy", "onnxruntime", "numpy", "opencv-python-headless")
    versions = {"python": platform.python_version(), "depth_perception": __version__}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not from a wheel"
    git = shutil.which("git")
    describe = [git or "", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() if git else ""
    return {
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)},
        "versions": versions,
        "commit": commit,
    }


def drive(bag_path: str, model_path: str | None) -> dict[str, Any]:
    """One run of all systems at the bag's own rate, images stamped when they are sent.

    Returns:
        overhead_ms: from the stamp in the player's process to the depth's arrival in a third process, less the engine's own time for
            that very image; without the first WARM_UP images, during which the transport's shared memory is touched for the first
            time (given apart, with them). start_to_active_s, frames, dropped, rss_mb, and the node's stages in ms. cpu_share: CPU
            seconds of the node per second of the drive, 1 is a core.
    """
    from depth_perception.nodes.rehearsal import observing, rehearse

    model = models.load(model_path or models.shipped())
    bag = bags.Bag(bag_path)
    topics = bags.guess_topics(bag)
    with tempfile.TemporaryDirectory() as folder, observing(Path(folder), keep_every=0) as observer:
        played = rehearse(
            observer,
            bag_path,
            {"image": topics.image, "camera_info": topics.camera_info, "points": topics.points},
            compressed=bag.topics[topics.image][0].endswith("CompressedImage"),
            model=str(model.path.resolve()),
            stamp_now=True,
        )
    sent, received = played.published[topics.image], len(observer.depth_stamps)
    overhead = overheads(observer)
    warm = set(observer.depth_stamps[:WARM_UP])
    after = [ms for stamp, ms in overhead.items() if stamp not in warm]
    if not after:
        raise BadInput(f"{bag_path}: wanted more than {WARM_UP} depth images, got {received}: {observer.message}")
    stages = {name: percentiles([row[name] for row in observer.latencies if name in row]) for name in observer.latencies[-1]}
    return {
        "overhead_ms": percentiles(after),
        "overhead_ms_with_warm_up": percentiles(list(overhead.values())),
        "whole_ms": percentiles(observer.depth_ages_ms),
        "stages_ms": stages,
        "start_to_active_s": float(observer.status["start_to_active_s"]),
        "frames": sent,
        "dropped": sent - received,
        "odometry": len(observer.trajectory),
        "clouds": len(observer.cloud_stamps),
        "rss_mb": float(observer.status["rss_mb"]),
        "cpu_share": round(played.cpu_share, 4),
    }


def overheads(observer: Any) -> dict[int, float]:
    """Stamp -> milliseconds from it to the depth's arrival, less the engine's for that image; of images of which both have come.

    observer: a `nodes.observer.Observer`. A latency has no stamp of its own and goes with the depth before it, so of two with the same
    stamp the second is of an image whose depth was lost.
    """
    engine: dict[int, float] = {}
    for stamp, row in zip(observer.latency_stamps, observer.latencies, strict=True):
        if "engine" in row:
            engine.setdefault(stamp, row["engine"])
    ages = dict(zip(observer.depth_stamps, observer.depth_ages_ms, strict=True))
    return {stamp: age - engine[stamp] for stamp, age in ages.items() if stamp in engine}


def table(results: list[dict[str, Any]]) -> str:
    """The figures of every run, for reading."""
    lines = ["run  overhead p50/p99 ms  start to active s  frames  dropped  RSS MB  CPU of node"]
    for index, row in enumerate(results):
        overhead = f"{row['overhead_ms']['p50']:9.2f} / {row['overhead_ms']['p99']:<8.2f}"
        counts = f"{row['frames']:6d}  {row['dropped']:7d}  {row['rss_mb']:6.0f}"
        lines.append(f"{index + 1:3d}  {overhead}  {row['start_to_active_s']:17.2f}  {counts}  {row['cpu_share']:10.0%}")
    return "\n".join(lines)


def percentiles(values: Any) -> dict[str, float] | None:
    """The median, and what nine in ten and 99 in a hundred stay below; None of nothing."""
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 90, 99)} if len(values) else None
