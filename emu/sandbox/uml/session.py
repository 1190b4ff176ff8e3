"""One command in a guest: its streams between the host's descriptors and the line, its signals, its end."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

from emu.machine.silence import Silence
from emu.sandbox.uml import terminal
from emu.sandbox.uml.inside import wire
from emu.sandbox.uml.line import Line

_OUTPUT_BACKLOG = 2**20


class Session:
    """One command's streams between the host's descriptors and the line."""

    def __init__(
        self,
        line: Line,
        say: Callable[[str], None],
        stdin: int | None,
        stdout: int,
        stderr: int,
        grace_s: float,
        quiet_s: float | None,
        pulse: Callable[[], object],
    ) -> None:
        self._line = line
        self._say = say
        self._stdin = stdin
        self._fds = {1: stdout, 2: stderr}
        self._out: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self._window = wire.STDIN_WINDOW
        self._grace_s = grace_s
        self._quiet_s = quiet_s
        self._pulse = pulse
        self._silence, self._felt = Silence(time.monotonic()), pulse()
        self._interrupts: list[int] = []
        self._deadline: float | None = None
        self._status: int | None = None

    def serve(self, signals: int, *, read_stdin: bool) -> int:
        """Pass everything both ways until the command's status and all of its output are here."""
        reading = read_stdin and self._stdin is not None
        if not reading:
            self._send(wire.CLOSE, 0)
        while self._status is None or any(self._out.values()):
            wanted: dict[int, int] = {signals: select.POLLIN}
            if reading and self._window > 0 and self._status is None:
                assert self._stdin is not None
                wanted[self._stdin] = select.POLLIN
            for stream, data in self._out.items():
                if data:
                    wanted[self._fds[stream]] = wanted.get(self._fds[stream], 0) | select.POLLOUT
            backlog = sum(map(len, self._out.values()))
            wait_s = 1.0 if self._deadline is None else max(0.0, min(1.0, self._deadline - time.monotonic()))
            ready = self._line.turn(wanted, wait_s, listen=self._status is None and backlog < _OUTPUT_BACKLOG)
            while self._line.frames and self._status is None:
                self._obey(self._line.frames.popleft())
            if signals in ready:
                self._pass_signals(os.read(signals, 64))
            if self._stdin in ready and wanted[self._stdin] & ready[self._stdin] != select.POLLOUT:
                reading = self._read_stdin()
            for stream in (1, 2):
                if self._out[stream] and ready.get(self._fds[stream], 0) & ~select.POLLIN:
                    self._write(stream)
            if self._deadline is not None and time.monotonic() >= self._deadline and self._status is None:
                return self._give_up()
            self._see_progress(waiting=backlog >= _OUTPUT_BACKLOG)
        return self._status

    def _see_progress(self, *, waiting: bool) -> None:
        if waiting or self._status is not None:
            self._silence.broken(time.monotonic())
        if self._quiet_s is None or self._silence.seconds(time.monotonic()) < self._quiet_s:
            return
        before, self._felt = self._felt, self._pulse()
        self._silence.broken(time.monotonic())
        if self._felt == before:
            raise self._line.failure(
                "the run makes no progress",
                f"it has not said a word for {self._quiet_s / 60:.0f} min, while its guest answers",
                "run it again; report it if it recurs, with the run directory",
            )

    def _send(self, kind: int, stream: int, data: bytes = b"") -> None:
        self._line.send(wire.encode(wire.Frame(kind, stream, data)))

    def _obey(self, frame: wire.Frame) -> None:
        if frame.kind == wire.DATA and frame.stream in self._out:
            self._out[frame.stream] += frame.payload
            self._silence.broken(time.monotonic())
        elif frame.kind == wire.CREDIT:
            self._window += frame.json()["bytes"]
        elif frame.kind == wire.FAILED:
            raise self._line.failure(
                "the guest makes no progress",
                frame.payload.decode(),
                "run it again; if it recurs, see whether this machine's disk is full or failing",
            )
        elif frame.kind == wire.EXIT:
            self._status = frame.json()["status"]

    def _read_stdin(self) -> bool:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, min(self._window, wire.MAX_PAYLOAD))
        except OSError:
            data = b""
        if not data:
            self._send(wire.CLOSE, 0)
            return False
        self._window -= len(data)
        self._send(wire.DATA, 0, data)
        if os.isatty(self._stdin):
            self._deadline = None  # someone types on: the signal was meant for what they work with, not to end it all
            self._interrupts.clear()
        return True

    def _write(self, stream: int) -> None:
        """Write what surely fits (PIPE_BUF): a reader that stopped reading must not block us."""
        pending = self._out[stream]
        try:
            del pending[: os.write(self._fds[stream], pending[: select.PIPE_BUF])]
        except BlockingIOError:
            return
        except OSError:  # EPIPE: pass it to the command as a pipe would
            pending.clear()
            self._send(wire.CLOSE, stream)

    def _pass_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                rows, columns = terminal.size(*self._fds.values(), self._stdin)
                self._line.send(wire.message(wire.RESIZE, rows=rows, columns=columns))
                continue
            self._interrupts.append(number)
            self._line.send(wire.message(wire.SIGNAL, number=number))
            now = time.monotonic()
            grace_s = {1: self._grace_s, 2: min(10.0, self._grace_s)}.get(len(self._interrupts), 0.0)
            self._deadline = min(self._deadline or now + grace_s, now + grace_s)

    def _give_up(self) -> int:
        self._say("the command did not exit when interrupted; stopping the guest")
        self._line.give_up()
        return 128 + self._interrupts[-1]
