"""What a run shows where standard output is no terminal: a log that reads well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emu.run.screen import MemoryNow, Now, Screen

APP = MemoryNow("app", "ready", 20 << 20, 0, 0, 0, 0, 0, 24 << 20, 64 << 20, 0)
MOMENT = Now(elapsed_s=3.0, phase="load", ready="2/2", status="Running", restarts=0, age_s=3.0, memory=(APP,))


def test_a_line_where_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """The phase, the pod's status, a restart, a kill; figures that only grow are no news."""
    screen = Screen()
    moments = [
        MOMENT,
        replace(MOMENT, elapsed_s=4.0, sent=10),
        replace(MOMENT, elapsed_s=5.0, memory=(replace(APP, oom_kills=1),)),
        replace(MOMENT, elapsed_s=6.0, memory=(replace(APP, oom_kills=1, current=1 << 20),)),
        replace(MOMENT, elapsed_s=7.0, memory=(replace(APP, oom_kills=1),), restarts=1),
        replace(MOMENT, elapsed_s=8.0, phase="rest", memory=(replace(APP, oom_kills=1),), restarts=1),
    ]
    for moment in moments:
        screen.show(moment)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["3.0", "5.0", "7.0", "8.0"]
    assert "1 OOM-killed" in lines[1] and "1 restart" in lines[2] and "rest: 2/2 Running" in lines[3]
    assert max(len(line) for line in lines) < 120


def test_steps_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, when it begins."""
    with Screen() as screen:
        screen.step("starting the pod")
        screen.done("ready")
    assert capsys.readouterr().out == "· starting the pod\n· ready\n"
