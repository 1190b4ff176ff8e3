"""The processes that emu starts beside itself, and those of them whose emu is gone.

Each ends with the emu that started it. One cannot that is stopped, or hangs in the kernel; so each has in its
environment whose it is, and `emu clean` finds it by that: never by its name.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals, pidfd_send_signal

from emu.errors import EmuError, raise_all
from emu.machine.owner import is_of_this_boot, lives, owner
from emu.machine.proc import start_time, stat

VARIABLE = "EMU_OWNER"
_LONGEST_MARK = 100
_END_S = 5.0
"""How long one may take to end in order, and to be gone once it was killed."""


def marked(env: Mapping[str, str]) -> dict[str, str]:
    """An environment that says whose process it is: ours."""
    return {**env, VARIABLE: owner()}


def end_orphans(among: Iterable[int] | None = None) -> Iterator[str]:
    """End this user's processes whose emu is gone, those that are stopped too; pid and name of each that ended.
    `among`: only these. EmuError, at the end, for those that do not end.
    """
    if not _proc_has_our_pids():
        return
    with ExitStack() as stack:
        found: dict[int, str] = {}
        for pid in _orphans(_every_pid() if among is None else among):
            with suppress(OSError):  # it has ended
                fd = os.pidfd_open(pid)
                stack.callback(os.close, fd)
                if _is_orphan(pid):  # again: the pid may be another's by now
                    found[fd] = f"{pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
        _signal(found, SIGTERM)
        _signal(found, SIGCONT)  # second: what is stopped has both then
        left = _await(found, _END_S)
        _signal(left, SIGKILL)
        left = _await(left, _END_S)
        yield from (name for fd, name in found.items() if fd not in left)
        raise_all([_still_there(name) for name in left.values()])


def _still_there(name: str) -> EmuError:
    why = "it still runs after SIGKILL, which cannot end what waits in the kernel, or another user's"
    return EmuError(f"cannot end process {name}", why, f"see /proc/{name.split()[0]}/status: emu clean retries")


def _proc_has_our_pids() -> bool:
    """Not where it shows another namespace's (`unshare --pid` without `--mount-proc`): a pid there is not ours."""
    with suppress(OSError):
        return str(Path("/proc/self").readlink()) == str(os.getpid())
    return False


def _signal(fds: Mapping[int, str], number: Signals) -> None:
    for fd in fds:
        with suppress(ProcessLookupError, PermissionError):  # a set-user-ID program has other rules
            pidfd_send_signal(fd, number)


def _await(fds: Mapping[int, str], wait_s: float) -> dict[int, str]:
    """Those that still run after so long."""
    left, deadline = dict(fds), time.monotonic() + wait_s
    poller = select.poll()
    for fd in left:
        poller.register(fd, select.POLLIN)
    while left and (wait_s := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(wait_s * 1000):
            poller.unregister(fd)
            del left[fd]
    return left


def _every_pid() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _orphans(among: Iterable[int]) -> list[int]:
    """Those among them that neither are, nor come from, a living emu, nor are what called us. A living emu may have
    been started by what an emu before it had started: then its environment names that one.
    """
    living = {int(whose.partition(":")[0]) for pid in _every_pid() if (whose := _whose(pid)) and lives(whose)}
    above = _line(os.getpid())
    return [pid for pid in among if pid not in above and _is_orphan(pid) and living.isdisjoint(_line(pid))]


def _is_orphan(pid: int) -> bool:
    """Whether its environment names an emu that is gone, and that was there before it."""
    whose, started = _whose(pid), start_time(pid)
    return bool(whose) and started is not None and int(whose.split(":")[1]) <= started and not lives(whose)


def _whose(pid: int) -> str:
    """The owner that the environment of a process of this user names; empty where it names none that can be looked
    for. A container may have a boot id of its own (systemd-nspawn): whether its owners live cannot be seen from here.
    """
    try:
        process = Path(f"/proc/{pid}")
        if process.stat().st_uid != os.geteuid():
            return ""
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    lead = f"{VARIABLE}=".encode()
    whose = next((one.removeprefix(lead).decode(errors="replace") for one in variables if one.startswith(lead)), "")
    parts = whose.split(":")
    known = len(whose) <= _LONGEST_MARK and len(parts) == 4 and parts[0].isdecimal() and parts[1].isdecimal()
    return whose if known and is_of_this_boot(whose) else ""


def _line(pid: int) -> set[int]:
    """A process and those that it comes from."""
    found = set[int]()
    while pid and pid not in found:
        found.add(pid)
        fields = stat(pid)
        pid = 0 if fields is None else int(fields[1])
    return found
