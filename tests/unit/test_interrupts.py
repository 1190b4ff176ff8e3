"""Signals while a run waits: noted at once, acted on at its next look, and never the end of a wait's bound."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from emu.helpers.helper import Helper
from emu.kubelet.node import Node
from emu.record.events import EventLog, now
from emu.record.rundir import RunDir
from emu.run.interrupts import Interrupts
from tests.fakes import FakeEngine

WAIT_S = 0.1
GUARD_S = 120.0


@pytest.fixture
def late_signal() -> Iterator[Callable[[], None]]:
    """Arms a signal that comes during a wait of WAIT_S, and whose handler returns after the wait's end."""

    def handler(number: int, frame: FrameType | None) -> None:
        end = now() + 2 * WAIT_S
        while now() < end:
            time.sleep(0.01)

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, WAIT_S / 2)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_turn_ends_although_a_signal_is_handled_beyond_its_wait(
    tmp_path: Path, late_signal: Callable[[], None]
) -> None:
    """Nothing else happens in the run, so nothing else would end the turn."""
    run = RunDir(tmp_path)
    with Node(FakeEngine(), EventLog(run.events), run, "a-run") as node:
        guard = threading.Timer(GUARD_S, node.wake)
        guard.start()
        late_signal()
        node.turn(WAIT_S)
        assert guard.is_alive(), "the turn waited until something else ended it"
        guard.cancel()


def test_a_wait_for_a_line_ends_although_a_signal_is_handled_beyond_it(
    tmp_path: Path, late_signal: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that says nothing holds nobody up longer than was asked."""
    (tmp_path / "silent_helper.py").write_text("import sys\nsys.stdin.read()\nprint('over', flush=True)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    helper = Helper("the silent one", tmp_path / "silent.err")
    helper.start("silent_helper", [])
    guard = threading.Timer(GUARD_S, helper.end)
    guard.start()
    late_signal()
    assert helper.line(WAIT_S) == b""
    assert guard.is_alive(), "the wait lasted until the helper was ended"
    guard.cancel()
    helper.end()


def test_an_interrupt_is_held_back_until_it_is_looked_for() -> None:
    """The handler only takes a note; `check` raises once, so that what is undone then is not interrupted again."""
    with Interrupts() as interrupts:
        assert not interrupts.asked
        signal.raise_signal(signal.SIGINT)
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()
        assert not interrupts.asked
