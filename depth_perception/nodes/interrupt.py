"""SIGINT and SIGTERM as something to look at between two steps, so that none is cut in half; and still an end: within two seconds, but for
those that have a file to close (the recorder, the viewer), which say how long they may take."""

from __future__ import annotations

import os
import signal
import threading
import time

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """From now on a signal only sets `came`. A main loop looks at it a few times a second and ends by itself.

    If it has not ended `patience_s` seconds later, because a disk or a library keeps it, the process ends with `last_resort`; where a
    library has kept the interpreter, too, a second later by SIGALRM, which needs no interpreter.
    """

    def __init__(self, *, patience_s: float = 1.7, last_resort: int = 0) -> None:
        self.came = False
        self._patience_s, self._last_resort = patience_s, last_resort
        # The interpreter's own signal handler writes into the pipe even while the main thread is inside a library.
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        for number in _SIGNALS:
            signal.signal(number, self._ignore_more)
        threading.Thread(target=self._watch, name="interrupt", daemon=True).start()

    @staticmethod
    def _ignore_more(number: int, frame: object) -> None:
        """A second Ctrl-C, of somebody impatient or of a launch, would kill the interpreter while it ends: it has no handlers then."""
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)

    def _watch(self) -> None:
        os.read(self._read, 1)
        self.came = True
        signal.setitimer(signal.ITIMER_REAL, self._patience_s + 1.0)
        time.sleep(self._patience_s)
        os._exit(self._last_resort)


def leave_at_once() -> None:
    """Until an Interrupt is made, a signal ends the process without a word: for the time of imports, when nothing is open yet."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: os._exit(0))
