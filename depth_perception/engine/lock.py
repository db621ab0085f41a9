"""A lock file between processes: the kernel frees it when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, *, block: bool = True, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
    """Yields True while we alone hold the file, False at once if another does and `block` is off; removes it afterwards.

    waiting: called once before we wait for another. OSError where the file cannot be made.
    """
    lock = _acquired(path, block, waiting)
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # while it is still ours
        os.close(lock)


def _acquired(path: Path, block: bool, waiting: Callable[[], None] | None) -> int | None:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not block:
                    os.close(lock)
                    return None
                if waiting:
                    waiting()
                    waiting = None
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock, path):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # the one before us removed the file that we waited on; others lock a new one by now


def _is_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.stat(path))
    except FileNotFoundError:
        return False
