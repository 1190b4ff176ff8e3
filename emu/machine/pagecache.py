"""The page cache of files, folder by folder: read in, dropped, counted. Pages belong to whoever read them first."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PAGE_READ = 1 << 20
_PROT_NONE = 0
_MAP_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_longlong,
)  # fmt: skip
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


@dataclass(frozen=True)
class Cached:
    """How much of some files is in the page cache. Bytes."""

    cached: int
    size: int

    @property
    def share(self) -> float:
        """How much of the files is in the page cache, from 0 to 1; 0 where they are empty."""
        return self.cached / self.size if self.size else 0.0


def read_in(folders: Iterable[Path], check: Callable[[], None]) -> bool:
    """Read every file once: its pages are then there, charged to us. False where there is no file. `check` is called
    between files, and may raise.
    """
    found = False
    buffer = bytearray(_PAGE_READ)
    for path in _files(folders):
        check()
        found = True
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return found


def drop(folders: Iterable[Path]) -> None:
    """Have the kernel forget the pages of every file (POSIX_FADV_DONTNEED): those that are clean and
    not mapped, so dirty ones are written first.
    """
    os.sync()
    for path in _files(folders):
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached(folders: Iterable[Path]) -> Cached:
    """How much of the files is in the page cache, by mincore(2): whole pages, so that it may exceed their size."""
    total = size = 0
    for path in _files(folders):
        with path.open("rb", buffering=0) as file:
            length = os.fstat(file.fileno()).st_size
            size += length
            total += _cached_of(file.fileno(), length) if length else 0
    return Cached(min(total, size), size)


def _cached_of(fd: int, length: int) -> int:
    at = _libc.mmap(None, length, _PROT_NONE, mmap.MAP_SHARED, fd, 0)
    if at == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        pages = -(-length // mmap.PAGESIZE)
        seen = (ctypes.c_ubyte * pages)()
        if _libc.mincore(at, length, seen) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(page & 1 for page in bytes(seen)) * mmap.PAGESIZE
    finally:
        _libc.munmap(at, length)


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            if not path.is_symlink() and path.is_file():
                yield path
