"""Processes as /proc/PID/stat has them. Standard library only: the sandbox's keeper uses it."""

from __future__ import annotations

from pathlib import Path


def fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None if there is no such process. A zombie has them too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def stat(pid: int) -> list[str] | None:
    """The fields of a process that runs: None for a zombie, and where there is no such process."""
    found = fields(pid)
    return None if found is None or found[0] in "ZX" else found


def start_time(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot."""
    found = stat(pid)
    return None if found is None else int(found[19])
