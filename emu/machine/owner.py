"""Whose a thing is: a process, known also after its pid was given to another, whatever becomes of the wall clock, and
where pids mean other processes.

psutil gives a process's start time in seconds since 1970, counted from a boot that seems to move when the clock is
set; the kernel counts it in ticks since boot. What a run leaves can be seen from a container whose pids are its own,
and the other way round: the machine's cgroups, its Docker engine, a cache that is mounted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from emu.machine.proc import fields, start_time

FIRST = 0xEFFFFFFC
"""The number of the first namespace of pids, from which every process is seen (linux/proc_ns.h)."""


def owner() -> str:
    """Of this process: `pid:ticks since boot:boot:namespace of pids`."""
    return f"{_of(os.getpid())}:{_namespace()}"


def lives(owner: str) -> bool:
    """Whether that very process still runs; False for words that name none. True where that is not known: it
    is of another namespace of pids, and this is not the first one.
    """
    pid, ticks, boot, namespace = [*owner.split(":"), *[""] * 4][:4]
    here = str(_namespace())
    if not pid.isdecimal() or boot != _boot():
        return False
    if namespace in ("", here):  # earlier versions did not say it
        return _of(int(pid)) == f"{pid}:{ticks}:{boot}" or _is_hidden(int(pid))
    return here != str(FIRST) or any(_is(one, pid, ticks, namespace) for one in Path("/proc").glob("[0-9]*"))


def is_of_this_boot(owner: str) -> bool:
    """Whether it was there since this machine was started, as far as this /proc shows it."""
    return owner.split(":")[2:3] == [_boot()]


def _is_hidden(pid: int) -> bool:
    """Whether it is another user's that this /proc does not show (hidepid)."""
    if fields(pid) is not None:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        pass
    return False


def _of(pid: int) -> str:
    return f"{pid}:{start_time(pid)}:{_boot()}"


def _is(process: Path, pid: str, ticks: str, namespace: str) -> bool:
    """Whether a process is that one, by the pid that it has in its own namespace."""
    if str(start_time(int(process.name))) != ticks:
        return False
    with suppress(PermissionError):  # another user's: its pid and its start have to do
        with suppress(FileNotFoundError):
            return str((process / "ns/pid").stat().st_ino) == namespace and _own_pid(process) == pid
        return False
    return _own_pid(process) == pid


def _own_pid(process: Path) -> str:
    with suppress(OSError):
        lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.split()[-1] for line in lines if line.startswith("NSpid:")), "")
    return ""


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
