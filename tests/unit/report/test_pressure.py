"""Reclaim, refaults and pressure over time: panels of the picture, or what is said in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.record.rundir import RunDir
from emu.report.finish import look
from emu.report.page.canvas import Figure
from emu.report.page.figures import run_figure
from emu.study.study import read_study
from tests.fakes import PAGE, FakeRun

SECONDS = 10.0


def drawn(run: RunDir) -> Figure:
    """The run's picture."""
    return run_figure(read_study(run), look(run).summary)


def sums(figure: Figure, kind: str) -> dict[str, float]:
    """By name: the mean of each curve times the time that it covers."""
    found = {}
    for trace in figure.data:
        if (trace.get("meta") or {}).get("kind") == kind:
            steps = zip(trace["x"], trace["x"][1:], trace["y"], strict=False)
            found[trace["meta"]["of"]] = sum((end - begin) * value for begin, end, value in steps)
    return found


def titles(figure: Figure) -> list[str]:
    """The panels."""
    return [panel["label"] for panel in figure.layout["meta"]["panels"]]


def test_refaults_are_drawn_in_bytes(tmp_path: Path) -> None:
    """The area under each curve is what the counter rose by, in bytes."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    run.advance(3.0, {"app": {"refault_file": 1000, "refault_anon": 250}})
    run.advance(SECONDS)
    figure = drawn(run.finish())
    assert any(title.startswith("reclaim from the pod, and refaults") for title in titles(figure))
    found = sums(figure, "reclaim")
    assert set(found) == {"page cache read again", "brought back from swap"}
    mib = 2**20
    assert found["page cache read again"] * mib == pytest.approx(1000 * PAGE)
    assert found["brought back from swap"] * mib == pytest.approx(250 * PAGE)


def test_where_nothing_was_reclaimed_the_page_says_so(tmp_path: Path) -> None:
    """And has no panel of it."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(2.0)
    figure = drawn(run.finish())
    assert not [title for title in titles(figure) if title.startswith("reclaim")]
    assert [said for said in figure.missing if "Nothing was reclaimed" in said]


def test_pressure_is_the_share_of_time_that_tasks_waited(tmp_path: Path) -> None:
    """Two seconds of waiting for a device in a second's half, in percent."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    run.advance(5.0, {"app": {"io_full_usec": 2e6}})
    run.advance(SECONDS)
    figure = drawn(run.finish())
    assert any(title.startswith("pressure (PSI) of the pod") for title in titles(figure))
    found = sums(figure, "pressure")
    assert set(found) == {"io, some tasks", "io, all tasks"}
    assert found["io, all tasks"] == pytest.approx(2 * 100, rel=1e-3)


def test_a_kernel_without_pressure_is_named(tmp_path: Path) -> None:
    """Absent is not zero: the page says that this kernel has none, and draws no line at 0."""
    run = FakeRun(tmp_path / "run", psi=False)
    run.start("app")
    run.advance(2.0)
    figure = drawn(run.finish())
    assert "Pressure (PSI) is absent on this kernel." in figure.missing
    assert not sums(figure, "pressure")
    other = FakeRun(tmp_path / "other")
    other.start("app")
    other.advance(2.0)
    said = drawn(other.finish()).missing
    assert [one for one in said if one.startswith("No task waited")] and "absent" not in " ".join(said)


def test_the_panels_of_a_run_stand_in_order(tmp_path: Path) -> None:
    """Memory, then cpu, reclaim, io and pressure."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(3.0, {"app": {"cpu_usec": 1e6, "refault_file": 1000, "read": 4096000, "io_full_usec": 1e5}})
    kinds = [title.split()[0] for title in titles(drawn(run.finish()))]
    assert kinds == ["app", "pod,", "cpu", "reclaim", "io", "pressure"]
