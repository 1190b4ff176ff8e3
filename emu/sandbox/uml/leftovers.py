"""Finds and ends what a guest left behind: a keeper whose `emu` is gone, UML processes without a keeper, scratch
directories. A process is known by its pid together with its start time, noted when it was made, or by the scratch
directory that it works in; never by its name. A directory says in its name whose it is, and goes when no process of
its guest is left: what cannot be ended now is found again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from emu.machine.owner import lives, owner
from emu.machine.paths import cache_dir, own_cache_dir
from emu.machine.proc import start_time
from emu.machine.proc import stat as fields_of_living
from emu.sandbox.uml.keeper import KERNEL, session_members

_STATE = "state.json"
_UMID = b"\0umid=guest\0"
"""Of every guest's kernel and its helpers (shape.kernel_command_line)."""
_END_S = 10.0
_MAKERS_S = 60.0


@dataclass(frozen=True)
class Mark:
    """One process for all time: its pid, and when it started (clock ticks since boot)."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether that very process still runs, and is ours."""
        return start_time(self.pid) == self.started and _is_ours(self.pid)


def mark(pid: int) -> Mark:
    """The mark of a process that runs now (started -1 if it does not, which is never alive)."""
    started = start_time(pid)
    return Mark(pid, -1 if started is None else started)


@dataclass(frozen=True)
class GuestState:
    """A guest's notes while it lives: in its scratch directory, which its keeper removes."""

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


def make_scratch() -> Path:
    """A scratch directory of emu's. Its name says whose it is, so that it is never without an owner."""
    directory = own_cache_dir() / guests_dir().name
    directory.mkdir(mode=0o700, exist_ok=True)
    return make_owned(directory, "g").resolve()


def make_owned(directory: Path, prefix: str) -> Path:
    """A folder whose name says that it is emu's."""
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{owner().replace(':', '-')}-", dir=directory))


def memory_places() -> list[Path]:
    """Where a guest's memory may be: its file has no name, but the folder that it was made in has."""
    named = [Path(os.environ["TMPDIR"])] if os.environ.get("TMPDIR") else []
    return [Path("/dev/shm"), *named, Path("/tmp"), Path("/var/tmp")]  # noqa: S108


def leftovers(directory: Path | None = None) -> list[Leftover]:
    """Guests without an owner."""
    found = []
    if directory is None:
        own_cache_dir()
        directory = guests_dir()
    for scratch in sorted(directory.iterdir()) if directory.is_dir() else []:
        if not _is_private(scratch):
            continue
        state = _load(scratch)
        if state is None:
            if not _makers_turn(scratch):
                found.append(Leftover(scratch, tuple(_workers(scratch))))
        elif state.boot_id != boot_id():
            found.append(Leftover(scratch, ()))
        elif not state.owner.alive() and not _makers(scratch):
            found.append(Leftover(scratch, tuple(processes(scratch))))
    known = {leftover.scratch for leftover in found}
    return [*found, *(stray for stray in _strays(directory) if stray.scratch not in known)]


def sweep(directory: Path | None = None) -> list[Leftover]:
    """End and remove every leftover; return what there was, apart from what could not be ended."""
    removed = [leftover for leftover in leftovers(directory) if remove(leftover.scratch, leftover.pids)]
    for folder in (folder for place in memory_places() for folder in place.glob("emu-*-*-*-*")):
        if not _owner_lives(folder.name.removeprefix("emu-")) and _is_private(folder):
            with contextlib.suppress(OSError):  # it is not empty, and so not ours
                folder.rmdir()
    return removed


def remove(scratch: Path, pids: tuple[int, ...] = ()) -> bool:
    """End every process of a guest, then remove its directory; False, and the directory stays, where one lives on."""
    deadline = time.monotonic() + _END_S
    left = {*pids}
    while left := {*(pid for pid in left if start_time(pid) is not None), *processes(scratch)}:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    shutil.rmtree(scratch, ignore_errors=True)
    return True


