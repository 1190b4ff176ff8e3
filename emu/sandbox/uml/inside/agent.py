"""The guest's end of the serial line: says when Docker is ready, runs commands, passes their streams, powers off.

It runs on the interpreter the host's `emu` runs on, with the standard library alone. It is locked into memory and
exempt from the OOM killer, so that a guest short of memory still answers.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import time
from collections.abc import Callable
from typing import Any

from emu.sandbox.uml.inside import machine, wire
from emu.sandbox.uml.inside.command import Command
from emu.sandbox.uml.inside.disks import DiskWatch
from emu.sandbox.uml.inside.line import Line

_BEAT_S = 1.0
_BACKLOG = 8 * wire.MAX_PAYLOAD
_DRAIN_S = 0.5  # output that a command's orphans still write after it ended is waited for so long


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
                # What came before it in this turn may have closed it.
                if key.fd in self.watched:
                    key.data(events)
            self.finish_command()
            now = time.monotonic()
            if now - last_beat >= _BEAT_S:
                last_beat = now
                if not self.line.backlog:
                    self.line.send(wire.encode(wire.Frame(wire.BEAT)))
                if stuck := disks.look(machine.disk_stats()):
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
        except OSError:  # EIO: no process has the terminal open any more
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
        """Pass on standard input as the command takes it, and report to the host how much was taken."""
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
            trouble = machine.trouble()
            if trouble is None and time.monotonic() > deadline:
                trouble = f"the guest was not ready {wait_s:.0f} s after the agent{machine.tails()}"
            if trouble is not None:
                self.line.send(wire.encode(wire.Frame(wire.FAILED, 0, trouble.encode())))
                self.line.drain()
                machine.power_off()
            left_over = b"[]" if machine.is_ready() else machine.docker("GET", "/containers/json?all=1")
            if left_over is not None:
                break
            self.line.send(wire.encode(wire.Frame(wire.BEAT)))
            self.line.flush()
            time.sleep(0.05)
        for container in json.loads(left_over):  # a guest's containers end with it; only images stay
            machine.docker("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in json.loads(machine.docker("GET", "/volumes") or b"{}").get("Volumes") or ():
            machine.docker("DELETE", f"/volumes/{volume['Name']}?force=1")
        self.line.send(wire.message(wire.READY, docker=machine.docker_version(), kernel=os.uname().release))

    def progress(self, text: str) -> None:
        """Report a step to the host."""
        self.line.send(wire.encode(wire.Frame(wire.PROGRESS, 0, text.encode())))
        self.line.flush()


def main() -> None:
    """Serve the host until it says stop, then power off."""
    machine.stay_alive()
    agent = Agent()
    agent.boot(wait_s=300)  # the host has its own, shorter deadline
    agent.serve()
    machine.power_off()
