"""Ctrl-C, SIGTERM and a terminal that is closed, taken note of at once and acted on where nothing is half made.

An exception out of a signal handler can come between starting a process and noting that it must be ended. Here the
handler only takes a note; whoever builds or waits asks `check` at moments when leaving loses nothing.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """A context manager that holds interrupts back until `check`; the handlers of before come back at its end."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:  # nohup
                continue
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """One came, and was not acted on yet."""
        return self._asked

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was asked for; once, so that cleaning up is not interrupted again."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
