"""Whose memory it was: a container's main process, the children that it started, or what a probe or hook ran in it.

The kernel's table of tasks lists what each process held, and the record which ones emu put there. Without the table
(it is rate limited) the victim alone is known, which the kernel chose for being the greatest.
"""

from __future__ import annotations

import os
from collections import defaultdict

from emu.study.kernel_log import LoggedKill
from emu.study.model.instances import Command, Instance
from emu.study.model.kills import Culprit
from emu.study.model.study import Study

LATE_S = 1.0
"""A command that was killed is known to have ended so much later, at most."""
MAIN, CHILD = "main", "child"
_COMM = 15
"""The kernel keeps so many bytes of a command's name."""


def culprit(study: Study, instance: Instance, kills: list[LoggedKill], level: str) -> Culprit | None:
    """Whose processes held most of the container's memory when it ran out; None: not known. `kills`: all that the
    kernel logged of this one, several where the whole container was killed. What a killed process held is its
    own line's (anonymous and shared memory); of the others the table has all that was resident.
    """
    if not kills:
        return None
    logged = kills[0]
    own = {
        one.pid: one.anon_rss_bytes + (one.shmem_rss_bytes or 0) for one in kills if one.anon_rss_bytes is not None
    }
    held: dict[tuple[str, str | None], int] = defaultdict(int)
    mine = [task for task in logged.tasks if level == "container" or _is_of(study, instance, task.pid)]
    for task in mine:
        held[_owner(study, instance, task.pid, task.name, logged.t)] += own.get(task.pid, task.rss_bytes)
    if not held:
        return Culprit(*_owner(study, instance, logged.pid, logged.comm, logged.t), own.get(logged.pid))
    (kind, command), rss = max(held.items(), key=lambda pair: pair[1])
    file = logged.file_rss_bytes or 0
    whole = sum(own.get(task.pid, max(0, task.rss_bytes - file)) for task in mine)
    return Culprit(kind, command, rss, len(mine), whole)


def victim(study: Study, instance: Instance, logged: LoggedKill) -> str:
    """Whose the killed process was: `main`, `child`, or the probe's or hook's kind."""
    return _owner(study, instance, logged.pid, logged.comm, logged.t)[0]


def _is_of(study: Study, instance: Instance, pid: int) -> bool:
    mine = (pid in one.pids for one in study.commands if one.owner == instance.owner)
    return pid == instance.pid or study.pids.get(pid) == instance.owner or any(mine)


def _owner(study: Study, instance: Instance, pid: int, comm: str, t: float) -> tuple[str, str | None]:
    if pid == instance.pid:
        return MAIN, None
    running = [one for one in study.commands if _ran(one, instance, t)]
    known = next((one for one in running if pid in one.pids), None)
    if known is None and pid not in {seen for one in running for seen in one.pids}:
        known = next((one for one in running if not one.pids and _is_called(one, comm)), None)
    return (known.why, " ".join(known.command)) if known is not None else (CHILD, None)


def _ran(command: Command, instance: Instance, t: float) -> bool:
    mine = command.owner == instance.owner
    return mine and command.began_s <= t <= command.ended_s + LATE_S


def _is_called(command: Command, comm: str) -> bool:
    return bool(command.command) and os.path.basename(command.command[0])[:_COMM] == comm  # noqa: PTH119  no path here
