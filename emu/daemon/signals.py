"""Names of signals. Not each number has one: real-time signals, and 32 and 33, which libc keeps for itself."""

from __future__ import annotations

from signal import SIGRTMAX, SIGRTMIN, Signals

_NAMES = {one.value: one.name for one in Signals}


def name_of(number: int) -> str:
    """As `kill -l` prints it: `SIGKILL`, `SIGRTMIN+3`; "signal 32" where there is no name."""
    if number not in _NAMES and SIGRTMIN < number < SIGRTMAX:
        middle = (SIGRTMIN + SIGRTMAX) // 2
        return f"SIGRTMIN+{number - SIGRTMIN}" if number <= middle else f"SIGRTMAX-{SIGRTMAX - number}"
    return _NAMES.get(number, f"signal {number}")
