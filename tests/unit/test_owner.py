"""Whose a thing is."""

from __future__ import annotations

import subprocess

import pytest

from emu.machine import owner as owners
from emu.machine.owner import lives, owner


def test_a_process_is_known_while_it_lives() -> None:
    """Ours lives; one that has ended does not, waited for or not."""
    assert lives(owner())
    with subprocess.Popen(["sleep", "infinity"]) as process:
        its = owners._of(process.pid)
        assert lives(its)
        process.kill()
        process.wait()
    assert not lives(its)


@pytest.mark.parametrize("words", ["", "1", "x:1:2", "1:0:00000000", f"{owner()}0"])
def test_words_that_name_no_process_name_nobody(words: str) -> None:
    """An empty label, another boot's, another start's."""
    assert not lives(words)
