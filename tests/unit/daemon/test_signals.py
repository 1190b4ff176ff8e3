"""Signals' names: each number has words, whoever sent it."""

from __future__ import annotations

import subprocess

import pytest

from emu.daemon.signals import name_of


def test_names_are_those_of_kill() -> None:
    """The shell's list and ours agree on every signal that it knows."""
    for number in range(1, 65):
        there = subprocess.run(["bash", "-c", f"kill -l {number}"], capture_output=True, text=True, check=False)
        assert name_of(number) == (f"SIG{there.stdout.strip()}" if there.stdout.strip() else f"signal {number}")


@pytest.mark.parametrize("number", [32, 33, 0, 65, 127])
def test_a_number_without_a_name_is_said_as_it_is(number: int) -> None:
    """Libc keeps 32 and 33, and an exit status may be any number."""
    assert name_of(number) == f"signal {number}"