def processes(scratch: Path) -> list[int]:
    """The processes of a guest: its keeper, its kernel's session unless that number has gone to somebody else, and
    what else of a kernel works in its scratch directory.

    A session's number is not given away while a member lives. So either its leader is our kernel, or the leader is
    gone and its members are ours if they started after it and work in the guest's scratch directory.
    """
    found = set(_workers(scratch))
    state = _load(scratch)
    if state is not None and state.boot_id == boot_id() and state.keeper.alive():
        found.add(state.keeper.pid)
    with contextlib.suppress(OSError, ValueError, TypeError):
        kernel = Mark(**json.loads((scratch / KERNEL).read_text()))
        alive = kernel.alive()
        found.update(pid for pid in session_members(kernel.pid) if alive or _outlives(pid, kernel, scratch))
    return sorted(found)


def _outlives(pid: int, kernel: Mark, scratch: Path) -> bool:
    """Whether a member of a session whose leader is gone was started by that kernel: the guest's processes have no
    command line where the kernel runs them under seccomp, and end a moment after it.
    """
    started = start_time(pid)
    if started is None or started < kernel.started or not _is_ours(pid):
        return False
    with contextlib.suppress(OSError):
        return _place(pid) == scratch.resolve()
    return False


def strangers(pids: Iterable[int], scratch: Path) -> list[int]:
    """Those of `pids` that live and are not of a guest: to be named, never to be killed.

    What counts is the session: a process that is ending has no command line, perhaps no kernel, and its files are
    still open.
    """
    session = None
    with contextlib.suppress(OSError, ValueError, TypeError):
        session = Mark(**json.loads((scratch / KERNEL).read_text())).pid
    own = {*processes(scratch)}
    living = {pid: found for pid in pids if (found := fields_of_living(pid)) is not None}
    return sorted(pid for pid, found in living.items() if pid not in own and int(found[3]) != session)


def _load(scratch: Path) -> GuestState | None:
    try:
        raw = json.loads((scratch / _STATE).read_text())
        return GuestState(raw["scratch"], Mark(**raw["owner"]), Mark(**raw["keeper"]), raw["boot_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _makers_turn(scratch: Path) -> bool:
    """Whether a directory without a note is one that its maker is about to write it in."""
    if _says_whose(scratch):
        return _makers(scratch)
    with contextlib.suppress(OSError):  # of a version that did not say whose they are
        return time.time() - scratch.stat().st_mtime <= _MAKERS_S
    return False


def _makers(scratch: Path) -> bool:
    """Whether who made it may live: also in a container that shares the cache, whose processes are not seen here."""
    return _says_whose(scratch) and _owner_lives(scratch.name.removeprefix("g"))


def _says_whose(scratch: Path) -> bool:
    return scratch.name.count("-") in (3, 4)  # earlier versions did not say in which namespace of pids


def _owner_lives(name: str) -> bool:
    return lives(name.rpartition("-")[0].replace("-", ":"))


def _strays(directory: Path) -> list[Leftover]:
    """Processes of kernels whose scratch directory is gone."""
    found: dict[Path, list[int]] = {}
    for pid, place in _kernels():
        if place.parent == directory.resolve() and not place.exists():
            found.setdefault(place, []).append(pid)
    return [Leftover(place, tuple(pids)) for place, pids in sorted(found.items())]


def _workers(scratch: Path) -> list[int]:
    return [pid for pid, place in _kernels() if place == scratch.resolve()]


def _kernels() -> list[tuple[int, Path]]:
    """Every process of this user that runs User-Mode Linux, and where it works. Not those of another root directory
    (chroot(1)), whose paths read like ours and mean other places.
    """
    found = []
    root = Path("/").stat()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = _UMID in (entry / "cmdline").read_bytes() and _is_ours(int(entry.name))
            if ours and os.path.samestat((entry / "root").stat(), root):
                place = _place(int(entry.name))
                if start_time(int(entry.name)) is not None:
                    found.append((int(entry.name), place))
    return found


def _place(pid: int) -> Path:
    """The directory that a process works in, though it may be gone. OSError where the process is."""
    return Path(str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)"))


def _is_ours(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.geteuid()
    except OSError:
        return False


def _is_private(scratch: Path) -> bool:
    """Whether a directory is ours, and no other user may write what it says."""
    try:
        facts = scratch.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
