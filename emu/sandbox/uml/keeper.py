"""Holds one guest: starts `linux.uml`, and sees to it that nothing of it outlives the `emu` that asked for it.

A process of its own, because `emu` may be killed in a way that leaves it no time to clean up. It notices the end of
`emu` by the end of a pipe, kills every process of the guest by id, and removes the guest's scratch directory. The
kernel leads a session of its own, and its helpers stay in it; those whose kernel is gone become our children.
A process of the kernel that somebody else kills ends the guest: without its I/O thread it would wait for ever.

It gives the guest a processor of its own, and another when that one is kept busy (processors.py).

Standard library only; its arguments are `SCRATCH LOCKS LIFE_FD CONSOLE_FD IN_FD OUT_FD ARGV…`. Any further descriptor
it inherits (the lock of the image disk) stays open until the last process is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import resource
import select
import shutil
import signal
import struct
import sys
import time
from pathlib import Path

from emu.machine.proc import fields, start_time, stat
from emu.sandbox.uml.processors import LOOK_S, Seat

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


KERNEL = "kernel.json"
"""In the scratch directory: the pid and the start time of `linux.uml`."""
PRELOAD = "ptrace.so"
"""In the scratch directory: the library that is preloaded into `linux.uml`."""
LIBC = "libc"
"""In the scratch directory, where the kernel is not loaded with the machine's C library: the one that it is."""
SAYS = "emu-keeper: "
"""Begins a line of the keeper's own on the console."""
WRITABLE = "writable"
"""In the scratch directory: what the guest's kernel may write on this machine, a path a line."""
_LOOK_S = 1.0
_WORKED_TICKS = 2
"""A kernel that has worked for so long since a child ended will not reap it; one that was stopped meanwhile might."""
_LOOKS_A_SEAT = round(LOOK_S / _LOOK_S)
_LANDLOCK = 444  # landlock_create_ruleset, _add_rule and _restrict_self: the same numbers on every architecture
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_OF_DIRECTORIES = 0x3FF0
"""Remove and make entries of each kind, link and rename between directories (linux/landlock.h)."""


def session_members(session: int) -> list[int]:
    """Every living process of a session, its leader too."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (found := stat(pid)) is not None and int(found[3]) == session]


def children() -> list[int]:
    """Our own children, those that we have inherited too."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (found := stat(pid)) is not None and int(found[1]) == os.getpid()]


def zombies(kernel: int) -> set[int]:
    """The kernel's children that have ended and that it has not reaped. It ends and reaps its own in one breath, so
    one that stays was killed by somebody else.
    """
    try:
        pids = Path(f"/proc/{kernel}/task/{kernel}/children").read_text().split()
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN, or it has ended
        return set()
    return {pid for pid in map(int, pids) if (found := fields(pid)) is not None and found[0] == "Z"}


def worked(kernel: int) -> int:
    """The processor time of the kernel, in clock ticks."""
    found = stat(kernel)
    return 0 if found is None else int(found[11]) + int(found[12])


