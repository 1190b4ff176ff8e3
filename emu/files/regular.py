"""Files that are opened by a name from outside: regular ones only, and never more of them than is asked for.

A name can lead to a pipe without a writer, a device without an end, or a line of a gigabyte. Standard library
only: containers import it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 4 * 2**20
"""Bytes of a line that is read whole; what is longer is no line of a record."""


class NotRegularError(OSError):
    """It is there, and is a pipe, a socket or a device. (A folder is an IsADirectoryError.)"""


def open_regular(path: Path, *, pipes: bool = False) -> BinaryIO:
    """Open a file for reading. OSError for everything that is no regular file; with `pipes` a pipe is one too, which
    a shell hands over as /dev/fd/N.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if pipes else os.O_NONBLOCK))
    except ValueError as error:  # a NUL in it
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from error
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode) and not (pipes and stat.S_ISFIFO(mode)):
            raise NotRegularError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_regular(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """The file's bytes. OSError (EFBIG) where there are more than `most`."""
    with open_regular(path, pipes=pipes) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return raw


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its newline; only a torn end has none. Of an overlong line comes a piece without
    a newline, and the rest is passed over.
    """
    with open_regular(path) as file:
        yield from bounded_lines(file)


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The same of an open file, which may be read from between two lines."""
    while line := file.readline(LONGEST_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            skip_hole(file)
            line = file.readline(LONGEST_LINE)


def skip_hole(file: BinaryIO) -> None:
    """Go on behind a hole, of which a damaged file may have a terabyte: nothing was ever written there."""
    try:
        at, fd = file.tell(), file.fileno()
        under = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        finally:
            os.lseek(fd, under, os.SEEK_SET)  # where `file` takes it to be
        file.seek(data)
    except OSError as error:
        if error.errno == errno.ENXIO:  # none follows
            file.seek(0, os.SEEK_END)
