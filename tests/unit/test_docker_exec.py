"""A command in a Docker container whose time is over, with an API that is slow."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import pytest

from emu.runtime.docker import Engine

DEADLINE_S = 60.0


class SlowApi:
    """An engine that starts a command only when the test says so."""

    def __init__(self) -> None:
        self.go, self.ended = threading.Event(), threading.Event()
        self._state: dict[str, Any] = {"Running": False, "Pid": 0, "ExitCode": None}

    def exec_create(self, container_id: str, command: list[str]) -> dict[str, str]:
        """The id of the command."""
        self._command = command
        return {"Id": "an-exec"}

    def exec_start(self, ident: str) -> bytes:
        """Run it to its end, once it may start."""
        assert self.go.wait(DEADLINE_S)
        process = subprocess.Popen(self._command)
        self._state = {"Running": True, "Pid": process.pid, "ExitCode": None}
        code = process.wait()
        self._state = {"Running": False, "Pid": process.pid, "ExitCode": 128 - code}
        self.ended.set()
        return b""

    def exec_inspect(self, ident: str) -> dict[str, Any]:
        """Not running, running, ended."""
        return self._state


def test_a_command_that_starts_after_its_time_is_killed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller has its answer by then; without this the command would run as long as its container."""
    engine, api = Engine(), SlowApi()
    monkeypatch.setattr(Engine, "_api", api)
    assert engine.execute("a-container", ["sleep", "1000"], 0.05).exit_code is None
    api.go.set()
    assert api.ended.wait(DEADLINE_S)
