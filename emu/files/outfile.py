"""Writes a text to a path of the user's: whole or not at all where a file can be replaced, and straight through where
something else is there. A device, a pipe or a link never becomes a file.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_DIRECT = (Path("/dev"), Path("/proc"))
"""What stands here is somebody's open file or device, also where it leads to a file."""


def write(path: Path, text: str, mode: int = 0o666) -> None:
    """Write it. A link is followed. A file is replaced in one step and keeps its mode; a new one has `mode` less the
    umask. Pipes and character devices (/dev/null, /dev/stdout) are written to. OSError for what cannot be written:
    a directory, a block device, a socket, a pipe without a reader.
    """
    data = text.encode("utf-8", "backslashreplace")  # a damaged record has half characters: as JSON escapes them
    try:
        facts = path.stat()
    except FileNotFoundError:
        _replace(path.resolve(), data, mode)  # also where a link leads to nothing yet
        return
    if any(path.absolute().is_relative_to(place) for place in _DIRECT) or not stat.S_ISREG(facts.st_mode):
        _write_into(path, facts.st_mode, data)
        return
    try:
        _replace(path.resolve(), data, mode, stat.S_IMODE(facts.st_mode))
    except PermissionError:  # the file may be written, its folder not
        _write_into(path, facts.st_mode, data)


def _replace(path: Path, data: bytes, mode: int, keep_mode: int | None = None) -> None:
    unfinished = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.unfinished")
    # Beside its target: a rename is one step only within a file system. O_EXCL: no link is followed.
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            if keep_mode is not None:
                os.fchmod(fd, keep_mode)
            file.write(data)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def _write_into(path: Path, kind: int, data: bytes) -> None:
    if stat.S_ISBLK(kind):
        raise OSError(errno.EINVAL, "it is a block device", str(path))
    if stat.S_ISSOCK(kind):
        raise OSError(errno.EINVAL, "it is a socket", str(path))
    truncate = os.O_TRUNC if stat.S_ISREG(kind) else 0
    fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC | truncate)  # no wait for a reader
    os.set_blocking(fd, True)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
