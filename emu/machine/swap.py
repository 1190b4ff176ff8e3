"""What this machine swaps to, and how that is exchanged for something else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.machine.disks import swap_areas

_TIMEOUT_S = 60.0
FIX = "remove `node.swapDevice`, or run it in the sandbox (--on sandbox) or the virtual machine (--on vm)"


def areas() -> list[tuple[str, int]]:
    """What this machine swaps to, with sizes in bytes."""
    return swap_areas(Path("/proc/swaps").read_text(errors="replace"))


def swap_to(area: str, before: Sequence[str]) -> None:
    """Swap to a device or file that was made, and no more to what there is `before`. EmuError."""
    _run("mkswap", area)
    _run("swapon", area)
    # The new area first: what the others hold needs room when they are switched off.
    for one in before:
        _run("swapoff", one)


def back(before: Sequence[str], area: str) -> None:
    """Swap to what there was `before` again, and no more to `area`. EmuError."""
    now = [one for one, _ in areas()]
    # Those first, likewise.
    for one in before:
        if one not in now:
            _run("swapon", one)
    if area in now:
        _run("swapoff", area)


def make_file(path: Path, size_bytes: int) -> None:
    """A file of this size that can be swapped to; what it takes is reserved on its disk. EmuError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size_bytes)
        finally:
            os.close(fd)
    except OSError as error:
        raise EmuError(f"cannot swap to {path}", error.strerror or f"{error}", FIX) from error


def _run(*words: str) -> None:
    command.run(words, what=f"cannot swap to {words[-1]}", fix=FIX, timeout_s=_TIMEOUT_S)
