"""The last step of a run, and all of a regenerated report: study the directory, write the results."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rich.console import Console

from emu.record.rundir import RunDir
from emu.report.compare.compare import compare
from emu.report.compare.text import print_comparison
from emu.report.summary import (
    Summary,
    recorded_expectations,
    recorded_name,
    recorded_variants,
    recorded_warm_up,
    summarize,
    write_summary,
)
from emu.report.text import print_story
from emu.study.study import Study, read_study


@dataclass(frozen=True)
class RunReport:
    """The results of a run directory."""

    summary: Summary
    study: Study | None = None
    """None for a run with variants: each of these has its own."""
    variants: dict[str, RunReport] = field(default_factory=dict)
    """The reports of the variants that were played, in the scenario's order."""

    @property
    def studies(self) -> dict[str, Study]:
        """The study of each variant."""
        return {name: report.study for name, report in self.variants.items() if report.study is not None}


def finish(run: RunDir, out: Path | None = None, library: str | None = None) -> RunReport:
    """Write summary.json and the page (`out`, else report.html), from the run's own files alone, and those of
    each variant. `library` is where the page finds the chart library; by default the page contains it.
    """
    run.release()
    return _finish(run, out, library, run.has_variants())


def _finish(run: RunDir, out: Path | None, library: str | None, with_variants: bool) -> RunReport:
    # Charts are slow to import, and `emu show` needs none.
    from emu.report.page.render import plotly_script, render_html

    if with_variants:
        from emu.report.compare.page import render_comparison

        run.write_whole(run.library, plotly_script())
        report = _compared(run, lambda one: _finish(one, None, relative(run.library, one.path), False))
        shared = run.library.name if out is None else None
        page = render_comparison(run, report.studies, report.summary, shared)
    else:
        study, summary = study_and_summary(run)
        report = RunReport(summary, study)
        page = render_html(study, summary, library=library)
    write_summary(run, report.summary)
    run.write_whole(out or run.report, page)
    return report


def relative(path: Path, folder: Path) -> str:
    """How a page in a folder names a file of its run."""
    return PurePosixPath(os.path.relpath(path, folder)).as_posix()


def look(run: RunDir) -> RunReport:
    """The results of a run, freshly computed. It writes no file."""
    return _compared(run, _look_at_one) if run.has_variants() else _look_at_one(run)


def _look_at_one(run: RunDir) -> RunReport:
    """Whatever else lies in it: a variant has none of its own."""
    study, summary = study_and_summary(run)
    return RunReport(summary, study)


def study_and_summary(run: RunDir) -> tuple[Study, Summary]:
    """Both, of a run without variants, judged by its own scenario's expectations. It writes no file."""
    study = read_study(run)
    return study, summarize(study, recorded_expectations(run), recorded_warm_up(run))


def render(report: RunReport, console: Console) -> None:
    """Print the results; the caller prints the path of the page."""
    if report.study is None:
        print_comparison(report.summary, console)
    else:
        print_story(report.study, report.summary, console)


def _compared(run: RunDir, each: Callable[[RunDir], RunReport]) -> RunReport:
    names = recorded_variants(run)
    reports = {name: each(run.variant(name)) for name in names if run.variant(name).begun()}
    played = {name: reports[name].summary if name in reports else None for name in names}
    return RunReport(compare(played, recorded_expectations(run), scenario=recorded_name(run)), variants=reports)
