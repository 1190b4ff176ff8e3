"""The guest's end of the serial line: says when Docker is ready, runs commands, passes their streams, powers off.

It runs on the interpreter the host's `emu` runs on, with the standard library alone. It is locked into memory and
exempt from the OOM killer, so that a guest short of memory still answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emu.sandbox.uml.inside import wire
from emu.sandbox.uml.inside.disks import DiskWatch

_LINE = "/dev/ttyS0"
_RUN = Path("/run/emu")
_CGROUP = Path("/sys/fs/cgroup")
_BEAT_S = 1.0
_BACKLOG = 8 * wire.MAX_PAYLOAD
_DRAIN_S = 0.5  # output that a command's orphans still write after it ended is waited for so long
_NOFILE = (65536, 1048576)
_RB_POWER_OFF = 0x4321FEDC
_MCL_CURRENT_AND_FUTURE = 3

_libc = ctypes.CDLL(None, use_errno=True)


class Line:
    """The serial line: whole frames in, frames out, neither ever blocking."""

    def __init__(self) -> None:
        self.fd = os.open(_LINE, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        tty.setraw(self.fd)
        self._decoder = wire.Decoder()
        self._unsent = bytearray()

    @property
    def backlog(self) -> int:
        """Bytes that the host has yet to take."""
        return len(self._unsent)

    def send(self, data: bytes) -> None:
        """Queue an encoded frame."""
        self._unsent += data

    def flush(self) -> None:
        """Write what the host takes now."""
        try:
            while self._unsent:
                written = os.write(self.fd, self._unsent[: wire.MAX_PAYLOAD])
                del self._unsent[:written]
        except BlockingIOError:
            pass

    def drain(self) -> None:
        """Write everything, waiting for the host."""
        while self._unsent:
            self.flush()
            time.sleep(0.005)

    def receive(self) -> list[wire.Frame]:
        """The frames that have arrived."""
        frames: list[wire.Frame] = []
        try:
            while data := os.read(self.fd, 65536):
                frames += self._decoder.feed(data)
                self.send(wire.message(wire.RECEIVED, bytes=len(data)))
        except BlockingIOError:
            pass
        return frames


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
        """Tell the command's terminal its size."""
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


