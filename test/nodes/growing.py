"""Which files keep more memory than before: two snapshots of tracemalloc compared, and a drive node that takes them on request."""

import gc
import os
import sys
import threading
import tracemalloc
from collections import Counter
from pathlib import Path

import depth_perception

OURS = str(Path(depth_perception.__file__).parent)
DEEP = 4  # callers that are remembered: what numpy, queue or rclpy keep for us is ours


def started():
    tracemalloc.start(DEEP)


def snapshot():
    """What is alive by now. Whoever only waits for the collector is not, nor the names that the cache of methods holds: thousands, one by
    one, for C libraries make them anew for every call."""
    gc.collect()
    sys._clear_type_cache()
    return tracemalloc.take_snapshot()


def growth(before, after, within=OURS):
    """file below `within` -> bytes more than before, by the innermost of its lines that led to each allocation."""
    grown = Counter()
    for sign, taken in ((1, after), (-1, before)):
        for trace in taken.traces:
            whose = next((frame.filename for frame in reversed(trace.traceback) if frame.filename.startswith(within)), None)
            if whose is not None:
                grown[whose.removeprefix(within).lstrip("/")] += sign * trace.size
    return grown


def program(wanted):
    """What Python runs in the node's place; it writes a snapshot to each file that is named in a line of the FIFO `wanted`."""
    return "-c", f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import growing; sys.exit(growing.drive({str(wanted)!r}))"


def drive(wanted):
    """The node itself."""
    from depth_perception.nodes.drive import main

    threading.Thread(target=_write, args=(wanted,), daemon=True).start()
    started()
    return main()


def _write(wanted):
    while True:
        with open(wanted) as lines:
            for line in lines:
                file = Path(line.strip())
                snapshot().dump(file.with_suffix(".part"))
                os.replace(file.with_suffix(".part"), file)
