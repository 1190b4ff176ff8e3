"""Whose a thing is: a process, known also after its pid was given to another, whatever becomes of the wall clock.

psutil gives a process's start time in seconds since 1970, counted from a boot that seems to move when the clock is
set; the kernel counts it in ticks since boot.
"""

from __future__ import annotations

import os
from pathlib import Path

from emu.machine.proc import start_time


def owner() -> str:
    """Of this process: `pid:ticks since boot:boot`."""
    return _of(os.getpid())


def lives(owner: str) -> bool:
    """Whether that very process still runs; False for words that name none."""
    pid = owner.partition(":")[0]
    return pid.isdigit() and _of(int(pid)) == owner


def _of(pid: int) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return f"{pid}:{start_time(pid)}:{boot}"
