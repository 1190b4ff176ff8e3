"""Private anonymous memory, taken page by page: what the kernel charges as `anon` and can only swap or kill for."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

STEP_BYTES = 1 << 20

_random = b""


def random_block() -> bytes:
    """A step of random bytes, the same each time: no two pages of it are equal and none compresses."""
    global _random
    if not _random:
        _random = os.urandom(STEP_BYTES)
    return _random


def reserve(size: int) -> mmap.mmap:
    """Private anonymous address space of `size` bytes; no page of it exists yet. `mmap.mmap(-1, n)` would be shared
    memory, which the kernel counts as file pages.
    """
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def fill(space: mmap.mmap, wanted: Callable[[], bool] = lambda: True) -> None:
    """Touch every page, step by step, as long as it is `wanted`.

    The copy is ctypes' because that lets other threads run while the kernel finds pages, which can take long
    under a limit; it is imported here because a process that holds nothing should not pay for it.
    """
    import ctypes

    block = random_block()
    view = ctypes.c_char.from_buffer(space)
    base = ctypes.addressof(view)
    try:
        for offset in range(0, len(space), STEP_BYTES):
            if not wanted():
                return
            ctypes.memmove(base + offset, block, min(STEP_BYTES, len(space) - offset))
    finally:
        del view
