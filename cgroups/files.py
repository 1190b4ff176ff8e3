"""The one door to control files: whole reads, single writes, and errors that name the path.

The kernel makes a control file's text when it is read and acts on a value when it is written, so each value is
one write(2), and an error of the kernel is an answer: ENODEV says that the cgroup is gone, ENOENT that this kernel
(or this cgroup's set of controllers) has no such file.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cgroups import errors

_READ_SIZE = 1 << 16
_ABSENT = (errno.ENOENT, errno.EOPNOTSUPP)


def read(path: Path) -> str:
    """The whole text of a control file, as the kernel gave it.

    Raises `FileAbsent`, `CgroupGone`, `Forbidden`, or their parent `CgroupError` for any other answer of the kernel.
    """
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except OSError as error:
        raise explain(error, path, f"cannot read {path}") from error


def read_or_none(path: Path) -> str | None:
    """The text, or `None` where this kernel has no such file (or has it switched off, as psi=0 does for *.pressure).

    `None` is only that: a cgroup that is gone raises `CgroupGone`, a file that may not be read raises `Forbidden`.
    """
    try:
        return read(path)
    except errors.FileAbsent:
        return None


def write(path: Path, value: object) -> None:
    """Set a control file to a value, as str() gives it, with a single system call.

    Raises `FileAbsent`, `CgroupGone`, `Forbidden`, `BadValue` (EINVAL, ERANGE), `CgroupBusy` (EBUSY) or
    `CgroupError`.
    """
    try:
        write_bytes(path, str(value).encode())
    except OSError as error:
        raise explain(error, path, f"cannot write {str(value)!r} to {path}") from error


def read_bytes(path: Path) -> bytes:
    """The whole content, read until the kernel says it ends; plain `OSError` on failure.

    A file with many records (cgroup.procs) is given a page at a time, so one read(2) may be a part of it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _READ_SIZE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def write_bytes(path: Path, value: bytes) -> None:
    """One write(2) to a file that exists; plain `OSError` on failure."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)


def explain(error: OSError, path: Path, what: str) -> errors.CgroupError:
    """The kernel's errno on a control file, as the error that says why and how to fix it."""
    number = error.errno
    if number == errno.ENODEV or (number == errno.ENOENT and not path.parent.is_dir()):
        return errors.CgroupGone(
            what,
            f"the cgroup {path.parent} has been removed",
            "read the parent's hierarchical files, or read before the cgroup's last process ends",
            errno=number,
        )
    if number in _ABSENT:
        return errors.FileAbsent(
            what,
            f"this kernel, or the controllers enabled for {path.parent}, has no {path.name}",
            f"enable its controller in {path.parent.parent / 'cgroup.subtree_control'}, or use a kernel that has it",
            errno=number,
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        read_only = number == errno.EROFS
        return errors.Forbidden(
            what,
            "the file system is mounted read-only"
            if read_only
            else f"user {os.geteuid()} may not ({error.strerror})",
            "mount it read-write"
            if read_only
            else "run as root, or have this part of the tree delegated to the user",
            errno=number,
        )
    if number in (errno.EINVAL, errno.ERANGE):
        return errors.BadValue(
            what,
            f"the kernel does not take this value there ({error.strerror})",
            "bytes are plain numbers (suffixes K, M and G only), no limit is 'max'",
            errno=number,
        )
    if number == errno.EBUSY:
        return errors.CgroupBusy(
            what,
            "the cgroup is in use (EBUSY)",
            "move its processes and remove its child cgroups first",
            errno=number,
        )
    return errors.CgroupError(
        what, error.strerror or str(error), "see the file's section in the kernel's cgroup-v2.rst", errno=number
    )
