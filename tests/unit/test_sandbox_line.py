"""The host's end of the line to a guest: when it is given up, and when not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from emu.machine.silence import MOST_S
from emu.sandbox.uml import line as lines
from emu.sandbox.uml.console import GuestConsole, SandboxError
from emu.sandbox.uml.line import Line

HANG_S = 30.0


class Clock:
    """CLOCK_MONOTONIC as this process sees it, which can be stopped for a while."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        """Now."""
        return time.monotonic() + self.ahead_s


@pytest.fixture
def silent() -> Iterator[Line]:
    """A line to a guest that is up and says nothing."""
    keeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pipes = [os.pipe() for _ in range(3)]
    (_, to_guest), (from_guest, _), (console, _) = pipes
    for fd in (to_guest, from_guest, console):
        os.set_blocking(fd, False)
    keeper_fd = os.pidfd_open(keeper.pid)
    line = Line(
        to_guest=to_guest,
        from_guest=from_guest,
        console=GuestConsole(console, None),
        keeper=keeper,
        keeper_fd=keeper_fd,
        hang_s=HANG_S,
    )
    line.up = True
    yield line
    keeper.kill()
    keeper.wait()
    for fd in (keeper_fd, *(fd for pipe in pipes for fd in pipe)):
        os.close(fd)


def test_who_was_stopped_together_with_its_guest_does_not_give_it_up(
    silent: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour in which nobody listened is no silence; from then on it counts."""
    clock = Clock()
    monkeypatch.setattr(lines, "time", clock)
    silent.turn({}, 0.0)
    clock.ahead_s += 3600.0
    silent.turn({}, 0.0)
    with pytest.raises(SandboxError, match="the guest hangs"):
        for _ in range(round(HANG_S / MOST_S) + 1):
            clock.ahead_s += MOST_S
            silent.turn({}, 0.0)
