"""Finds and ends what a guest left behind: a keeper whose `emu` is gone, UML processes without a keeper, scratch
directories. A process is known by its pid together with its start time, noted when it was made; never by its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from emu.paths import cache_dir
from emu.sandbox.keeper import KERNEL, session_members, start_time

_STATE = "state.json"


@dataclass(frozen=True)
class Mark:
    """One process for all time: its pid, and when it started (clock ticks since boot)."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return start_time(self.pid) == self.started


def mark(pid: int) -> Mark:
    """The mark of a process that runs now (started -1 if it does not, which is never alive)."""
    started = start_time(pid)
    return Mark(pid, -1 if started is None else started)


@dataclass(frozen=True)
class GuestState:
    """What is noted of a guest while it lives: in its scratch directory, which its keeper removes."""

    scratch: str
    owner: Mark
    keeper: Mark
    boot_id: str

    def save(self) -> None:
        """Write it whole or not at all."""
        target = Path(self.scratch) / _STATE
        unfinished = target.with_suffix(".tmp")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.rename(target)


def boot_id() -> str:
    """Which boot of this host it is: marks of another one say nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Leftover:
    """A guest whose `emu` is gone: processes to end, and a directory to remove."""

    scratch: Path
    pids: tuple[int, ...]


def guests_dir() -> Path:
    """Where running guests keep their scratch directories."""
    return cache_dir() / "guests"


def leftovers(directory: Path | None = None) -> list[Leftover]:
    """Guests that nobody owns any more."""
    found = []
    directory = directory or guests_dir()
    for scratch in sorted(directory.iterdir()) if directory.is_dir() else []:
        state = _load(scratch)
        if state is None:
            # Not yet noted, or not ours to judge: a directory's first minute belongs to its maker.
            with contextlib.suppress(OSError):
                if time.time() - scratch.stat().st_mtime > 60:
                    found.append(Leftover(scratch, ()))
        elif state.boot_id != boot_id():
            found.append(Leftover(scratch, ()))
        elif not state.owner.alive():
            found.append(Leftover(scratch, tuple(_processes(state))))
    return found


def sweep(directory: Path | None = None) -> list[Leftover]:
    """End and remove every leftover; return what there was."""
    found = leftovers(directory)
    for leftover in found:
        for pid in leftover.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(leftover.scratch, ignore_errors=True)
    return found


def _load(scratch: Path) -> GuestState | None:
    try:
        raw = json.loads((scratch / _STATE).read_text())
        return GuestState(raw["scratch"], Mark(**raw["owner"]), Mark(**raw["keeper"]), raw["boot_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _processes(state: GuestState) -> list[int]:
    """The guest's processes: its keeper, and its kernel's session unless that number has gone to somebody else.

    A session's number is not given away while a member lives. So either its leader is our kernel, or the leader is
    gone and its members are ours if they started after it and work in the guest's scratch directory.
    """
    keeper = [state.keeper.pid] if state.keeper.alive() else []
    try:
        kernel = Mark(**json.loads((Path(state.scratch) / KERNEL).read_text()))
    except (OSError, ValueError, TypeError):
        return keeper
    if kernel.alive():
        return [*keeper, *session_members(kernel.pid)]
    if start_time(kernel.pid) is not None:
        return keeper
    ours = [pid for pid in session_members(kernel.pid) if (start_time(pid) or 0) >= kernel.started]
    return [*keeper, *(pid for pid in ours if _works_in(pid, state.scratch))]


def _works_in(pid: int, scratch: str) -> bool:
    """Whether a process's working directory is the guest's scratch directory, as `linux.uml`'s is."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)") == scratch
    except OSError:
        return False
