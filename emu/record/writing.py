"""Writes of the record: one that fails ends the recording, so that what is there has no gap."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SYNC_FILE_RANGE_WRITE = 2


class NotRecordedError(Exception):
    """A part of the record could not be written; the text says which and why."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises NotRecordedError where the file takes no more."""
    try:
        yield
    except OSError as error:
        raise NotRecordedError(f"{path.name}: {error.strerror or error}") from error


def write_back(*descriptors: int) -> None:
    """Start writing out what was recorded in these files, without waiting (-1 is none): where the run directory is
    another machine's file system (hostfs in the sandbox), the page cache of this one would be lost with it.
    """
    for descriptor in descriptors:
        if descriptor >= 0:
            _libc.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


_libc = ctypes.CDLL(None, use_errno=True)
