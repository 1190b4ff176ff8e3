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


def _block(zeros: float) -> bytes:
    """A step whose pages end with this share of zeros, which compress to nothing."""
    block = random_block()
    kept = round(mmap.PAGESIZE * (1 - zeros))
    if kept == mmap.PAGESIZE:
        return block
    pages = (block[at : at + kept].ljust(mmap.PAGESIZE, b"\0") for at in range(0, STEP_BYTES, mmap.PAGESIZE))
    return b"".join(pages)


def reserve(size: int) -> mmap.mmap:
    """Private anonymous address space of `size` bytes; no page of it exists yet. `mmap.mmap(-1, n)` would be shared
    memory, which the kernel counts as file pages.
    """
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def fill(space: mmap.mmap, wanted: Callable[[], bool] = lambda: True, *, zeros: float = 0.0) -> None:
    """Touch every page, step by step, as long as it is `wanted`. `zeros`: the share of each page that is zero bytes;
    the rest is random.

    The copy is ctypes' because that lets other threads run while the kernel finds pages, which can take long
    under a limit; it is imported here because a process that holds nothing should not pay for it.
    """
    import ctypes

    block = _block(zeros)
    view = ctypes.c_char.from_buffer(space)
    base = ctypes.addressof(view)
    try:
        for offset in range(0, len(space), STEP_BYTES):
            if not wanted():
                return
            ctypes.memmove(base + offset, block, min(STEP_BYTES, len(space) - offset))
    finally:
        del view
