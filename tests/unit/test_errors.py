"""Errors say what, why and how to fix."""

from __future__ import annotations

from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNMET, EmuError


def test_an_error_prints_what_why_and_fix_each_on_its_line() -> None:
    """What went wrong comes first; the cause and the next step follow, indented."""
    error = EmuError("cannot start the pod", "there is no Docker", "install Docker")
    assert str(error) == "cannot start the pod\n  why: there is no Docker\n  fix: install Docker"


def test_an_error_ends_emu_as_bad_input_unless_its_class_says_otherwise() -> None:
    """Exit statuses are a contract with scripts."""

    class StoppedError(EmuError):
        exit_status = EXIT_INTERRUPTED

    assert EmuError("a", "b", "c").exit_status == EXIT_BAD_INPUT
    assert StoppedError("a", "b", "c").exit_status == EXIT_INTERRUPTED


def test_exit_statuses_are_those_of_the_contract() -> None:
    """0 met, 1 not met, 2 bad input or unmet requirement, 130 interrupted."""
    assert (EXIT_OK, EXIT_UNMET, EXIT_BAD_INPUT, EXIT_INTERRUPTED) == (0, 1, 2, 130)
