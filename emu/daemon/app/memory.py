"""Private anonymous memory, taken page by page: what the kernel charges as `anon` and can only swap or kill for."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable

STEP_BYTES = 1 << 20
TOUCH_BYTES = 64 << 10

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


def touch(held: Iterable[object], size: int, begin: int, wanted: Callable[[], bool] = lambda: True) -> int:
    """Read so much of what was reserved and filled, from `begin` on as if it repeated itself without end; how many
    bytes that were. What is given back meanwhile is left out.

    ctypes copies it, so that other threads run while the kernel brings pages back.
    """
    import ctypes

    spaces = [space for space in held if isinstance(space, mmap.mmap)]
    room, done, before = ctypes.create_string_buffer(TOUCH_BYTES), 0, -1
    while done < size and done != before:
        before, at = done, (begin + done) % (sum(map(_length, spaces)) or 1)
        for space in spaces:
            length = _length(space)
            while at < length and done < size and wanted():
                part = min(TOUCH_BYTES, length - at, size - done)
                try:
                    view = ctypes.c_char.from_buffer(space)
                except ValueError:  # given back since its length was asked
                    break
                ctypes.memmove(room, ctypes.addressof(view) + at, part)
                del view
                at, done = at + part, done + part
            at = max(0, at - length)
    return done


def _length(space: mmap.mmap) -> int:
    try:
        return len(space)
    except ValueError:  # it is closed
        return 0


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
