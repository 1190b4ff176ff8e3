"""Errors that a person can act on: what is wrong, why, and how to fix it.

Only `emu.cli.main` prints and exits; everything else raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MOST_ERRORS = 50
"""So many are printed at once."""
EXIT_OK = 0
"""What the scenario expects came true."""
EXIT_UNMET = 1
"""The run ended, and an expectation did not come true."""
EXIT_BAD_INPUT = 2
"""Bad input, an unmet requirement, or an unforeseen error: nothing was started, or the run could not continue;
then the record says why.
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


class SeveralErrors(EmuError):  # noqa: N818  it is several
    """Several at once, each with its own way out; as an error it is the first of them."""

    def __init__(self, errors: Sequence[EmuError]) -> None:
        first = errors[0]
        super().__init__(first.what, first.why, first.fix)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        shown = [str(error) for error in self.errors[:MOST_ERRORS]]
        rest = len(self.errors) - len(shown)
        return "\n".join([f"{len(self.errors)} problems", *shown, *([f"and {rest} more"] if rest else [])])


def raise_all(errors: Iterable[EmuError]) -> None:
    """Raise what was found, each error once; do nothing if there is none."""
    found = list({str(error): error for error in errors}.values())
    if len(found) > 1:
        raise SeveralErrors(found)
    for error in found:
        raise error
