"""The last step of a run, and the whole of a remade report: study the directory, write what follows from it."""

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
class Told:
    """What a run directory tells."""

    summary: Summary
    study: Study | None = None
    """None for a run with variants: each of these has its own."""
    variants: dict[str, Told] = field(default_factory=dict)
    """Those that were played, in the scenario's order."""

    @property
    def studies(self) -> dict[str, Study]:
        """The study of each variant."""
        return {name: told.study for name, told in self.variants.items() if told.study is not None}


def finish(run: RunDir, out: Path | None = None, library: str | None = None) -> Told:
    """Write summary.json and the page (`out`, else report.html), from the run's own files alone; those of each
    variant too. `library` is where the page finds what draws its pictures; by default it holds that.
    """
    run.release()
    # Pictures are slow to import, and `emu show` needs none.
    from emu.report.page.render import plotly_script, render_html

    if run.has_variants():
        from emu.report.compare.page import render_comparison

        run.write_whole(run.library, plotly_script())
        told = _compared(run, lambda variant: finish(variant, library=relative(run.library, variant.path)))
        shared = run.library.name if out is None else None
        page = render_comparison(run, told.studies, told.summary, shared)
    else:
        study, summary = study_and_summary(run)
        told = Told(summary, study)
        page = render_html(study, summary, library=library)
    write_summary(run, told.summary)
    run.write_whole(out or run.report, page)
    return told


def relative(path: Path, folder: Path) -> str:
    """How a page in a folder names a file of its run."""
    return PurePosixPath(os.path.relpath(path, folder)).as_posix()


def look(run: RunDir) -> Told:
    """What a run tells, freshly made. Nothing is written."""
    if run.has_variants():
        return _compared(run, look)
    study, summary = study_and_summary(run)
    return Told(summary, study)


def study_and_summary(run: RunDir) -> tuple[Study, Summary]:
    """Both, of a run without variants, with what its own scenario expected. Nothing is written."""
    study = read_study(run)
    return study, summarize(study, recorded_expectations(run), recorded_warm_up(run))


def tell(told: Told, console: Console) -> None:
    """Print it; the path of the page is the caller's to tell."""
    if told.study is None:
        print_comparison(told.summary, console)
    else:
        print_story(told.study, told.summary, console)


def _compared(run: RunDir, each: Callable[[RunDir], Told]) -> Told:
    names = recorded_variants(run)
    told = {name: each(run.variant(name)) for name in names if run.variant(name).begun()}
    played = {name: told[name].summary if name in told else None for name in names}
    return Told(compare(played, recorded_expectations(run), scenario=recorded_name(run)), variants=told)
