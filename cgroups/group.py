"""A cgroup: create it, enable controllers in it, put processes there, kill them, remove it.

The tree has rules that surprise (cgroup-v2.rst, "Organizing Processes and Threads", "Controlling Controllers"):
controllers are enabled from the top down, in the parent, for all of its children; a cgroup below the root that hands
controllers on may hold no processes itself; only an empty cgroup without children can be removed. The errors here say
which of them was broken.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from cgroups import errors, files, parse
from cgroups.controllers import CoreController, CpuController, IoController, MemoryController
from cgroups.mount import Mount, find_cgroup2
from cgroups.values import CgroupEvents
from cgroups.waiting import wait_for_events

_REMOVE_DEADLINE_S = 10.0


class Cgroup:
    """A cgroup by the path of its directory. Making this object touches nothing.

    As a context manager it creates the cgroup unless it is there, and on leaving kills and removes what this object
    created (descendants too), and nothing else.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._created = False

    # A controller refers to its cgroup, so the cgroup keeps none: both are freed when the last user lets go, without
    # the collector of cycles, and a process that looks at cgroups all day stays as small as it was.

    @property
    def core(self) -> CoreController:
        """The files that every cgroup has."""
        return CoreController(self)

    @property
    def memory(self) -> MemoryController:
        """The memory controller's files."""
        return MemoryController(self)

    @property
    def io(self) -> IoController:
        """The io controller's files."""
        return IoController(self)

    @property
    def cpu(self) -> CpuController:
        """The cpu controller's files."""
        return CpuController(self)

    def __repr__(self) -> str:
        return f"Cgroup({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cgroup) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __truediv__(self, name: str) -> Cgroup:
        return Cgroup(self.path / name)

    def __enter__(self) -> Self:
        if not self._created and not self.exists():
            self.create()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._created and self.exists():
            # Only what this object made; a directory with processes cannot be removed, so these go first.
            self.kill()
            self.remove()

    @property
    def full_path(self) -> bytes:
        """The path as cgroupspy wants it: bytes."""
        return os.fsencode(self.path)

    def exists(self) -> bool:
        """Whether the directory is there now."""
        return self.path.is_dir()

    def create(self, exist_ok: bool = False) -> Self:
        """Make the cgroup; its parent must be there. With `exist_ok` one that is there already is as good.

        Raises `NoCgroup2` where the parent is not in a cgroup2 tree (and leaves nothing there), `CgroupBusy` where it
        exists, `CgroupGone` for a missing parent, `Forbidden`.
        """
        what = f"cannot create the cgroup {self.path}"
        try:
            self.path.mkdir()
        except FileExistsError as error:
            if exist_ok and self.exists():
                return self
            raise errors.CgroupBusy(
                what, "it exists already", "use another name, or remove it first", errno=errno.EEXIST
            ) from error
        except OSError as error:
            raise files.explain(error, self.path, what) from error
        # mkdir(2) works in any file system, and in cgroup v1; only cgroup v2 fills a new directory with this file.
        if not (self.path / "cgroup.controllers").exists():
            self.path.rmdir()
            raise errors.NoCgroup2(
                what, f"{self.path.parent} is not a cgroup v2 directory", "find one with cgroups.mount.find_cgroup2()"
            )
        self._created = True
        return self

    def enable(self, *controllers: str) -> None:
        """Hand controllers on to the children of this cgroup (its cgroup.subtree_control).

        Those that are on already are left alone. Raises `ControllerMissing` for one that this cgroup was not given,
        `CgroupBusy` where this cgroup has processes of its own ("No Internal Process Constraint").
        """
        offered, on = self.controllers(), self.core.subtree_control or frozenset()
        what = f"cannot enable {', '.join(controllers)} for the children of {self.path}"
        if missing := [name for name in controllers if name not in offered]:
            raise errors.ControllerMissing(
                what,
                f"{self.path / 'cgroup.controllers'} lacks {', '.join(missing)}"
                f" (it offers: {', '.join(sorted(offered)) or 'none'})",
                "enable it from the top down (enable_down_to); at the root: cgroup v1 owns it, or it is not built in",
            )
        for name in controllers:
            if name not in on:
                self._write("cgroup.subtree_control", f"+{name}", what)

    def controllers(self) -> frozenset[str]:
        """The controllers that this cgroup has: what its parent hands on."""
        found = self.core.controllers
        if found is None:
            raise errors.NoCgroup2(
                f"cannot list the controllers of {self.path}",
                "it has no cgroup.controllers: it is not a cgroup v2 directory",
                "find one with cgroups.mount.find_cgroup2()",
            )
        return found

    def add(self, pid: int = 0) -> None:
        """Move a process here with all of its threads; 0 is the caller. Memory that it has stays charged elsewhere.

        Raises `NoProcess` where it has ended, `CgroupBusy` where this cgroup hands controllers on, `Forbidden`.
        """
        self._write("cgroup.procs", str(pid), f"cannot move process {pid} to {self.path}")

    def procs(self) -> list[int]:
        """The processes of this cgroup itself, without descendants; a zombie is no longer among them."""
        return self.core.procs or []

    def events(self) -> CgroupEvents:
        """Whether the subtree has processes, and is frozen. Raises `FileAbsent` at the root, which has none."""
        return parse.parse_cgroup_events(files.read(self.path / "cgroup.events"))

    def children(self) -> list[Cgroup]:
        """The child cgroups now, by name. Raises `CgroupGone`."""
        try:
            with os.scandir(self.path) as entries:
                return [Cgroup(entry.path) for entry in sorted(entries, key=lambda e: e.name) if entry.is_dir()]
        except OSError as error:
            raise files.explain(error, self.path / ".", f"cannot list {self.path}") from error

    def walk(self) -> Iterator[Cgroup]:
        """The cgroup and every descendant, a parent before its children; one that goes meanwhile is left out."""
        yield self
        with contextlib.suppress(errors.CgroupGone):
            for child in self.children():
                yield from child.walk()

    def kill(self) -> None:
        """SIGKILL every process of the subtree, frozen ones too. They are gone when `events()` says not populated.

        One write of cgroup.kill, which no fork can escape (5.14); on older kernels signals, until none is new.
        """
        try:
            files.write(self.path / "cgroup.kill", 1)
        except errors.FileAbsent:
            self._kill_one_by_one()

    def wait_empty(self, deadline_s: float = _REMOVE_DEADLINE_S) -> None:
        """Return when the subtree has no live process. Raises `DeadlineMissed`, which names the processes left."""
        if not wait_for_events(self.path, lambda events: not events.populated, deadline_s):
            left = sorted({pid for group in self.walk() for pid in group.procs()})
            raise errors.DeadlineMissed(
                f"{self.path} still has processes after {deadline_s} s",
                f"these run on: {', '.join(map(str, left)) or 'in a descendant that is being removed'}",
                "kill() them first; one in uninterruptible sleep ends when its device answers",
            )

    def remove(self, deadline_s: float = _REMOVE_DEADLINE_S) -> None:
        """Remove the cgroup and its descendants, children first, once the last process is gone; it kills nothing.

        One that is gone already is as good. Raises `DeadlineMissed` while processes remain.
        """
        end = time.monotonic() + deadline_s
        with contextlib.suppress(errors.CgroupGone):
            self.wait_empty(deadline_s)
            for group in reversed(list(self.walk())):
                group._rmdir(end)

    def _rmdir(self, end: float) -> None:
        while True:
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError as error:
                # One may have come in since the last look, or not quite left: look and try again.
                if error.errno == errno.EBUSY and time.monotonic() < end and not self.children():
                    self.wait_empty(max(0.0, end - time.monotonic()))
                    continue
                raise files.explain(error, self.path / ".", f"cannot remove the cgroup {self.path}") from error
            return

    def _kill_one_by_one(self) -> None:
        signalled: set[int] = set()
        # Until a look finds nobody new: what is not killed yet may fork meanwhile. 0 is one of another namespace.
        while new := {pid for group in self.walk() for pid in group.procs()} - signalled - {0}:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            signalled |= new

    def _write(self, name: str, value: str, what: str) -> None:
        path = self.path / name
        try:
            files.write_bytes(path, value.encode())
        except OSError as error:
            raise self._explain_rule(error, path, what) from error

    def _explain_rule(self, error: OSError, path: Path, what: str) -> errors.CgroupError:
        number = error.errno
        if number == errno.ESRCH:
            return errors.NoProcess(what, "the process has ended", "nothing to do: it is gone", errno=number)
        if number == errno.EBUSY and path.name == "cgroup.subtree_control":
            why = f"{self.path} has processes of its own: {', '.join(map(str, self.procs())) or '(just gone)'}"
            return errors.CgroupBusy(what, why, "move them to a child cgroup first", errno=number)
        if number == errno.EBUSY:
            on = ", ".join(sorted(self.core.subtree_control or ())) or "none"
            why = f"{self.path} hands controllers on to its children: {on}"
            return errors.CgroupBusy(what, why, "add it to a child cgroup instead", errno=number)
        if number == errno.EOPNOTSUPP:
            kind = self.core.type or "unknown"
            why = f"{self.path} is of the type '{kind}', which takes no processes or domain controllers"
            return errors.CgroupError(what, why, "use a cgroup of the type 'domain'", errno=number)
        if number == errno.ENOENT and path.exists():
            why = f"{self.path} was not given the controller"
            return errors.ControllerMissing(what, why, "enable it from the top down", errno=number)
        return files.explain(error, path, what)


