"""A stall is distinguished from a kill, from page cache that is read again, and from a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.report.summary import summarize
from emu.study.stalls import stalls
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, FakeRun


def test_a_stall_has_its_place_and_its_figures() -> None:
    """Where it began, how long, how much was read again, and how many requests were there."""
    [found] = stalls(fake_runs.study_of("stalled"))
    assert (found.container, found.attempt, found.killed) == ("queue-proxy", 0, False)
    assert found.begin_s == pytest.approx(8.0, abs=1.5) and found.end_s == pytest.approx(28.0, abs=1.5)
    assert found.refaults == pytest.approx(1_500_000, rel=0.1)
    assert found.major_faults == pytest.approx(40_000, rel=0.1)
    assert found.limit_bytes == 32 * MIB
    assert found.in_flight == pytest.approx(720, rel=0.1)


@pytest.mark.parametrize("name", sorted(set(fake_runs.ALL) - {"stalled"}))
def test_nothing_else_is_a_stall(name: str) -> None:
    """Kills, swapping, large files, refusals: none of them is one."""
    assert stalls(fake_runs.study_of(name)) == []


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
    ("major faults of something else: nothing is read again", 0, 100, 31, False),
]


@pytest.mark.parametrize(("refaults", "major", "used_mib", "is_one"), [row[1:] for row in THRASHING])
def test_given_then(refaults: int, major: int, used_mib: int, is_one: bool, tmp_path: Path) -> None:
    """Each line of the table."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("queue-proxy", memory_max=32 * MIB)
    group.values.update(anon=(used_mib - 4) * MIB, file=4 * MIB)
    run.requests(20, 2.0, 12.0, done_s=14.0, status=None, error="timeout")
    run.advance(2.0)
    run.advance(12.0, {"queue-proxy": {"refault_file": 10 * refaults, "pgmajfault": 10 * major}})
    run.advance(14.0)
    assert bool(stalls(read_study(run.finish()))) is is_one


def test_a_short_one_is_a_hiccup(tmp_path: Path) -> None:
    """Three seconds are not reported."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("queue-proxy", memory_max=32 * MIB)
    group.values.update(anon=28 * MIB, file=3 * MIB)
    run.advance(2.0)
    run.advance(5.0, {"queue-proxy": {"refault_file": 50_000, "pgmajfault": 900}})
    run.advance(14.0)
    assert stalls(read_study(run.finish())) == []


def _thrash(tmp_path: Path, *, takes_s: float, probes: list[str] | None = None, failed: int = 0) -> FakeRun:
    """Ten seconds of it, with a request each second; so many liveness probes fail."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("app", memory_max=32 * MIB, probes=probes)
    group.values.update(anon=28 * MIB, file=3 * MIB)
    run.requests(5, 0.5, 2.0, takes_s=0.02)
    run.requests(10, 2.0, 12.0, takes_s=takes_s)
    run.advance(2.0)
    for _ in range(failed):
        run.pod_event("app", "Unhealthy", "Liveness probe failed: it timed out")
    run.advance(12.0, {"app": {"refault_file": 50_000, "pgmajfault": 900}})
    run.advance(20.0)
    return run


def test_what_nobody_saw_is_no_stall(tmp_path: Path) -> None:
    """Pages are read again all the time, and each answer comes within 44 ms: reported, and not called a stall."""
    study = read_study(_thrash(tmp_path, takes_s=0.044, probes=["liveness"]).finish())
    summary = summarize(study)
    assert (summary["stalls"], [one["container"] for one in summary["thrashing"]]) == ([], ["app"])
    reported = " ".join([summary["verdict"]["headline"], *summary["verdict"]["sentences"]])
    assert "and kept working: no request was slow because of it and no probe failed" in reported
    assert "stalled" not in reported and "liveness probe or less traffic" not in reported


