"""A stall is told from a kill, from page cache that is read again, and from a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.report.stalls import stalls
from emu.report.study import read_study
from tests import fake_runs
from tests.fakes import MIB, FakeRun


def test_a_stall_has_its_place_and_its_figures(tmp_path: Path) -> None:
    """Where it began, how long, how much was read again, and how many requests were there."""
    [found] = stalls(read_study(fake_runs.ALL["stalled"](tmp_path / "run")))
    assert (found.container, found.attempt, found.killed) == ("queue-proxy", 0, False)
    assert found.begin_s == pytest.approx(8.0, abs=1.5) and found.end_s == pytest.approx(28.0, abs=1.5)
    assert found.refaults == pytest.approx(1_500_000, rel=0.1)
    assert found.major_faults == pytest.approx(40_000, rel=0.1)
    assert found.limit_bytes == 32 * MIB
    assert found.in_flight == pytest.approx(720, rel=0.1)


@pytest.mark.parametrize("name", sorted(set(fake_runs.ALL) - {"stalled"}))
def test_nothing_else_is_a_stall(name: str, tmp_path: Path) -> None:
    """Kills, swapping, large files, refusals: none of them is one."""
    assert stalls(read_study(fake_runs.ALL[name](tmp_path / "run"))) == []


@pytest.mark.parametrize(("backlog", "inside"), [(None, None), (300, 420)])
def test_what_is_not_accepted_yet_is_not_inside(tmp_path: Path, backlog: int | None, inside: int | None) -> None:
    """Connections that wait in the kernel's accept queue are in flight for their clients only."""
    run = FakeRun(tmp_path / "run", name="made-up")
    run.backlog = backlog
    group = run.start("queue-proxy", memory_max=32 * MIB)
    group.values.update(anon=28 * MIB, file=3 * MIB)
    run.requests(720, 0.5, 2.0, done_s=14.0, status=None, error="unanswered")
    run.advance(2.0)
    run.advance(12.0, {"queue-proxy": {"refault_file": 50_000, "pgmajfault": 900}})
    run.advance(14.0)
    [found] = stalls(read_study(run.finish()))
    assert found.inside == inside


# what is thrashing, by how much rises each second for ten, and at what share of the limit
THRASHING = [
    ("both, at the limit", 5000, 100, 31, True),
    ("the same on a slow disk", 700, 10, 31, True),
    ("a file that is read(): no major faults", 5000, 1, 31, False),
    ("few refaults", 100, 100, 31, False),
    ("a start, far below the limit", 5000, 100, 16, False),
]


@pytest.mark.parametrize(("refaults", "major", "used_mib", "is_one"), [row[1:] for row in THRASHING])
def test_given_then(refaults: int, major: int, used_mib: int, is_one: bool, tmp_path: Path) -> None:
    """Each line of the table."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("queue-proxy", memory_max=32 * MIB)
    group.values.update(anon=(used_mib - 4) * MIB, file=4 * MIB)
    run.advance(2.0)
    run.advance(12.0, {"queue-proxy": {"refault_file": 10 * refaults, "pgmajfault": 10 * major}})
    run.advance(14.0)
    assert bool(stalls(read_study(run.finish()))) is is_one


def test_a_short_one_is_a_hiccup(tmp_path: Path) -> None:
    """Three seconds are not told of."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("queue-proxy", memory_max=32 * MIB)
    group.values.update(anon=28 * MIB, file=3 * MIB)
    run.advance(2.0)
    run.advance(5.0, {"queue-proxy": {"refault_file": 50_000, "pgmajfault": 900}})
    run.advance(14.0)
    assert stalls(read_study(run.finish())) == []
