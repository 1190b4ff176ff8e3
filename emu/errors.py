"""Errors that a person can act on: what is wrong, why, and how to fix it.

Only `emu.cli` prints and exits; everything else raises.
"""

from __future__ import annotations

EXIT_OK = 0
"""What the scenario expects came true."""
EXIT_UNMET = 1
"""The run ended, and an expectation did not come true."""
EXIT_BAD_INPUT = 2
"""Bad input, an unmet requirement, or an unforeseen error: nothing was started, or the run could not go on; then the
record says why.
"""
EXIT_READER_GONE = 141
"""Whoever read standard output went away, as a shell reports a process that SIGPIPE ended."""
EXIT_NOT_RECORDED = 74
"""Of a run's helper process: its part of the record could not be written, and it has said why."""
EXIT_INTERRUPTED = 130
"""Interrupted by a signal, after cleaning up."""


class EmuError(Exception):
    """Something the user can mend. `what` is one line, `why` names the cause, `fix` the next step to take.

    `exit_status` is what `emu` ends with when this error reaches it (2 unless a subclass says otherwise).
    """

    exit_status = EXIT_BAD_INPUT

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}"
