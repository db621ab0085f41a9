"""The drive node on a GPU that dies: each network answers so many calls, warm-up included, then no more."""

from pathlib import Path

from depth_perception.engine import selection
from depth_perception.frame import BadInput
from depth_perception.nodes.drive import main


class Dying:
    """Another rung of the ladder, by another name, for so many calls."""

    device = "tensorrt"

    def __init__(self, engine, calls):
        self._engine, self._calls, self._called = engine, calls, 0
        self.name, self.inputs, self.outputs = "a GPU's engine", engine.inputs, engine.outputs

    def __call__(self, **arrays):
        self._called += 1
        if self._called > self._calls:
            raise BadInput("CUDA: cudaGraphLaunch: an illegal memory access was encountered (cudaErrorIllegalAddress)")
        return self._engine(**arrays)


def dying(calls):
    """`selection.only` with such a GPU."""
    real = selection.only

    def only(model, network, device, *arguments, **options):
        found = real(model, network, "cpu" if device == "tensorrt" else device, **options)
        return selection.Proven(Dying(found.engine, calls), found.proof) if device == "tensorrt" else found

    return only


def program(calls):
    """What Python runs in the node's place."""
    return "-c", f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import dying_gpu; sys.exit(dying_gpu.drive({calls}))"


def drive(calls):
    """The node itself."""
    selection.only = dying(calls)
    return main()
