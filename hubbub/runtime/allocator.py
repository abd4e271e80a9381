"""The C library's memory allocator: whether freed memory returns to the system at once."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keep_freed_memory"]

#: Options of glibc's `mallopt`, the largest values it takes, and those that it reaches by itself.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST = {MMAP_THRESHOLD: 2**30, TRIM_THRESHOLD: 2**31 - 1}
USUAL = {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Within the block, freed memory stays with the process for what is allocated next; after it, it returns to the
    system.

    Otherwise glibc returns each large tensor at once, and the next one's pages are mapped and zeroed again: a tenth of
    the time of a training step. Other C libraries are left as they are.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "gnu_get_libc_version"):
        yield
        return
    _set(library, LARGEST)
    try:
        yield
    finally:
        _set(library, USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        library.mallopt(option, value)