class Agent:
    """One select loop over the line and the command that runs, if one does."""

    def __init__(self) -> None:
        self.line = Line()
        self.selector = selectors.DefaultSelector()
        self.watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self.command: Command | None = None
        self.stopping = False

    # -- the loop

    def watch(self, fd: int, events: int, act: Callable[[int], None]) -> None:
        """Call `act(events)` when fd is ready; no events: forget it."""
        known = self.watched.get(fd)
        if known is not None and known[0] == events:
            return
        if known is None and events:
            self.selector.register(fd, events, act)
        elif known is not None and events:
            self.selector.modify(fd, events, act)
        elif known is not None:
            self.selector.unregister(fd)
        if events:
            self.watched[fd] = (events, act)
        else:
            self.watched.pop(fd, None)

    def serve(self) -> None:
        """Answer the host until it says stop."""
        last_beat = 0.0
        disks = DiskWatch()
        while not self.stopping:
            self.arrange()
            wait = _BEAT_S if self.command is None or self.command.ended_at is None else 0.05
            for key, events in self.selector.select(wait):
                if key.fd in self.watched:
                    key.data(events)
            self.finish_command()
            now = time.monotonic()
            if now - last_beat >= _BEAT_S:
                last_beat = now
                if not self.line.backlog:
                    self.line.send(wire.encode(wire.Frame(wire.BEAT)))
                if stuck := disks.look(_disk_stats()):
                    self.line.send(wire.encode(wire.Frame(wire.FAILED, 0, stuck.encode())))
            self.line.flush()

    def arrange(self) -> None:
        """Watch what can make progress: no output is read while the host has a backlog to take."""
        line_events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.line.backlog else 0)
        self.watch(self.line.fd, line_events, self.on_line)
        command = self.command
        if command is None:
            return
        if command.ended_at is None:
            self.watch(command.pidfd, selectors.EVENT_READ, self.on_exit)
        reading = selectors.EVENT_READ if self.line.backlog < _BACKLOG else 0
        for fd in list(command.outputs):
            writing = selectors.EVENT_WRITE if fd == command.stdin and command.stdin_pending else 0
            self.watch(fd, reading | writing, lambda events, fd=fd: self.on_stream(fd, events))  # type: ignore[misc]
        if command.stdin is not None and command.stdin not in command.outputs:
            wanted = selectors.EVENT_WRITE if command.stdin_pending else 0
            self.watch(command.stdin, wanted, lambda _events: self.feed_stdin())

    def on_line(self, events: int) -> None:
        """Frames from the host, or room for ours."""
        if events & selectors.EVENT_WRITE:
            self.line.flush()
        if not events & selectors.EVENT_READ:
            return
        for frame in self.line.receive():
            self.obey(frame)

    def obey(self, frame: wire.Frame) -> None:
        """Do what one frame says."""
        command = self.command
        if frame.kind == wire.START:
            self.start(frame.json())
        elif frame.kind == wire.STOP:
            self.stopping = True
        elif command is None:
            return  # a signal or input that crossed the command's exit
        elif frame.kind == wire.DATA:
            command.stdin_pending += frame.payload
            self.feed_stdin()
        elif frame.kind == wire.CLOSE and frame.stream == 0:
            command.stdin_closing = True
            self.feed_stdin()
        elif frame.kind == wire.CLOSE:
            for fd in [fd for fd, stream in command.outputs.items() if stream == frame.stream]:
                self.drop_output(fd)
        elif frame.kind == wire.SIGNAL:
            command.signal(frame.json()["number"])
        elif frame.kind == wire.RESIZE:
            size = frame.json()
            command.resize(size["rows"], size["columns"])

    # -- one command

    def start(self, request: dict[str, Any]) -> None:
        """Start a command; one that cannot start ends with 127 or 126, as a shell would have it."""
        try:
            self.command = Command(request)
        except OSError as wrong:
            text = f"emu sandbox: cannot run {request['argv'][0]!r}: {os.strerror(wrong.errno or 0)}"
            if wrong.filename is not None and wrong.filename != request["argv"][0]:
                text += f": {wrong.filename}"
            self.line.send(wire.encode(wire.Frame(wire.DATA, 2, f"{text}\n".encode())))
            self.line.send(wire.message(wire.EXIT, status=127 if wrong.errno == errno.ENOENT else 126))

    def on_stream(self, fd: int, events: int) -> None:
        """Output of the command, or room on its terminal."""
        if events & selectors.EVENT_WRITE:
            self.feed_stdin()
        command = self.command
        if command is None or not events & selectors.EVENT_READ or fd not in command.outputs:
            return
        try:
            data = os.read(fd, wire.MAX_PAYLOAD)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if data:
            self.line.send(wire.encode(wire.Frame(wire.DATA, command.outputs[fd], data)))
            if command.ended_at is not None:
                command.ended_at = time.monotonic()
        else:
            self.drop_output(fd)

    def drop_output(self, fd: int) -> None:
        """Stop reading one of the command's outputs; it then gets SIGPIPE, or its terminal hangs up."""
        assert self.command is not None
        self.watch(fd, 0, lambda _events: None)
        self.command.outputs.pop(fd, None)
        if fd == self.command.stdin:
            self.command.stdin = None
        if fd == self.command.master:
            self.command.master = None
        os.close(fd)

    def feed_stdin(self) -> None:
        """Pass on standard input as the command takes it, and tell the host how much was taken."""
        command = self.command
        if command is None:
            return
        taken = 0
        if command.stdin is None:
            taken = len(command.stdin_pending)
            command.stdin_pending.clear()
        try:
            while command.stdin is not None and command.stdin_pending:
                written = os.write(command.stdin, command.stdin_pending[: wire.MAX_PAYLOAD])
                del command.stdin_pending[:written]
                taken += written
        except BlockingIOError:
            pass
        except OSError:  # EPIPE, EIO: the command reads no more
            taken += len(command.stdin_pending)
            command.stdin_pending.clear()
            command.stdin_closing = True
        if taken:
            self.line.send(wire.message(wire.CREDIT, bytes=taken))
        if command.stdin_closing and not command.stdin_pending and command.stdin is not None:
            self.close_stdin(command.stdin)

    def close_stdin(self, fd: int) -> None:
        """Standard input is at its end: close the pipe, or type the end-of-file character on the terminal."""
        assert self.command is not None
        self.command.stdin_closing = False
        if fd == self.command.master:
            with contextlib.suppress(OSError):
                os.write(fd, b"\x04")
            return
        self.watch(fd, 0, lambda _events: None)
        self.command.stdin = None
        os.close(fd)

    def on_exit(self, _events: int) -> None:
        """The command has ended; its output may still be under way."""
        command = self.command
        assert command is not None
        self.watch(command.pidfd, 0, lambda _events: None)
        os.close(command.pidfd)
        code = command.process.wait()
        command.status = code if code >= 0 else 128 - code
        command.ended_at = time.monotonic()

    def finish_command(self) -> None:
        """Report a command that has ended, once its output is at an end (or its orphans are silent)."""
        command = self.command
        if command is None or command.ended_at is None:
            return
        if command.outputs and (self.line.backlog or time.monotonic() - command.ended_at < _DRAIN_S):
            return
        for fd in {*command.outputs, *([command.stdin] if command.stdin is not None else [])}:
            self.watch(fd, 0, lambda _events: None)
        command.close()
        self.command = None
        self.line.send(wire.message(wire.EXIT, status=command.status))

    # -- boot and end

    def boot(self, wait_s: float) -> None:
        """Wait until the disk, the journal and Docker are there; say so, or say what failed."""
        self.progress("the guest's kernel runs")
        deadline = time.monotonic() + wait_s
        while True:
            trouble = _trouble()
            if trouble is None and time.monotonic() > deadline:
                trouble = f"the guest was not ready {wait_s:.0f} s after the agent{_tails()}"
            if trouble is not None:
                self.line.send(wire.encode(wire.Frame(wire.FAILED, 0, trouble.encode())))
                self.line.drain()
                power_off()
            left_over = b"[]" if (_RUN / "ready").exists() else _docker("GET", "/containers/json?all=1")
            if left_over is not None:
                break
            self.line.send(wire.encode(wire.Frame(wire.BEAT)))
            self.line.flush()
            time.sleep(0.05)
        for container in json.loads(left_over):  # a guest's containers end with it; only images stay
            _docker("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in json.loads(_docker("GET", "/volumes") or b"{}").get("Volumes") or ():
            _docker("DELETE", f"/volumes/{volume['Name']}?force=1")
        self.line.send(wire.message(wire.READY, docker=_docker_version(), kernel=os.uname().release))

    def progress(self, text: str) -> None:
        """Tell the host of a step."""
        self.line.send(wire.encode(wire.Frame(wire.PROGRESS, 0, text.encode())))
        self.line.flush()


def _disk_stats() -> dict[str, str]:
    found = {}
    for path in Path("/sys/block").glob("ubd*/stat"):
        with contextlib.suppress(OSError):
            found[path.parent.name] = path.read_text()
    return found


def _trouble() -> str | None:
    """What has failed in the boot, or None."""
    failed = _RUN / "failed"
    if failed.exists():
        return failed.read_text().strip() + _tails()
    try:
        pid = int((_RUN / "dockerd.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return None if _runs(pid) else f"dockerd ended{_tails()}"


def _runs(pid: int) -> bool:
    """Whether a process runs: one that ended is a zombie until the guest's first process has reaped it, then gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _tails() -> str:
    """The last lines of what the boot's programs wrote."""
    said = ""
    for name in ("e2fsck.log", "modprobe.log", "journald.log", "dockerd.log"):
        with contextlib.suppress(OSError):
            lines = (_RUN / name).read_text(errors="replace").strip().splitlines()[-8:]
            said += "".join(f"\n[{name}] {line}" for line in lines)
    return said


def _docker(method: str, path: str) -> bytes | None:
    """The body of one answer of the engine's; None while it does not answer, or answers with an error."""
    head, body = _ask_docker(method, path)
    return body if b" 200 " in head[:20] or b" 204 " in head[:20] else None


def _ask_docker(method: str, path: str) -> tuple[bytes, bytes]:
    """Head and body of one answer, empty while there is none."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect("/run/docker.sock")
        connection.sendall(f"{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        return head, body
    return b"", b""


def _docker_version() -> str | None:
    """The engine's version, by the name that it puts above its answers: `Server: Docker/20.10.24 (linux)`. To answer
    /version it would run three programs first.
    """
    head, _body = _ask_docker("GET", "/_ping")
    for line in head.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "server":
            return value.strip().removeprefix("Docker/").partition(" ")[0] or None
    return None


def _stop_docker(wait_s: float) -> None:
    """Kill every container at once, then let dockerd end in order, so that the image disk is whole."""
    for group in _CGROUP.iterdir():
        if group.is_dir() and group.name != "system.slice":
            with contextlib.suppress(OSError):
                (group / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError, ValueError):
        pid = int((_RUN / "dockerd.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and _runs(pid):
            time.sleep(0.02)


def power_off() -> None:
    """End the guest with everything written to its disks."""
    _stop_docker(wait_s=10)
    os.sync()
    _libc.umount2(b"/var/lib/emu", 2)
    _libc.umount2(b"/var/lib/docker", 2)
    os.sync()
    _libc.reboot(_RB_POWER_OFF)
    time.sleep(60)


def main() -> None:
    """Serve the host until it says stop, then power off."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    _libc.mlockall(_MCL_CURRENT_AND_FUTURE)
    agent = Agent()
    agent.boot(wait_s=300)  # the host has its own, shorter deadline
    agent.serve()
    power_off()
