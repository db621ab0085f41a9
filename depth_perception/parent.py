"""A child that does not outlive its parent, however that ends: killed, crashed, its terminal closed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ended_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """For Popen's preexec_fn: the child gets this signal when the thread that started it ends. None: only Linux has it."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it was quicker
            os._exit(1)

    return in_child
