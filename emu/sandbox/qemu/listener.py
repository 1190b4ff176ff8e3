"""Listens to a systemd guest's serial ports until the guest reports its job's exit status."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from emu.errors import EmuError
from emu.sandbox.qemu.watch import Watch

EXIT_SANDBOX = 125
"""What a run ends with when the guest itself failed, as against the command in it (as `docker run` does)."""
PORTS = ("emu.out", "emu.err", "emu.status")
"""The guest's serial ports: the job's standard output, its standard error, and how far the guest is."""
_CONSOLE_LINES = 30
_QUIET_S = 0.2


CONTROL = "emu.control"
"""The port by which signals reach the job."""


class GuestError(EmuError):
    """The guest itself failed: it did not come up, it panicked, or its command overran its time."""

    exit_status = EXIT_SANDBOX
    cause = ""
    """`why` without the end of the guest's console."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `ready_s`: from QEMU's start until Docker was up and the job began; `job_s`: its own time."""

    status: int
    ready_s: float
    job_s: float


class Listener:
    """Hears one guest's serial ports: its job's output goes to ours, its status lines show how far it is."""

    def __init__(
        self,
        qemu: subprocess.Popen[bytes],
        ports: Mapping[str, socket.socket],
        boot_deadline_s: float,
        timeout_s: float | None,
        scratch: Path,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._qemu = qemu
        self._ports = ports
        self._boot_deadline_s = boot_deadline_s
        self._timeout_s = timeout_s
        self._scratch = scratch
        self._began = time.monotonic()
        self._ready_s: float | None = None
        self._status: int | None = None
        self._line = b""

    def serve(self) -> Outcome:
        """Wait until the guest has reported its job's status. GuestError if it fails, or is late."""
        with selectors.DefaultSelector() as selector:
            for name, port in self._ports.items():
                selector.register(port, selectors.EVENT_READ, name)
            if self._watch is not None:
                selector.register(self._watch.signals, selectors.EVENT_READ, CONTROL)
            while self._status is None:
                heard = selector.select(min(1.0, max(0.0, self._deadline() - time.monotonic())))
                for key, _events in heard:
                    self._hear(selector, key)
                if self._watch is not None and self._watch.given_up():
                    return Outcome(self._watch.status, ready_s=self._ready_s or 0.0, job_s=0.0)
                if self._status is None and not heard:
                    self._check()
            job_s = time.monotonic() - self._began - (self._ready_s or 0.0)
            while heard := [(key, events) for key, events in selector.select(_QUIET_S) if key.data in PORTS[:2]]:
                for key, _events in heard:  # ports are separate queues: the status may overtake the last output
                    self._hear(selector, key)
        return Outcome(self._status, ready_s=self._ready_s or 0.0, job_s=job_s)

    def _deadline(self) -> float:
        if self._ready_s is None:
            return self._began + self._boot_deadline_s
        return float("inf") if self._timeout_s is None else self._began + self._ready_s + self._timeout_s

    def _hear(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        if key.data == CONTROL:
            assert self._watch is not None
            self._watch.heed(running=self._ready_s is not None)
            return
        if self._watch is not None:
            self._watch.spoke()
        try:
            data = os.read(key.fd, 65536)
        except ConnectionResetError:
            data = b""
        if not data:
            selector.unregister(key.fileobj)
            if key.data == "emu.status":
                self._check(gone=True)
        elif key.data == "emu.status":
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                self._obey(line.decode(errors="replace"))
        else:
            _write_all(1 if key.data == "emu.out" else 2, data)

    def _obey(self, line: str) -> None:
        _uptime, _, rest = line.partition(" ")
        word, _, value = rest.partition(" ")
        if word == "ready":
            self._ready_s = time.monotonic() - self._began
            if self._watch is not None:
                self._watch.on_ready(value, self._ready_s)
        elif word == "exit":
            self._status = int(value)
        else:
            self._fail(f"{value or word} failed in it", "look at what the guest said, above")

    def _check(self, *, gone: bool = False) -> None:
        if gone or self._qemu.poll() is not None:
            self._qemu.wait(10)
            self._fail(
                f"QEMU ended by itself (status {self._qemu.returncode})", "look at the end of its console, above"
            )
        if self._ready_s is not None and self._watch is not None and self._watch.stalled():
            self._fail(
                "its run makes no progress, though it runs",
                "run it again; report it if it recurs, with the run directory",
            )
        if time.monotonic() < self._deadline():
            return
        if self._ready_s is None:
            fix = "allow more: --boot-deadline" if self._watch is None else "try again when the machine is less busy"
            self._fail(f"it had not booted after {self._boot_deadline_s:.0f} s", fix)
        self._fail(f"its command had not ended after {self._timeout_s:.0f} s", "allow more: --timeout")

    def _fail(self, why: str, fix: str) -> NoReturn:
        said = []
        for name in ("qemu.log", "console.log"):
            path = self._scratch / name
            said += path.read_text(errors="replace").splitlines() if path.exists() else []
        panics = [line.partition("not syncing: ")[2] for line in said if "Kernel panic" in line]
        if panics:
            why = f"its kernel panicked: {panics[0]}"
        tail = [f"    {line}" for line in said[-_CONSOLE_LINES:]]
        failure = GuestError("the virtual machine failed", "\n".join([f"{why}; its console ended:", *tail]), fix)
        failure.cause = why
        raise failure


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
