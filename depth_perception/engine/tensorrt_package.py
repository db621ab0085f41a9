"""NVIDIA's two TensorRT packages behind one face: `tensorrt_rtx` for RTX GPUs, `tensorrt` for Jetson and data-centre GPUs.

The one file that imports them. They share their API; what differs is said here: tensorrt_rtx builds for the GPU kinds it lists, on
any machine; tensorrt builds for the GPU it runs on, and by trying kernels there.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from depth_perception.engine import cuda
from depth_perception.frame import BadInput

NAMES = ("tensorrt_rtx", "tensorrt")
THIS_GPU = "this-gpu"
# Strongly typed networks, progress monitors and Python's ONNX parser errors by node.
OLDEST = {"tensorrt_rtx": (1, 0), "tensorrt": (10, 0)}
INSTALL = "pip install 'depth_perception[tensorrt]' (RTX GPUs), or NVIDIA's tensorrt (Jetson, data-centre GPUs)"


@dataclass(frozen=True, eq=False)
class Package:
    """An imported TensorRT package.

    Attributes:
        name: tensorrt_rtx or tensorrt.
        version: as the package says it, "1.7.1.116".
        module: the module itself.
        log: TensorRT's one logger of this process; `log.errors` holds its latest errors, `log.parsing` the latest node.
    """

    name: str
    version: str
    module: ModuleType
    log: Any

    def compute_capabilities(self) -> list[str]:
        """GPU kinds that it builds for without having one: "sm75", "sm86" ...; none for plain tensorrt."""
        kinds = getattr(self.module, "ComputeCapability", None)
        names = (name.lower() for name in getattr(kinds, "__members__", ()) if name.startswith("SM"))
        return sorted(names, key=lambda name: int(name.removeprefix("sm")))

    def capability(self, target: str) -> str:
        """A GPU kind's own name ("sm86") for a target: such a name, or "this-gpu"; BadInput when this package cannot build for it."""
        ahead = self.compute_capabilities()
        here = self._here(ahead) if target == THIS_GPU or not ahead else ""
        wanted = here if target == THIS_GPU else target
        if wanted not in (ahead or [here]):
            kinds = f"{', '.join(ahead)} or {THIS_GPU}" if ahead else f"{THIS_GPU}, which is {here}"
            got = f"{target!r} ({here})" if target == THIS_GPU else repr(target)
            raise BadInput(f"target: {self.name} {self.version} builds for {kinds}; got {got}")
        return wanted

    def _here(self, ahead: list[str]) -> str:
        try:
            return cuda.this_gpu().capability
        except BadInput as error:
            instead = f"for other GPUs name one of {', '.join(ahead)}" if ahead else f"{self.name} builds only on the GPU that will drive"
            raise BadInput(f"target: {THIS_GPU} wants a GPU ({error}); {instead}") from error


def packages() -> list[str]:
    """The installed ones of NAMES, best first."""
    return [name for name in NAMES if importlib.util.find_spec(name) is not None]


@cache
def load(name: str | None = None) -> Package:
    """The named package, or the first installed one; BadInput when there is none or it does not import."""
    installed = packages()
    if name is not None and name not in NAMES:
        raise BadInput(f"package: wanted one of {', '.join(NAMES)}, got {name!r}")
    if not installed or (name is not None and name not in installed):
        raise BadInput(f"TensorRT: {name or 'no package of it'} is {'not ' if name else ''}installed here: {INSTALL}")
    name = name or installed[0]
    try:
        module = _imported(name)
    except (ImportError, OSError, RuntimeError) as error:  # a library of it, or of the driver, is missing
        raise BadInput(f"TensorRT: {name} is installed but does not import: {str(error).splitlines()[0]}") from error
    version = str(module.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST[name]:
        raise BadInput(f"TensorRT: wanted {name} {'.'.join(map(str, OLDEST[name]))} or newer, {version} is installed")
    return Package(name, version, module, _logger(module))


def _imported(name: str) -> ModuleType:
    if name == "tensorrt_rtx":
        import tensorrt_rtx

        return tensorrt_rtx
    import tensorrt

    return tensorrt


def _logger(trt: Any) -> Any:
    """Keeps errors, and which node is parsed, for the sentence that names them. TensorRT takes one logger per process: the first."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=20)
            self.parsing = ""  # "/head/det [Det]"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message.partition("\n")[0])
            elif message.startswith("Parsing node: "):
                self.parsing = message.removeprefix("Parsing node: ")

    return Log()
