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

from emu.machine.owner import lives, owner
from emu.machine.proc import start_time, stat

VARIABLE = "EMU_OWNER"
_END_S = 5.0
"""How long one may take to end in order, and to be gone once it was killed."""


def marked(env: Mapping[str, str]) -> dict[str, str]:
    """An environment that says whose process it is: ours."""
    return {**env, VARIABLE: owner()}


def end_orphans(among: Iterable[int] | None = None) -> Iterator[str]:
    """End this user's processes whose emu is gone, those that are stopped too; pid and name of each that ended.
    `among`: only these.
    """
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


def _signal(fds: Mapping[int, str], number: Signals) -> None:
    for fd in fds:
        with suppress(ProcessLookupError):
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
    above = _ancestors()
    return [pid for pid in among if pid not in above and _is_orphan(pid)]


def _is_orphan(pid: int) -> bool:
    """Whether its environment names an emu that is gone, and that was there before it."""
    try:
        process = Path(f"/proc/{pid}")
        if process.stat().st_uid != os.geteuid():
            return False
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    lead = f"{VARIABLE}=".encode()
    whose = next((one.removeprefix(lead).decode(errors="replace") for one in variables if one.startswith(lead)), "")
    parts, started = whose.split(":"), start_time(pid)
    if len(parts) != 4 or not (parts[0].isdecimal() and parts[1].isdecimal()) or started is None:
        return False
    return int(parts[1]) <= started and not lives(whose)


def _ancestors() -> set[int]:
    """Our own pid, and those that we come from: whoever calls `emu clean` is not ended by it."""
    found, pid = set[int](), os.getpid()
    while pid and pid not in found:
        found.add(pid)
        fields = stat(pid)
        pid = 0 if fields is None else int(fields[1])
    return found
