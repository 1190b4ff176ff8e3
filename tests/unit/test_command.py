"""Commands that fail: one error with their own words in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.machine import command


def test_a_long_command_does_not_hide_what_it_said() -> None:
    """Its beginning names it."""
    with pytest.raises(EmuError, match="cannot do it") as caught:
        command.run(
            ["sh", "-c", f"echo no space >&2; exit 3 # {'x' * 500}"], what="cannot do it", fix="f", timeout_s=60
        )
    assert caught.value.why.startswith("'sh -c echo no space")
    assert caught.value.why.endswith("… ended with status 3: no space")
    assert len(caught.value.why) < 120


def test_a_program_that_cannot_be_started_is_one_error(tmp_path: Path) -> None:
    """It is there, and may not be executed, or is no program."""
    (tmp_path / "program").touch(mode=0o644)
    with pytest.raises(EmuError, match="cannot do it") as caught:
        command.run([str(tmp_path / "program")], what="cannot do it", fix="f")
    assert caught.value.why.endswith("cannot be started: Permission denied")


def test_variables_that_the_kernel_does_not_take_are_an_error_with_a_way_out() -> None:
    """As of a container whose envFrom has a file's worth of text among its keys."""
    with pytest.raises(EmuError) as refused:
        command.spawn(["true"], env={"FILE": "x" * (128 << 10)})
    assert "128 KiB" in refused.value.why
    assert "volume" in refused.value.fix
