"""The environment: Python, ROS, DDS, engines, models, disk, memory, clock. What is to be done comes as a sentence that says how."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from depth_perception.commands.doctor import clock, machine, shared_memory

LEAST_FREE_GB = 2.0


class Finding(NamedTuple):
    """Attributes:
    level: ok; note: nothing to do, but good to know; todo: what the sentence says.
    """

    level: str
    subject: str
    says: str


def run(args: argparse.Namespace) -> int:
    """Finding after finding, and how many are to do."""
    from depth_perception.model import as_json, write_atomically

    found = []
    for finding in findings(args.model):
        found.append(finding)
        print(f"{finding.level:5s} {finding.subject:12s} {finding.says}", flush=True)
    todo = sum(finding.level == "todo" for finding in found)
    if args.json:
        facts = {"name": "doctor", "machine": {"system": platform.platform(), "cpu": machine.cpu(), "cores": os.cpu_count()},
                 "versions": {"python": platform.python_version(), **machine.versions()}, "todo": todo,
                 "findings": [finding._asdict() for finding in found]}
        write_atomically(Path(args.json), as_json(facts))
    print(f"doctor: {todo} to do" if todo else "doctor: all is well")
    return 1 if todo else 0


def findings(model: str | None) -> Iterator[Finding]:
    """One after the other, as they are found out."""
    from depth_perception import __version__
    from depth_perception import model as models

    yield _python()
    yield Finding("ok", "package", f"depth_perception {__version__}")
    yield from _ros()
    yield from _engines_installed()
    folders = [Path(model)] if model else sorted(path for path in models.shipped().parent.iterdir() if path.is_dir())
    for folder in folders:
        yield from _model(folder)
    yield _disk()
    yield from (Finding(*found) for found in (*shared_memory.findings(), *clock.findings()))


def _python() -> Finding:
    version = platform.python_version()
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Finding("ok", "python", version)
    return Finding("todo", "python", f"wanted 3.10 to 3.13, this is {version}")


def _ros() -> Iterator[Finding]:
    """rclpy and the profile that images need."""
    if importlib.util.find_spec("rclpy") is None:
        yield Finding("todo", "ROS", "rclpy is not found: source a ROS 2 installation, or run `make environment`; only nodes need it")
        return
    yield Finding("ok", "ROS", f"rclpy found, distribution {os.environ.get('ROS_DISTRO') or 'not named (wheels)'}")
    yield from _graph()
    from depth_perception.model import share_directory
    from depth_perception.nodes.transport import profile_variables

    rmw = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    profile = share_directory() / "config" / "fastdds.xml"
    if "fastrtps" not in rmw and "fastdds" not in rmw:
        yield Finding("note", "DDS", f"{rmw}: its own configuration must carry images of megabytes (docs/nodes.md)")
        return
    given = {name: os.environ[name] for name in profile_variables() if os.environ.get(name)}
    if missing := {name: file for name, file in given.items() if not Path(file).is_file()}:
        name, file = next(iter(missing.items()))
        yield Finding("todo", "DDS", f"{name}={file}: no such file; unset it, or set it to {profile}")
    elif not profile.is_file():
        yield Finding("todo", "DDS", f"{profile} is missing: install the package again")
    elif given:
        yield Finding("ok", "DDS", f"profile {next(iter(given.values()))}")
    else:
        yield Finding("note", "DDS", f"our launch files set the profile; a camera's node needs it too: {profile_variables()[0]}={profile}")


def _graph() -> Iterator[Finding]:
    """TF's messages, and which part of the network this process would meet."""
    if importlib.util.find_spec("tf2_msgs") is None:
        yield Finding("todo", "TF", "tf2_msgs is not installed, so extrinsics must come as parameters: apt install "
                      "ros-$ROS_DISTRO-tf2-msgs, or run `make environment`, which builds it where cmake and g++ are")
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    if not domain.isdigit() or int(domain) > 101:  # beyond, the ports of a domain may be those that Linux gives away
        yield Finding("todo", "domain", f"ROS_DOMAIN_ID={domain}: wanted 0 to 101")
    else:
        reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "SUBNET"
        alone = reach == "LOCALHOST" or os.environ.get("ROS_LOCALHOST_ONLY") == "1"
        yield Finding("ok", "domain", f"ROS_DOMAIN_ID {domain}, {'this machine only' if alone else 'the whole ' + reach.lower()}")


def _engines_installed() -> Iterator[Finding]:
    from depth_perception.engine import cuda, onnx_runtime, tensorrt_package
    from depth_perception.frame import BadInput

    names = [name.removesuffix("ExecutionProvider") for name in onnx_runtime.providers()]
    versions, driver = machine.versions(), machine.driver()
    yield Finding("ok", "ONNX Runtime", f"{versions.get('onnxruntime') or versions.get('onnxruntime-gpu', '')} for {', '.join(names)}")
    try:
        gpu = cuda.this_gpu()
    except BadInput as error:
        if driver:
            yield Finding("todo", "GPU", f"{driver['name']}, driver {driver['driver']}, but {error}")
        else:
            yield Finding("note", "GPU", f"none: networks run on the CPU ({error})")
        return
    yield Finding("ok", "GPU", f"{gpu.name}, {gpu.capability}, {gpu.memory_mib} MiB, driver for CUDA {gpu.driver_cuda}")
    try:
        package = tensorrt_package.load()
        package.capability(tensorrt_package.THIS_GPU)
        yield Finding("ok", "TensorRT", f"{package.name} {package.version}; `doctor --gpu` builds, proves and times its engines")
    except BadInput as error:
        yield Finding("note" if "CUDA" in names else "todo", "TensorRT", str(error))


def _model(folder: Path) -> Iterator[Finding]:
    """Every network of a model on the CPU, against its stored answers."""
    from depth_perception import engine
    from depth_perception import model as models
    from depth_perception.frame import BadInput

    try:
        model = models.load(folder)
        for network in model.networks:
            proven = engine.load(model, network, device="cpu")
            proof = f"off by {proven.proof.difference:.1g}, allowed {proven.proof.bound:g}"
            yield Finding("ok", f"{folder.name}", f"{network}: self-test on {proven.name}: {proof}")
    except BadInput as error:
        yield Finding("todo", folder.name, str(error))


def _disk() -> Finding:
    from depth_perception.engine.cache import directories

    place = next(path for path in (directories(Path())[1], *directories(Path())[1].parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    says = f"{free:.1f} GB free at {place}"
    return Finding("ok", "disk", says) if free >= LEAST_FREE_GB else Finding("todo", "disk", f"{says}, wanted {LEAST_FREE_GB:g}")
