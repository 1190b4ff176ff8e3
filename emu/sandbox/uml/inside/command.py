"""One command of the host's in the guest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_NOFILE = (65536, 1048576)


class Command:
    """One command of the host's: its process, and our ends of its three streams (None once closed)."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.ended_at: float | None = None
        self.status: int | None = None
        self.stdin_pending = bytearray()
        self.stdin_closing = False
        self.on_terminal = any(request["tty"])
        self.master: int | None = None
        theirs: list[int] = []
        self.outputs: dict[int, int] = {}  # our fd → stream
        self.stdin: int | None = None
        slave = -1
        if self.on_terminal:
            self.master, slave = os.openpty()
            self.resize(request["rows"], request["columns"])
            if not request["raw"]:  # the host's terminal turns line ends into carriage returns itself
                attributes = termios.tcgetattr(slave)
                attributes[1] &= ~termios.OPOST
                termios.tcsetattr(slave, termios.TCSANOW, attributes)
        for stream, on_terminal in enumerate(request["tty"]):
            if on_terminal:
                theirs.append(os.dup(slave))
                continue
            read_end, write_end = os.pipe()
            theirs.append(read_end if stream == 0 else write_end)
            if stream == 0:
                self.stdin = write_end
            else:
                self.outputs[read_end] = stream
        if self.master is not None:
            if request["tty"][0]:
                self.stdin = self.master
            self.outputs[self.master] = 1 if request["tty"][1] else 2
        for fd in {*self.outputs, *([self.stdin] if self.stdin is not None else [])}:
            os.set_blocking(fd, False)

        def prepare() -> None:
            for number in (signal.SIGINT, signal.SIGQUIT):  # a shell starts its background jobs, so us, without them
                signal.signal(number, signal.SIG_DFL)
            Path("/proc/self/oom_score_adj").write_text("0")
            (_CGROUP / "user.slice/cgroup.procs").write_text("0")
            resource.setrlimit(resource.RLIMIT_NOFILE, _NOFILE)
            if self.on_terminal:
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        try:
            self.process = subprocess.Popen(
                request["argv"],
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                cwd=request["cwd"],
                env=request["env"],
                start_new_session=True,
                preexec_fn=prepare,
            )
        except BaseException:
            self.close()
            raise
        finally:
            for fd in [*theirs, *([slave] if slave >= 0 else [])]:
                os.close(fd)
        self.pidfd = os.pidfd_open(self.process.pid)

    def close(self) -> None:
        """Give up our ends of every stream."""
        for fd in {*self.outputs, *([self.stdin] if self.stdin is not None else [])}:
            os.close(fd)
        self.outputs.clear()
        self.stdin = self.master = None

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the command's terminal."""
        if self.master is not None:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Signal the command's foreground process group, as its terminal would."""
        group = self.process.pid
        if self.master is not None:
            with contextlib.suppress(OSError):
                group = os.tcgetpgrp(self.master) or group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
