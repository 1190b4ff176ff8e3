"""A command that a probe runs in a container is on record, with its processes and without the container's own."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.kubelet import execution
from emu.kubelet.execution import execute
from emu.record.events import CommandRan, EventLog, read_events
from emu.runtime.api import Executed
from tests.fakes import FakeEngine

DEADLINE_S = 120.0
PARENT = (
    "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
)


@contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _recorded(run: Path) -> CommandRan:
    [event] = [event for event in read_events(run) if isinstance(event, CommandRan)]
    return event


def test_the_commands_processes_are_known_from_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are new in the cgroup; one descends from the process that was there before."""
    procs, record = tmp_path / "cgroup.procs", tmp_path / "events.jsonl"
    engine = FakeEngine()
    with _process("python3", "-c", PARENT) as main, _process("sleep", "600") as command:
        assert main.stdout is not None
        child = int(main.stdout.readline())
        procs.write_text(f"{main.pid}\n")

        asked: dict[int, threading.Event] = {child: threading.Event(), command.pid: threading.Event()}
        parent = execution._parent

        def read(pid: int) -> int:
            found = parent(pid)
            if pid in asked:
                asked[pid].set()
            return found

        monkeypatch.setattr(execution, "_parent", read)

        def run(_: object) -> Executed:
            procs.write_text(f"{main.pid}\n{child}\n{command.pid}\n")
            assert all(seen.wait(DEADLINE_S) for seen in asked.values())
            return Executed(3, "")

        engine.executed = run
        log = EventLog(record)
        done = execute(engine, log, ("app", 2, "id"), tmp_path, "readiness", ["check", "it"], 5.0)
        subprocess.run(["kill", str(child)], check=True)
    event = _recorded(record)
    assert done.exit_code == event.exit_code == 3
    assert (event.container, event.attempt, event.why, event.command) == ("app", 2, "readiness", ["check", "it"])
    assert event.pids == [command.pid]
    assert event.began <= event.t


def test_a_command_that_could_not_run_is_on_record_too(tmp_path: Path) -> None:
    """Without processes and without an exit code; the error goes on to who asked."""
    engine = FakeEngine()

    def fail(_: object) -> Executed:
        raise EmuError("cannot run 'check'", "there is no such program", "")

    engine.executed = fail
    record = tmp_path / "events.jsonl"
    with pytest.raises(EmuError):
        execute(engine, EventLog(record), ("app", 0, "id"), tmp_path, "preStop", ["check"], 5.0)
    event = _recorded(record)
    assert (event.why, event.pids, event.exit_code) == ("preStop", [], None)