def parse_proc_cgroup(text: str) -> str | None:
    """The v2 path in the text of /proc/PID/cgroup (its "0::" line), or `None` where there is no v2 hierarchy.

    The kernel appends " (deleted)" once the cgroup was removed under a process; that is kept.
    """
    return next((line[3:] for line in text.splitlines() if line.startswith("0::")), None)


def own_cgroup(pid: int | str = "self", mount: Mount | None = None) -> Cgroup:
    """The cgroup of a process, from /proc/PID/cgroup, below the cgroup2 mount (found if not given).

    Raises `NoProcess`, `NoCgroup2`, or `CgroupGone` where the process outlived its cgroup (a zombie) or its cgroup
    lies outside of what the mount shows.
    """
    what = f"cannot read the cgroup of process {pid}"
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise errors.NoProcess(what, "there is no such process", "check the process id", errno=error.errno) from error
    found, mount = parse_proc_cgroup(text), mount or find_cgroup2()
    if found is None:
        raise errors.NoCgroup2(what, "it is in no cgroup v2 hierarchy", "use a host with cgroup v2")
    below = mount.root.rstrip("/")
    if found.endswith(" (deleted)") or found.startswith("/..") or not f"{found}/".startswith(f"{below}/"):
        raise errors.CgroupGone(
            what, f"its cgroup {found} is not below {mount.path}", "look from the host, or before the process ends"
        )
    return Cgroup(mount.path / found[len(below) :].lstrip("/"))


def enable_down_to(path: Path | str, *controllers: str, mount: Mount | None = None) -> None:
    """Enable controllers in every cgroup from the mount down to the parent of `path`, so that `path` has their files.

    Raises what `Cgroup.enable` raises, naming the level that refused.
    """
    mount = mount or find_cgroup2()
    try:
        parts = Path(path).relative_to(mount.path).parts
    except ValueError as error:
        raise errors.NoCgroup2(
            f"cannot enable controllers down to {path}",
            f"it is not below the cgroup2 mount {mount.path}",
            "pass a path below the mount",
        ) from error
    for depth in range(len(parts)):
        Cgroup(mount.path.joinpath(*parts[:depth])).enable(*controllers)
