"""The host's end of the serial line to a guest's agent (inside/wire.py); notices when the guest has gone."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from subprocess import Popen, TimeoutExpired

from emu.daemon.signals import name_of
from emu.machine.silence import Silence
from emu.sandbox.uml.console import GuestConsole, SandboxError
from emu.sandbox.uml.inside import wire

_END_S = 5.0


class Line:
    """Frames out, frames in, beside the console and the keeper's end; SandboxError once the guest is gone.

    `hang_s`: a guest that is `up` and silent for so long is given up; `diagnose` says what can be found out then.
    """

    def __init__(
        self,
        *,
        to_guest: int,
        from_guest: int,
        console: GuestConsole,
        keeper: Popen[bytes],
        keeper_fd: int,
        hang_s: float,
        diagnose: Callable[[], str] = lambda: "",
    ) -> None:
        self._to_guest = to_guest
        self._from_guest = from_guest
        self._console = console
        self._keeper = keeper
        self._keeper_fd = keeper_fd
        self._hang_s = hang_s
        self._diagnose = diagnose
        self._decoder = wire.Decoder()
        self._unsent = bytearray()
        self._in_flight = 0
        self._silence = Silence(time.monotonic())
        self.frames: deque[wire.Frame] = deque()
        """Frames received, without heartbeats and acknowledgements."""
        self.up = False

    def send(self, data: bytes) -> None:
        """Queue encoded frames for the guest."""
        self._unsent += data

    def turn(self, wanted: Mapping[int, int], wait_s: float, *, listen: bool = True) -> dict[int, int]:
        """Wait for something to happen, serve the guest's channels; return which of `wanted` are ready."""
        poller = select.poll()
        for fd, events in wanted.items():
            poller.register(fd, events)
        poller.register(self._console.fd, select.POLLIN)
        if listen:
            poller.register(self._from_guest, select.POLLIN)
            poller.register(self._keeper_fd, select.POLLIN)
        else:
            self._silence.broken(time.monotonic())  # we do not listen, so silence proves nothing
        if self._unsent and self._in_flight < wire.LINE_WINDOW:
            poller.register(self._to_guest, select.POLLOUT)
        ready = dict(poller.poll(wait_s * 1000))
        if self._console.fd in ready:
            self._console.read()
            if self.up and self._console.killed() is not None:
                self._gone()
        if self._to_guest in ready:
            with suppress(BlockingIOError, BrokenPipeError):
                sent = os.write(self._to_guest, self._unsent[: wire.LINE_WINDOW - self._in_flight])
                del self._unsent[:sent]
                self._in_flight += sent
        if self._from_guest in ready:
            self._read()
        elif self._keeper_fd in ready:  # and nothing more on the line
            self._gone()
        if self._silence.seconds(time.monotonic()) > self._hang_s and self.up:
            raise self.failure(
                "the guest hangs",
                f"its agent has not answered for {self._hang_s:.0f} s" + self._diagnose(),
                "run it again; if it recurs, give the guest more memory (--memory)",
            )
        return {fd: events for fd, events in ready.items() if fd in wanted}

    def _read(self) -> None:
        data = os.read(self._from_guest, 2**18)
        if not data:
            self._gone()
        self._silence.broken(time.monotonic())
        for frame in self._decoder.feed(data):
            if frame.kind == wire.RECEIVED:
                self._in_flight -= frame.json()["bytes"]
            elif frame.kind != wire.BEAT:
                self.frames.append(frame)

    def _gone(self) -> None:
        """The line is at its end, or the keeper or a process of the kernel has ended: the guest has gone, or goes."""
        if self._console.killed() is None:
            with suppress(TimeoutExpired):
                self._keeper.wait(timeout=_END_S)
            self._console.read()
        panic = self._console.panic()
        if panic is not None:
            raise self.failure("the guest's kernel panicked", panic, "run it again; report it if it recurs")
        code = self._keeper.returncode
        killed = self._console.killed()
        if killed is not None:
            why = killed
        elif code is not None and code < 0:
            why = f"the process that keeps it was ended by {name_of(-code)}"
        elif code is not None and code > 128:
            why = f"linux.uml was ended by {name_of(code - 128)}"
        else:
            why = "linux.uml was killed" if code is None else f"linux.uml ended with status {code}"
        raise self.failure(
            "the guest ended by itself",
            why,
            "run it again; if that process was not killed, this machine may be short of memory: give the guest less "
            "(sandbox.memory in a scenario, --memory of emu sandbox)",
        )

    def failure(self, what: str, why: str, fix: str, *, console: bool = True) -> SandboxError:
        """The error that ends the guest, with the end of its console."""
        return self._console.failure(what, why, fix, shown=console)

    def give_up(self) -> None:
        """End the guest at once."""
        self._keeper.terminate()
