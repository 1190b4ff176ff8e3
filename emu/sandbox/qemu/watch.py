"""What a listener watches besides its guest: signals for the job in it, and whether the run makes progress."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from emu.machine.silence import Silence

_GRACES_S = (120.0, 10.0, 0.0)
"""How long the job has to end after the first signal, the second and the third: an emulated machine is slow."""


class Watch:
    """`signals` is a descriptor that gives the number of each signal as a byte (terminal.caught_signals); `control`
    reaches the guest. A run is stalled that has said nothing for `quiet_s`, and whose `pulse` is what it was then.
    """

    def __init__(
        self,
        control: socket.socket,
        signals: int,
        *,
        on_ready: Callable[[str, float], None],
        pulse: Callable[[], object],
        quiet_s: float,
    ) -> None:
        self.signals = signals
        self.on_ready = on_ready
        self._control = control
        self._pulse = pulse
        self._quiet_s = quiet_s
        self._silence, self._felt = Silence(time.monotonic()), pulse()
        self._passed: list[int] = []
        self._deadline = float("inf")

    @property
    def status(self) -> int:
        """What a command ends with that the last signal ended."""
        return 128 + self._passed[-1]

    def spoke(self) -> None:
        """The guest said something."""
        self._silence.broken(time.monotonic())

    def heed(self, *, running: bool) -> None:
        """A signal is there. The job gets each as a SIGTERM, since a shell has its background jobs ignore SIGINT;
        where none is running yet, KeyboardInterrupt is raised.
        """
        for number in os.read(self.signals, 64):
            if number == signal.SIGWINCH:
                continue
            if not running:
                raise KeyboardInterrupt
            self._passed.append(number)
            with suppress(OSError):
                self._control.sendall(b"TERM\n")
            grace_s = _GRACES_S[min(len(self._passed), len(_GRACES_S)) - 1]
            self._deadline = min(self._deadline, time.monotonic() + grace_s)

    def given_up(self) -> bool:
        """Whether a job that was to end has had its time."""
        return time.monotonic() >= self._deadline

    def stalled(self) -> bool:
        """Whether nothing was heard of the run for too long."""
        if self._silence.seconds(time.monotonic()) < self._quiet_s:
            return False
        before, self._felt = self._felt, self._pulse()
        self._silence.broken(time.monotonic())
        return self._felt == before
