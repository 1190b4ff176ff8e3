"""How long somebody has been silent, of the time in which we listened.

A process that is stopped (SIGSTOP, Ctrl-Z) or whose machine is paused hears nothing meanwhile, and whoever it listens
to was perhaps stopped with it: that time proves nothing. Standard library only.
"""

from __future__ import annotations

MOST_S = 5.0
"""Between two looks at most so much counts: whoever listens looks about once a second."""


class Silence:
    """Of one that is listened to. Times are CLOCK_MONOTONIC in seconds."""

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self._silent_s = 0.0

    def broken(self, now: float) -> None:
        """It said something."""
        self._looked_at, self._silent_s = now, 0.0

    def seconds(self, now: float) -> float:
        """How long it has been silent, by another look."""
        self._silent_s += min(now - self._looked_at, MOST_S)
        self._looked_at = now
        return self._silent_s
