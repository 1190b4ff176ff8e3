"""A command that a probe or a hook runs in a container, on record: when, and which processes were its.

What it takes is charged to the container, so an OOM kill may be its doing. Its processes come into the container's
cgroup while it runs and, unlike the container's own children, descend from none that was there before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.machine.proc import fields
from emu.record.events import CommandRan, EventLog, now
from emu.runtime.api import Executed, Runtime

LOOK_S = 0.02
"""How often the container's cgroup is looked at: an interpreter takes longer than that to start."""


def execute(
    engine: Runtime, log: EventLog, owner: tuple[str, int, str], group: Path, why: str,
    command: Sequence[str], timeout_s: float,
) -> Executed:  # fmt: skip
    """Run a command in a container and record it. `owner`: the container, its attempt, its id; `group` is its cgroup.
    EmuError where it could not be run.
    """
    container, attempt, ident = owner
    began, code = now(), None
    watch = _Watch(group)
    try:
        with watch:
            done = engine.execute(ident, command, timeout_s)
            code = done.exit_code
            return done
    finally:
        log.append(
            CommandRan(
                t=now(),
                container=container,
                attempt=attempt,
                why=why,
                command=list(command),
                began=began,
                pids=sorted(watch.found),
                exit_code=code,
            )
        )


class _Watch:
    """Looks at a cgroup, in a thread of its own, as long as the context is open."""

    def __init__(self, group: Path) -> None:
        self._group = group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._others: set[int] = set()
        self.found: set[int] = set()

    def __enter__(self) -> None:
        self._others = _pids(self._group)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            for pid in _pids(self._group) - self._others - self.found:
                (self._others if self._is_others(pid) else self.found).add(pid)

    def _is_others(self, pid: int) -> bool:
        """Whether one that was there before is its forebear; the command's own come from outside the cgroup."""
        parent = _parent(pid)
        while parent > 1:
            if parent in self._others:
                return True
            if parent in self.found:
                return False
            parent = _parent(parent)
        return False


def _pids(group: Path) -> set[int]:
    with suppress(CgroupError):
        return set(Cgroup(group).procs())
    return set()


def _parent(pid: int) -> int:
    """0 where it is gone."""
    found = fields(pid)
    return 0 if found is None else int(found[1])
