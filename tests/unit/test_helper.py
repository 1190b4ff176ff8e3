"""A run's own processes: started, written to, read, ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.helpers import helper
from emu.helpers.helper import Helper

ECHO = """
import sys
print("up", flush=True)
for line in sys.stdin:
    print("heard", line, end="", flush=True)
    if line == "end\\n":
        sys.exit(3)
    if line == "complain\\n":
        print("no such thing", file=sys.stderr)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
PATIENCE_S = 120.0


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Helper]:
    """One that repeats each line that it reads."""
    for name, source in (("echo_helper", ECHO), ("deaf_helper", DEAF)):
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one = Helper("the echo", tmp_path / "echo.err")
    yield one
    one.end()


def test_it_hears_and_speaks_line_by_line(echo: Helper) -> None:
    """Lines come in order, and the end of its standard input is its end."""
    echo.start("echo_helper", [])
    assert echo.line(PATIENCE_S) == b"up\n"
    echo.send("one\n")
    echo.send("two\n")
    assert [echo.line(PATIENCE_S), echo.line(PATIENCE_S)] == [b"heard one\n", b"heard two\n"]
    assert echo.status is None
    echo.end()
    assert echo.status == 0


def test_the_end_of_one_that_waits_for_it_is_heard_at_once(echo: Helper) -> None:
    """Who waits for a line of a process that has ended gets an empty one, and waits no longer."""
    echo.start("echo_helper", [])
    echo.line(PATIENCE_S)
    echo.send("end\n")
    assert list(iter(lambda: echo.line(PATIENCE_S), b"")) == [b"heard end\n"]


def test_one_that_ended_is_not_signalled_and_is_started_again(echo: Helper) -> None:
    """Its status says that it has ended; the note for the record says so in words; another start is a new one."""
    echo.start("echo_helper", [])
    echo.send("end\n")
    while echo.status is None:
        echo.line(0.01)
    echo.send("lost\n")
    note = echo.ended_early("it was started again")
    assert (note.what, note.why) == (
        "the echo exited before the end of the run",
        "its process ended with status 3; it was started again",
    )
    echo.end()
    echo.send("lost too\n")
    echo.start("echo_helper", [])
    assert echo.line(PATIENCE_S) == b"up\n"


def test_the_error_of_one_that_did_not_start_has_its_last_words(echo: Helper) -> None:
    """From its standard error."""
    echo.start("no_such_helper", [])
    assert echo.line(PATIENCE_S) == b""
    echo.end()
    error = echo.not_started()
    assert error.what == "the echo did not start"
    assert "No module named no_such_helper" in error.why


def test_one_that_was_killed_is_no_bug(echo: Helper) -> None:
    """Neither before it said anything, nor later: the signal is named."""
    echo.start("deaf_helper", [])
    assert echo.line(PATIENCE_S) == b"up\n"
    assert echo.pid is not None
    os.kill(echo.pid, signal.SIGKILL)
    error = echo.not_started()
    assert error.why == "its process was ended by SIGKILL"
    assert "bug" not in error.fix
    assert echo.ended_early("so it is").why == "its process was ended by SIGKILL; so it is"


def test_one_that_does_not_end_is_killed(echo: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is deaf to the end of its input and to SIGTERM."""
    monkeypatch.setattr(helper, "END_S", 0.2)
    echo.start("deaf_helper", [])
    assert echo.line(PATIENCE_S) == b"up\n"
    echo.end(terminate=True)
    assert echo.status == -signal.SIGKILL


def test_it_has_a_session_of_its_own(echo: Helper) -> None:
    """So Ctrl-C reaches the run alone, which ends it in order."""
    echo.start("echo_helper", [])
    echo.line(PATIENCE_S)
    assert echo.pid is not None
    assert os.getsid(echo.pid) == echo.pid
