"""Gives free memory of this process' heap back to the kernel."""

from __future__ import annotations

import gc
from collections.abc import Callable


def give_back() -> None:
    """Collect what nothing refers to any more, and return every free page of the heap (malloc_trim(3)).

    Python's own allocator returns an arena once all of it is free; the C library's keeps free pages between blocks.
    Without malloc_trim (a C library other than glibc) the collection alone takes place.
    """
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _malloc_trim() -> Callable[[int], int] | None:
    import ctypes  # weighs half a megabyte, for a process that gives back many

    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return None
    return found
