"""What this machine is: packages, driver, processor."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "cuda-bindings", "nvidia-cuda-nvrtc", "tensorrt_rtx", "tensorrt", "rclpy", "torch")


def versions() -> dict[str, str]:
    """Package -> version, of those that matter and are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def driver() -> dict[str, str]:
    """The first GPU as nvidia-smi shows it; empty where it is not there or shows none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {}
    query = [command, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        shown = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    words = [word.strip() for word in shown.stdout.splitlines()[0].split(",")] if shown.returncode == 0 and shown.stdout.strip() else []
    return dict(zip(("name", "driver", "capability"), words, strict=True)) if len(words) == 3 else {}


def cpu() -> str:
    """As its maker calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
