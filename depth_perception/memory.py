"""glibc, told to keep what is freed: large arrays are otherwise mapped, zeroed page by page and unmapped again for every frame."""

from __future__ import annotations


def keep_freed_memory() -> None:
    """No separate mappings for large arrays, nothing given back. A process's memory then stays at its peak, which does not grow."""
    import ctypes

    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library; only slower