def narrow(paths: list[str]) -> bool:
    """Let this process and its children write nowhere but to these paths and below (landlock(7)), whoever they are
    and whatever they mount. False where the kernel cannot, or could not without breaking renames (before 5.19).
    """
    version = _libc.syscall(_LANDLOCK, None, 0, 1)
    if version < 2:
        return False
    of_files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    handled = struct.pack("=Q", _OF_DIRECTORIES | of_files)
    rules = _libc.syscall(_LANDLOCK, handled, len(handled), 0)
    for path in paths:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = of_files | (_OF_DIRECTORIES if Path(path).is_dir() else 0)
        if _libc.syscall(_LANDLOCK + 1, rules, 1, struct.pack("=Qi", allowed, fd), 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        os.close(fd)
    # The kernel takes a ruleset from a process without CAP_SYS_ADMIN only then.
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    restricted: bool = _libc.syscall(_LANDLOCK + 2, rules, 0) == 0
    os.close(rules)
    return restricted


def start(argv: list[str], scratch: str, console_fd: int, seat: Seat) -> int:
    """Fork and become `linux.uml` in the child; it dies with us."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        seat.pin(0)
        # If the keeper itself is killed, only this ends the guest.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a panicking kernel aborts; its core would be gigabytes
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a file open in the guest is one open here
        os.dup2(console_fd, 1)
        os.dup2(console_fd, 2)
        os.chdir(scratch)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        env = dict(os.environ)
        env["LD_PRELOAD"] = f"./{PRELOAD}"  # split at spaces, so no path of the user's may be in it
        if Path(scratch, LIBC).exists():
            env["LD_LIBRARY_PATH"] = f"./{LIBC}"
        narrow([*Path(scratch, WRITABLE).read_text().splitlines(), os.devnull])
        os.execve(argv[0], argv, env)  # noqa: S606 - a shell is what this avoids
    except BaseException as wrong:
        os.write(2, f"cannot start {argv[0]}: {wrong}\n".encode())
    os._exit(127)


def wait(child: int, life_fd: int, seat: Seat) -> str:
    """Return when the guest has ended, `emu` has, or we are asked to end: "". Or when a process of the kernel was
    killed: what there is to say of it. See to the guest's processor meanwhile.
    """
    pidfd = os.pidfd_open(child)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(life_fd, select.POLLIN | select.POLLHUP)
    seen: dict[int, int] = {}
    with contextlib.suppress(KeyboardInterrupt):
        for look in itertools.count():
            if poller.poll(_LOOK_S * 1000):
                break
            if look % _LOOKS_A_SEAT == 0:
                seat.look(child)
            ticks, now = worked(child), zombies(child)
            killed = [pid for pid, then in seen.items() if pid in now and ticks - then >= _WORKED_TICKS]
            if killed:
                return f"process {min(killed)} of the guest's kernel was killed"
            seen = {pid: seen.get(pid, ticks) for pid in now}
    os.close(pidfd)
    return ""


def end(child: int) -> int:
    """Kill and reap all that is left of the guest; return the kernel's exit status, 128+n for a signal.
    TimeoutError if some of it cannot be ended.
    """
    status = 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for pid in {*session_members(child), *children()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while (reaped := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if reaped[0] == child:
                    status = reaped[1]
        except ChildProcessError:
            if not session_members(child):
                break
        time.sleep(0.01)
    else:
        raise TimeoutError
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main() -> None:
    """Keep one guest from its start to its end."""
    scratch, locks, argv = sys.argv[1], sys.argv[2], sys.argv[7:]
    life_fd, console_fd, *line_fds = [int(word) for word in sys.argv[3:7]]

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.set_inheritable(life_fd, False)
    seat = Seat(Path(locks))
    seat.take()
    child = start(argv, scratch, console_fd, seat)
    note = Path(scratch) / KERNEL
    note.with_suffix(".tmp").write_text(json.dumps({"pid": child, "started": start_time(child) or -1}))
    # By rename: `emu clean` reads a whole note or none.
    note.with_suffix(".tmp").rename(note)
    for fd in [console_fd, *line_fds]:  # so that their other ends see the end of the guest
        os.close(fd)
    why = wait(child, life_fd, seat)
    # From here on the guest is being ended: a second SIGTERM would stop that halfway.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if why:
        with contextlib.suppress(OSError):  # the console has no reader any more
            os.set_blocking(1, False)
            os.write(1, f"\n{SAYS}{why}\n".encode())
    status = end(child)
    with contextlib.suppress(OSError, KeyError):
        Path(os.environ["TMPDIR"]).rmdir()  # the guest's memory was in it, without a name
    shutil.rmtree(scratch, ignore_errors=True)  # last: by it `emu clean` finds what could not be ended
    sys.exit(status)
