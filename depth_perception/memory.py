"""Habits of a process that must answer in milliseconds: it keeps what is freed, has some ahead, never looks again at what start-up made."""

from __future__ import annotations

AHEAD_MB = 16.0  # eight depths of KITTI's size: what half an hour of late images and scans, in holes of other sizes, had asked for, twice


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


def share_one_heap() -> None:
    """All threads that are started from now on take memory from one heap: what one of them has freed serves the others.

    By default glibc gives each thread a heap of its own, and each of them grows to its own worst moment.
    """
    import contextlib
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(-8, 1)  # M_ARENA_MAX


def take_ahead(megabytes: float = AHEAD_MB) -> None:
    """So much is taken, touched and freed in one piece, which stays with a process that keeps freed memory.

    Two images that come at once for the first time in an hour then find room. What was taken ahead before is found again.
    """
    import contextlib
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
        if place := libc.malloc(size := round(megabytes * 1e6)):
            ctypes.memset(place, 0, size)
            libc.free(place)


def given_out_mb() -> float | None:
    """What malloc has given out and not got back, in MB: unlike resident memory, no hole counts. None where the C library does not say."""
    import ctypes

    class Mallinfo2(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in
                    ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

    try:
        mallinfo2 = ctypes.CDLL("libc.so.6").mallinfo2  # glibc 2.33
    except (OSError, AttributeError):
        return None
    mallinfo2.restype = Mallinfo2
    said = mallinfo2()
    return float(said.uordblks + said.hblkhd) / 1e6


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
