"""Two habits of a process that must answer in milliseconds: it keeps freed memory, and never looks again at what start-up made."""

from __future__ import annotations


def keep_freed_memory() -> None:
    """No separate mappings for large arrays, nothing given back: glibc would map, zero and unmap them anew for every frame.

    A process's memory then stays at its peak, which frames do not raise; models that come and go do, see `return_freed_memory`.
    """
    import ctypes

    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library; only slower


def return_freed_memory() -> None:
    """Gives the system what is free at this moment, for something as large as a model is about to come and the old holes may not fit."""
    import contextlib
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library; only larger
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def spare_the_collector() -> None:
    """Everything made so far stays for good: the garbage collector walks modules and message types no more in the middle of a frame.

    Once more, it first lets go what has died since the last time.
    """
    import gc

    gc.unfreeze()
    gc.collect()
    gc.freeze()