@pytest.mark.parametrize(
    ("probes", "failed", "words"),
    [
        ([], 0, "only a liveness probe or less traffic would end this"),
        (["liveness"], 0, "its liveness probe passed throughout"),
        (["liveness"], 3, "its liveness probe or less traffic would end this"),
    ],
)
def test_slow_answers_make_a_stall(tmp_path: Path, probes: list[str], failed: int, words: str) -> None:
    """The same faults with answers that take a hundred times as long; what would end it depends on the probes."""
    study = read_study(_thrash(tmp_path, takes_s=5.0, probes=probes, failed=failed).finish())
    [found] = stalls(study)
    assert (found.why, found.requests, found.hindered, found.failed_probes) == ("files", 10, 10, failed)
    assert words in " ".join(summarize(study)["verdict"]["sentences"])


def test_a_failed_probe_alone_makes_a_stall(tmp_path: Path) -> None:
    """Of a container that no request passes through, its probes show it."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("model", memory_max=32 * MIB)
    group.values.update(anon=28 * MIB, file=3 * MIB)
    run.advance(6.0)
    run.pod_event("model", "Unhealthy", "Readiness probe failed: it timed out")
    run.advance(12.0, {"model": {"refault_file": 50_000, "pgmajfault": 900}})
    [found] = stalls(read_study(run.finish()))
    assert (found.container, found.requests, found.failed_probes) == ("model", None, 1)


def test_swapping_back_and_forth_is_a_stall_of_its_own_kind(tmp_path: Path) -> None:
    """With an empty page cache it is anonymous memory that is brought back, and the words say so."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("app", memory_max=32 * MIB, swap_max=None)
    group.values.update(anon=31 * MIB)
    run.requests(10, 1.0, 12.0, done_s=14.0, status=None, error="timeout")
    run.advance(2.0)
    run.advance(12.0, {"app": {"refault_anon": 20_000, "pgmajfault": 20_000}})
    run.advance(14.0)
    study = read_study(run.finish())
    [found] = stalls(study)
    assert (found.why, found.swap_refaults) == ("swap", 20_000)
    assert "refaults from swap" in summarize(study)["verdict"]["headline"]


def test_one_request_among_many_that_memory_high_held_is_said(tmp_path: Path) -> None:
    """Too few for a stall; yet it is not said that no request was slow."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("app", memory_max=64 * MIB, high=48 * MIB)
    group.values.update(anon=40 * MIB)
    run.requests(9, 3.0, 12.0)
    run.requests(1, 1.0, 1.1, done_s=14.0, status=None, error="unanswered")
    run.advance(2.0, {"app": {"anon": 51 * MIB}})
    for second in range(3, 13):
        run.count("app", high=150)
        run.advance(float(second))
    run.advance(14.0)
    study = read_study(run.finish())
    assert stalls(study) == []
    said = " ".join(summarize(study)["verdict"]["sentences"])
    assert "kept working: 1 of 10 requests under way then was slow or failed" in said


def test_memory_high_makes_a_stall_too(tmp_path: Path) -> None:
    """The kernel makes tasks sleep above memory.high: neither faults nor kills, and no answer."""
    run = FakeRun(tmp_path / "run", name="made-up")
    group = run.start("app", memory_max=64 * MIB, high=48 * MIB, high_from="a formula")
    group.values.update(anon=40 * MIB)
    run.requests(1, 1.0, 1.1, done_s=14.0, status=None, error="unanswered")
    run.advance(2.0, {"app": {"anon": 51 * MIB}})
    for second in range(3, 13):
        run.count("app", high=150)
        run.advance(float(second))
    run.advance(14.0)
    study = read_study(run.finish())
    [found] = stalls(study)
    assert (found.why, found.limit_bytes) == ("memory.high", 48 * MIB)
    headline = summarize(study)["verdict"]["headline"]
    assert (
        "alive but throttled: 1,500 high events" in headline
        and "at its memory.high of 48 MiB (set by Memory QoS)" in headline
    )
