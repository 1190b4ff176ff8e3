"""Starts containers' processes, and says how they ended: a process of its own with a single thread, so that it may do
between fork and exec what `emu run`, which has many, may not. It needs no program of this machine for that: each of
them would cost the sandbox more than all that is done here.

Each fork is the first process of a namespace of pids. It joins the pod's network, makes mounts of its own,
leaves root's rights and this machine's files behind, moves itself into the container's cgroup and becomes the
program. So the container pays for what the program needs, from its first page on, and for nothing before that.

The cgroup is opened while the process is still root, and written to when it no longer is: since Linux 5.16 (and in
the stable kernels from then on) the kernel asks who opened the file.

Standard library only; its argument is a socket of messages. One that it gets has a number and three descriptors: of
a file with what is to be started, of what that prints to, and of a pipe that ends when the program runs, or has a
word on why it does not. What it says is JSON: the pid for a number, with a descriptor of the process; the status of a
pid that has ended. It ends with the socket, and leaves what it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, NoReturn

MOST_BYTES = 4096
"""Of a message."""
_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000  # linux/sched.h
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32  # linux/mount.h
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_KEPT = {os.ST_NOSUID: _NOSUID, os.ST_NODEV: _NODEV, os.ST_NOEXEC: _NOEXEC, os.ST_NOATIME: 1024,
         os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}  # fmt: skip
"""What a mount keeps when it is made read-only: its flag as statvfs(3) has it, and as mount(2) does."""
_CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _CLEAR_ALL = 24, 38, 47, 4  # linux/prctl.h
_CAPABILITY_VERSION_3 = 0x20080522
_CANNOT_RUN, _NOT_FOUND = 126, 127
"""The exit codes of a program that is none, as a shell has them."""

_libc = ctypes.CDLL(None, use_errno=True)
Asked = dict[str, Any]
"""What is to be started: `emu.runtime.process.launch.Start` as JSON."""


def main(fd: int) -> None:
    """Start what is asked for until the socket ends."""
    connection = socket.socket(fileno=fd)
    connection.set_inheritable(False)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    # With SIG_DFL nothing would wake the poll, with SIG_IGN there would be no status to reap.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    poller.register(woken, select.POLLIN)
    gc.disable()  # what is forked shares our pages as long as nobody writes to them
    gc.freeze()
    with contextlib.suppress(ConnectionError):  # it ended while something was said
        while True:
            for ready, _ in poller.poll():
                if ready == woken:
                    os.read(woken, MOST_BYTES)
                    _reap(connection)
                    continue
                message, fds, *_ = socket.recv_fds(connection, MOST_BYTES, 3)
                if not message:
                    return
                for fd in fds:
                    os.set_inheritable(fd, False)
                _begin(connection, own, int(message), *fds)


def _reap(connection: socket.socket) -> None:
    """Report who has ended."""
    while True:
        try:
            # Until none is left: signals do not queue, so one SIGCHLD may stand for several children.
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        connection.send(json.dumps({"pid": pid, "status": status}).encode())


def _begin(connection: socket.socket, own: int, number: int, asked: int, output: int, state: int) -> None:
    """Fork the first process of a new namespace of pids; `own` is ours, for the fork after this one."""
    pid = 0
    try:
        _check(_libc.unshare(_NEWPID), "unshare")
        try:
            pid = os.fork()
            if pid == 0:
                _become(asked, output, state)
        finally:
            # Without it the next fork would join this container's pids, and fail once its first process has ended.
            _check(_libc.setns(own, _NEWPID), "setns")
        # The pid is surely its own: only `_reap` frees it, and that runs in this thread.
        pidfd = os.pidfd_open(pid)
        socket.send_fds(connection, [json.dumps({"number": number, "pid": pid}).encode()], [pidfd])
        os.close(pidfd)
    except OSError as error:
        if pid:
            os.kill(pid, signal.SIGKILL)
        _say(state, error)
    for fd in (asked, output, state):
        os.close(fd)


def _become(file: int, output: int, state: int) -> NoReturn:
    """In that process: make what the program finds, and become it."""
    try:
        signal.set_wakeup_fd(-1)
        with open(file, encoding="utf-8", closefd=False) as text:
            text.seek(0)
            asked = json.load(text)
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        _make_namespaces(asked)
        _make_mounts(asked)
        # Before the root changes: /proc is this machine's. And as root, who alone may lower it.
        adj = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(adj, str(asked["oom_score_adj"]).encode())
        _limit_files(asked["files"])
        procs = os.open(asked["procs"], os.O_WRONLY | os.O_CLOEXEC)
        os.chroot(asked["root"])
        # chroot(2) leaves the working directory where it was, outside.
        os.chdir("/")
        os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
        _drop_rights(asked["user"])
        _forget_settings()
        os.write(procs, b"0")
        _run(asked["file"], asked["argv"], asked["env"])
    except BaseException as error:
        _say(state, error)
    os._exit(_CANNOT_RUN)


def _make_namespaces(asked: Asked) -> None:
    network = os.open(asked["network"], os.O_RDONLY | os.O_CLOEXEC)
    _check(_libc.setns(network, _NEWNET), f"setns {asked['network']}")
    os.close(network)
    _check(_libc.unshare(_NEWNS | _NEWIPC | _NEWUTS), "unshare")
    hostname = asked["hostname"].encode()
    _check(_libc.sethostname(hostname, len(hostname)), "sethostname")


def _make_mounts(asked: Asked) -> None:
    """A root to read only, with a /tmp of its own; what is mounted in it is seen by nobody else."""
    root = asked["root"]
    # First: a mount below a shared root would show up on this machine.
    _mount("", "/", "", _REC | _PRIVATE)
    _bind(root, root, writable=False)
    _mount("tmpfs", f"{root}/tmp", "tmpfs", _NOSUID | _NODEV, "size=16m,mode=1777")  # noqa: S108  the container's
    _mount("shm", f"{root}/dev/shm", "tmpfs", _NOSUID | _NODEV | _NOEXEC, "size=64m,mode=1777")  # noqa: S108
    for source, target, writable in asked["binds"]:
        _bind(source, root + target, writable=writable)
    _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def _limit_files(most: int) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except ValueError as error:
        ours = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        why = f"a container may have {most} files open, and emu may allow no more than its own {ours}"
        raise OSError(errno.EPERM, why) from error


def _drop_rights(user: int) -> None:
    """For good: neither a file nor a later exec gives any back."""
    # In this order: each step needs a capability or a user that a later one gives up.
    capability = 0
    while _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _libc.prctl(_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _check(_libc.capset(header, none), "capset")
    _check(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def _forget_settings() -> None:
    """What a program gets from who starts it, and would not get from an engine: signals that are ignored (some by
    Python, some by nohup or a shell's &), and a mask for new files.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)


def _run(file: str, argv: list[str], env: dict[str, str]) -> NoReturn:
    """As execvp(3) would. What cannot be run at all has started and ended, with a word of its own."""
    try:
        try:
            os.execve(file, argv, env)  # noqa: S606  that is what it is for
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            os.execve("/bin/sh", ["/bin/sh", file, *argv[1:]], env)  # noqa: S606
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if error.errno == errno.ENOENT else _CANNOT_RUN)


def _bind(source: str, target: str, *, writable: bool) -> None:
    _mount(source, target, "", _BIND)
    if not writable:
        # mount(2) ignores MS_RDONLY for a new bind; the second call replaces all flags, so it repeats those there.
        has = os.statvfs(target).f_flag
        kept = sum(flag for held, flag in _KEPT.items() if has & held)
        _mount("", target, "", _REMOUNT | _BIND | _RDONLY | kept)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    words = [os.fsencode(word) or None for word in (source, target, kind)]
    result = _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mount {source or 'something'} at {target}")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _say(state: int, error: BaseException) -> None:
    """Why there is no process, after the number of the kernel's error."""
    number, why = (error.errno, error.strerror) if isinstance(error, OSError) else (0, repr(error))
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(state, f"{number} {where}{why}".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
