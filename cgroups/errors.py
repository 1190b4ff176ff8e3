"""Errors that a person can act on: what went wrong, why, and what to do about it."""

# ruff: noqa: N818  # the names say what happened, as "except CgroupGone" reads; the parent says that it is an error

from __future__ import annotations


class CgroupError(Exception):
    """A cgroup operation that failed. `errno` is the kernel's number, `None` where the kernel was not asked."""

    def __init__(self, what: str, why: str, fix: str, *, errno: int | None = None) -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix
        self.errno = errno

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}"


class NoCgroup2(CgroupError):
    """There is no cgroup v2 hierarchy here, or this directory is not in one."""


class ControllerMissing(CgroupError):
    """The hierarchy or the parent cgroup does not offer a controller that is needed."""


class CgroupGone(CgroupError):
    """The cgroup was removed. Its counters are lost: read a parent's hierarchical files instead."""


class FileAbsent(CgroupError):
    """The cgroup is there and this control file is not: another kernel, or a controller that is not enabled."""


class Forbidden(CgroupError):
    """The caller may not do this."""


class BadValue(CgroupError):
    """A value that the kernel would not take, or a text that is not in the format of its file."""


class CgroupBusy(CgroupError):
    """The kernel's tree rules forbid it while processes or child cgroups are where they are."""


class NoProcess(CgroupError):
    """The process ended before it could be moved."""


class DeadlineMissed(CgroupError):
    """The kernel did not confirm in time. The request stands; nothing was undone."""
