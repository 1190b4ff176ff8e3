"""The last step of a run, and the whole of a remade report: study the directory, write what follows from it."""

from __future__ import annotations

from pathlib import Path

from emu.report.study import Study, read_study
from emu.report.summary import Summary, recorded_expectations, summarize, write_summary
from emu.rundir import RunDir


def finish(run: RunDir, out: Path | None = None) -> tuple[Study, Summary]:
    """Write summary.json and the page (`out`, else report.html), from the run's own files alone."""
    from emu.report.render import render_html  # pictures are slow to import, and `emu show` needs none

    study, summary = study_and_summary(run)
    write_summary(run, summary)
    (out or run.report).write_text(render_html(study, summary), encoding="utf-8")
    return study, summary


def study_and_summary(run: RunDir) -> tuple[Study, Summary]:
    """Both, freshly made, with what the run's own scenario expected. Nothing is written."""
    study = read_study(run)
    return study, summarize(study, recorded_expectations(run))
