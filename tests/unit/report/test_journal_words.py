"""The journal's own words where the kernel's counters or a kubelet's words alone would mislead."""

from __future__ import annotations

from pathlib import Path

from emu.report.journal import entries
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, FakeRun


def test_a_group_kill_says_how_many_died(tmp_path: Path) -> None:
    """`oom_kill` counts the first victim twice."""
    reported = [entry.text for entry in entries(read_study(fake_runs.group_killed(tmp_path / "run")))]
    assert "memory.events of app: oom_kill +4 for 3 processes: a group kill counts its first one twice" in reported


def test_a_restart_at_once_is_no_back_off(tmp_path: Path) -> None:
    """A kubelet waits from the second restart on."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB)
    run.exit("app", 1)
    run.back_off("app", 0, 0.0)
    run.back_off("app", 1, 10.0)
    reported = [entry.text for entry in entries(read_study(run.finish()))]
    assert "restarting failed container=app at once" in reported
    assert "back-off 10s restarting failed container=app" in reported
