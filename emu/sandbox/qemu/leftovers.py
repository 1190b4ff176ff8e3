"""Finds and removes what a killed run left of a systemd guest: its folder, QEMU, a disk that was not made to its end.

A folder's owner holds a lock on it, which the kernel lets go of however the owner ends. QEMU ends with the process
that started it; one that is there all the same works in the folder of its guest, and is known by that.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from emu.machine.paths import cache_dir
from emu.machine.proc import start_time
from emu.sandbox.qemu import image as disks

PREFIX = "run-"
_PROGRAM = b"qemu-system-x86_64"
_END_S = 10.0


def scratch_home() -> Path:
    """Where running guests keep what is theirs alone; may not exist yet."""
    return disks.cache_directory() / "scratch"


def sweep() -> list[str]:
    """Remove what has no owner; the names of what was removed."""
    removed: list[str] = []
    if not cache_dir().is_dir():  # and it is not made for this
        return removed
    home = scratch_home()
    if home.is_dir():
        with disks.locked(home / "lock"):
            removed = remove_unowned(home)
    for making in sorted(disks.cache_directory().glob("*/*.making")):
        lock = making.with_suffix(".lock")
        if not lock.exists() or disks.is_unlocked(lock):
            disks.remove(making)
            removed.append(making.name)
    return removed


def remove_unowned(home: Path) -> list[str]:
    """The same of the folders alone; whoever calls it holds the lock of `home`."""
    removed = []
    for folder in sorted(home.glob(f"{PREFIX}*")):
        if disks.is_unlocked(folder) and _end_processes(folder):
            disks.remove(folder)
            removed.append(folder.name)
    return removed


def _end_processes(folder: Path) -> bool:
    """End the machine that works in a folder; False where it cannot be ended."""
    deadline = time.monotonic() + _END_S
    while pids := processes(folder):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def processes(folder: Path) -> list[int]:
    """QEMU processes of this user that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid = int(entry.name)
            if (
                (entry / "cwd").readlink() == folder.resolve()
                and _PROGRAM in (entry / "cmdline").read_bytes()
                and entry.stat().st_uid == os.geteuid()
                and start_time(pid) is not None
            ):
                found.append(pid)
    return found
