"""Processes that outlive their emu: which those are, and that `emu clean` ends them, stopped ones too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from emu.errors import EmuError
from emu.machine import command
from emu.machine.orphans import VARIABLE, end_orphans
from emu.machine.owner import owner
from emu.machine.proc import stat

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)",
]
MAKES_ONE = """
import subprocess, sys
from emu.machine import command
print(command.spawn(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""
Starting = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Starting]:
    """Start a process with a mark of somebody; it is ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(words: list[str], whose: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, VARIABLE: whose}
        started.append(subprocess.Popen(words, env=env, stdout=subprocess.PIPE, start_new_session=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def gone() -> str:
    """The owner that a process was which has ended."""
    words = [sys.executable, "-c", "from emu.machine.owner import owner; print(owner())"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_who_outlives_its_emu_is_ended() -> None:
    """One that was stopped, and so does not see that its emu is gone."""
    words = [sys.executable, "-c", MAKES_ONE, *SLEEPS]
    pid = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    os.kill(pid, signal.SIGSTOP)
    (name,) = end_orphans([pid])
    assert name.startswith(f"{pid} (")
    assert stat(pid) is None


def test_one_that_does_not_obey_is_killed(start: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time to end in order."""
    monkeypatch.setattr("emu.machine.orphans._END_S", 0.2)
    deaf = start(DEAF, gone())
    assert deaf.stdout is not None
    deaf.stdout.readline()  # from now on it is
    list(end_orphans([deaf.pid]))
    assert deaf.wait(120) == -signal.SIGKILL


@pytest.mark.parametrize(
    "whose",
    [
        "",
        "nonsense",
        "1:2:3",
        "x:y:z:0",
        f"4194304:{2**60}:{owner().split(':')[2]}:4026531836",  # it would have been started by what came later
        "4194304:1:abcdef12:4026531836",  # of a container with a boot id of its own, where it may live
        f"{'9' * 5000}:{'9' * 5000}:{owner().split(':')[2]}:0",
    ],
)
def test_what_names_no_emu_that_was_there_is_left_alone(start: Starting, whose: str) -> None:
    """Whatever somebody's shell has in its environment."""
    other = start(SLEEPS, whose)
    assert list(end_orphans([other.pid])) == []
    assert other.poll() is None


def test_an_emu_that_comes_from_what_a_dead_one_started_is_left_alone(start: Starting) -> None:
    """With all that it has started: it lives."""
    words = [sys.executable, "-c", f"{MAKES_ONE}\nsys.stdout.flush()\nimport time; time.sleep(600)", *SLEEPS]
    emu = start(words, gone())
    assert emu.stdout is not None
    child = int(emu.stdout.readline())
    try:
        assert list(end_orphans([emu.pid, child])) == []
        assert emu.poll() is None and stat(child) is not None
    finally:
        os.kill(child, signal.SIGKILL)


def test_nothing_is_ended_by_the_pids_of_another_namespace(start: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc shows those (`unshare --pid --fork`), a pid that is found there is somebody else's here."""
    orphan = start(SLEEPS, gone())
    with monkeypatch.context() as patched:
        patched.setattr("os.getpid", lambda: 1)
        assert list(end_orphans([orphan.pid])) == []
    assert orphan.poll() is None


def test_one_that_cannot_be_ended_is_reported(start: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what `emu clean` could not remove; those that did end are named all the same."""
    monkeypatch.setattr("emu.machine.orphans._END_S", 0.1)
    monkeypatch.setattr("emu.machine.orphans.pidfd_send_signal", not_allowed)
    orphan = start(SLEEPS, gone())
    with pytest.raises(EmuError, match=rf"cannot end process {orphan.pid} \("):
        list(end_orphans([orphan.pid]))


def not_allowed(_fd: int, _number: int) -> None:
    """As for a set-user-ID program."""
    raise PermissionError


def test_a_living_emu_s_are_left_alone_and_so_is_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process that emu starts has its mark."""
    words = f"import os, time; print(os.environ['{VARIABLE}'], flush=True); time.sleep(600)"
    mine = command.spawn([sys.executable, "-c", words], stdout=subprocess.PIPE)
    try:
        assert mine.stdout is not None
        assert mine.stdout.readline().decode().strip() == owner()
        assert list(end_orphans([mine.pid])) == []
        monkeypatch.setattr("emu.machine.orphans._is_orphan", lambda _pid: True)
        assert list(end_orphans([os.getpid(), os.getppid()])) == []
        assert mine.poll() is None
    finally:
        mine.kill()
        mine.communicate()
