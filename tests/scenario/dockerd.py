"""The engine of the sandbox's kernel, to be stopped and started again in the middle of a run. Never a host's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from emu.machine.proc import fields, start_time
from emu.run.machine import where
from emu.runtime.docker import Engine
from tests.scenario.support import eventually

_PID = Path("/run/emu/dockerd.pid")
_CONFIG = Path("/run/emu/daemon.json")
_BACK_S = 240.0


class Dockerd:
    """The daemon, as our kernel's first process started it."""

    def __init__(self) -> None:
        self.pid = int(_PID.read_text())
        self._argv = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode().split("\0")[:-1]

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return start_time(self.pid) is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def await_end(self) -> None:
        """Return when its process ID is free. One that we started is a zombie until we wait for it, and a dockerd
        that starts takes the PID in a pid file for a running daemon as long as /proc has it.
        """
        for _ in eventually(_BACK_S):
            with suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            if fields(self.pid) is None:
                return
        raise AssertionError("it did not end")

    def begin(self) -> None:
        """Start it again; it takes a while until it answers."""
        self.await_end()
        with Path("/run/emu/dockerd.log").open("ab") as log:
            process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self.pid = process.pid
        _PID.write_text(f"{self.pid}\n")

    def await_answer(self) -> None:
        """Return when it answers."""
        assert Engine().await_back(_BACK_S), Path("/run/emu/dockerd.log").read_text()[-4000:]

    @contextmanager
    def live_restore(self) -> Iterator[None]:
        """Containers go on while it is away, as long as this lasts."""
        before = _CONFIG.read_text()
        try:
            _CONFIG.write_text(json.dumps({**json.loads(before), "live-restore": True}))
            self.signal(signal.SIGHUP)
            yield
        finally:
            _CONFIG.write_text(before)
            self.signal(signal.SIGHUP)


@contextmanager
def the_engine() -> Iterator[Dockerd]:
    """The engine of this kernel; it answers again at the end. Skipped where it is not ours to stop."""
    if where() != "sandbox:uml":
        pytest.skip("it stops the engine, so it runs in the sandbox's kernel only: EMU_ON=sandbox make test-faults")
    daemon = Dockerd()
    try:
        yield daemon
    finally:
        if not daemon.lives:
            daemon.begin()
        daemon.await_answer()
