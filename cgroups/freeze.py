"""Freeze and thaw a cgroup, done only when the kernel says so (cgroup-v2.rst, "cgroup.freeze").

Writing cgroup.freeze asks; the tasks stop one by one, and cgroup.events says `frozen 1` when the last has. A cgroup
below a frozen ancestor is frozen whatever its own file says.
"""

from __future__ import annotations

import contextlib
import time

from cgroups import errors, files
from cgroups.group import Cgroup
from cgroups.waiting import wait_for_events


def freeze(cgroup: Cgroup, deadline_s: float = 5.0) -> float:
    """Stop every task of the subtree; seconds from the request to the kernel's word that all have stopped.

    Raises `DeadlineMissed` where a task did not stop in time; the request stands, so `thaw` it or wait again.
    `FileAbsent` on kernels without the v2 freezer (before 5.2) and at the root, `CgroupGone`.
    """
    return _switch(cgroup, True, deadline_s)


def thaw(cgroup: Cgroup, deadline_s: float = 5.0) -> float:
    """Let the subtree run again; seconds from the request to the kernel's word that it runs.

    Raises `DeadlineMissed` where it stays frozen, as under a frozen ancestor; `FileAbsent`, `CgroupGone`.
    """
    return _switch(cgroup, False, deadline_s)


def thaw_at_once(cgroup: Cgroup) -> float | None:
    """Let the subtree run again where that takes no waiting: seconds. `None` where `thaw` has to wait for it.

    A cgroup without descendants and frozen ancestors is thawed when the write returns.

    Raises `FileAbsent`, `CgroupGone`.
    """
    start = time.monotonic()
    files.write(cgroup.path / "cgroup.freeze", 0)
    return time.monotonic() - start if cgroup.events().frozen is False else None


def _switch(cgroup: Cgroup, frozen: bool, deadline_s: float) -> float:
    start = time.monotonic()
    files.write(cgroup.path / "cgroup.freeze", int(frozen))
    if wait_for_events(cgroup.path, lambda events: events.frozen is frozen, deadline_s):
        return time.monotonic() - start
    holder = None if frozen else _frozen_ancestor(cgroup)
    why = f"its ancestor {holder.path} is frozen" if holder else "a task is in the kernel and has not come back yet"
    verb = "freeze" if frozen else "thaw"
    raise errors.DeadlineMissed(
        f"{cgroup.path} did not {verb} within {deadline_s} s",
        why,
        "thaw the ancestor first" if holder else "thaw it, or wait longer: an uninterruptible sleep must end first",
    )


def _frozen_ancestor(cgroup: Cgroup) -> Cgroup | None:
    for path in cgroup.path.parents:
        with contextlib.suppress(errors.CgroupError):
            if (ancestor := Cgroup(path)).core.freeze:
                return ancestor
    return None
