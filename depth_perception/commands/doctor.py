"""`doctor`: what this machine has and lacks for driving; with --gpu, every engine built, proven and timed on its GPU."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from depth_perception.engine.trial import Trial
    from depth_perception.model import Model

HELP = "check this machine: environment, models, engines; with --gpu, prove and time every engine on its GPU"
EXAMPLE = "python -m depth_perception doctor --gpu --json doctor_gpu.json"

PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "cuda-bindings", "tensorrt_rtx", "tensorrt", "rclpy", "torch")
LEAST_FREE_GB = 2.0


class Finding(NamedTuple):
    """Attributes:
    level: ok; note: nothing to do, but good to know; todo: what the sentence says.
    """

    level: str
    subject: str
    says: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `doctor`."""
    parser.add_argument("--gpu", action="store_true", help="build, prove and time the engines instead of checking the environment")
    parser.add_argument("--model", metavar="DIR", help="model directory (default: the shipped student)")
    parser.add_argument("--precision", metavar="P,P", help="with --gpu (default: fp32, and what the model has been exported in)")
    parser.add_argument("--calls", type=int, default=200, help="with --gpu: timed calls of each engine (default 200)")
    parser.add_argument("--engines", metavar="DIR", help="with --gpu: where built engines go (default: as compile)")
    parser.add_argument("--json", metavar="PATH", default="doctor_gpu.json", help="with --gpu: all figures, to send back")


def run(args: argparse.Namespace) -> int:
    """Exit code 0: all is well; 1: something is to be done, and has been said."""
    return _gpu(args) if args.gpu else _environment(args)


# --- the environment -----------------------------------------------------------------------------------------------------


def _environment(args: argparse.Namespace) -> int:
    todo = 0
    for finding in findings(args.model):
        todo += finding.level == "todo"
        print(f"{finding.level:5s} {finding.subject:12s} {finding.says}", flush=True)
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


def _engines_installed() -> Iterator[Finding]:
    from depth_perception.engine import cuda, onnx_runtime, tensorrt_package
    from depth_perception.frame import BadInput

    names = [name.removesuffix("ExecutionProvider") for name in onnx_runtime.providers()]
    versions, driver = _versions(), _driver()
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


# --- the GPU -------------------------------------------------------------------------------------------------------------


def _gpu(args: argparse.Namespace) -> int:
    """Tries every network in every precision on every engine; a table, a JSON, and one sentence at the end."""
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
    trials = list(_trials(args, model))
    failed = list(dict.fromkeys(said for said in (copies.get("failed"), *(trial.failed for trial in trials)) if said))
    verdict = f"{len(failed)} reasons why not every engine drives here" if failed else "every engine drives here"
    facts = {
        "name": "doctor_gpu",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "gpu": gpu or None,
        "round_trip": copies,
        "driver": _driver(),
        "machine": {"system": platform.platform(), "cpu": _cpu(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **_versions()},
        "model": {"directory": model.path.name, "sha256": {name: models.sha256(model.onnx(name)) for name in model.networks}},
        "verdict": verdict,
        "failed": failed,
        "trials": [vars(trial) for trial in trials],
    }
    models.write_atomically(Path(args.json), models.as_json(facts))
    for sentence in failed:
        print(f"- {sentence}")
    print(f"doctor: {verdict}; please send {args.json} back")
    return 1 if failed else 0


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


# --- facts ---------------------------------------------------------------------------------------------------------------


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _driver() -> dict[str, str]:
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


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
