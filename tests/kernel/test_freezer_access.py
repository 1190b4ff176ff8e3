"""Who can reach a run's freezer daemon."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from emu.helpers.freezer import RunFreezer
from emu.record.events import EventLog
from emu.record.rundir import RunDir
from emu.runtime.api import USER
from emu.spec import FreezerSpec

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]


def can_reach(folder: Path, user: int) -> bool:
    """Whether a process of that user can read the token and connect to the socket."""
    pid = os.fork()
    if pid == 0:
        reached = 1
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            for attempt in (lambda: (folder / "pod-1").read_text(), lambda: _connect(folder / "socket")):
                try:
                    attempt()
                    reached = 0
                except PermissionError:
                    continue
        finally:
            os._exit(reached)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def test_the_token_and_the_socket_are_for_queue_proxys_user_alone(tmp_path: Path) -> None:
    """Its user reaches both; another user of the machine reaches neither."""
    run = RunDir(tmp_path / "run")
    run.create()
    with RunFreezer(FreezerSpec(), run, "emu-test-access", EventLog(run.events), USER) as freezer:
        freezer.follow("pod-1")
        folder = freezer.access.folder
        assert can_reach(folder, USER)
        assert not can_reach(folder, USER + 1)
        freezer.forget("pod-1")
        assert not (folder / "pod-1").exists()
