"""Topics of the report: each gives its names, words and table; terminal and page show the same cells."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from emu.policy.expectations import ROOTS
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.topics.registry import TOPICS
from emu.study.study import read_study
from tests import fake_runs


def test_a_topics_names_can_be_expected(tmp_path: Path) -> None:
    """They are at the top of summary.json, and scenarios may name them."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    summary = summarize(study)
    names = [name for topic in TOPICS for name in topic.figures(study)]
    assert {*names} <= {*summary} and {*names} <= {*ROOTS}
    assert len(names) == len(set(names))


def test_a_topic_that_a_run_is_not_about_is_silent(tmp_path: Path) -> None:
    """No headline, no sentence, no table."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    summary = summarize(study)
    for topic in TOPICS:
        assert (topic.headline(study, summary), topic.sentences(study, summary)) == ([], []), topic.title
        assert topic.listing(study) is None, topic.title


def test_terminal_and_page_show_the_same_cells(tmp_path: Path) -> None:
    """Of a topic's table each row is in both."""
    study = read_study(fake_runs.scaled(tmp_path / "run"))
    summary, out = summarize(study), io.StringIO()
    print_story(study, summary, Console(file=out, width=400))
    page = render_html(study, summary, library="plotly.js")
    shown = [listing for topic in TOPICS if (listing := topic.listing(study)) is not None]
    assert [len(listing.rows) for listing in shown] == [len(summary["autoscaling"]["absences"])]
    for cell in (cell for listing in shown for row in listing.rows for cell in row if cell is not None):
        assert str(cell) in out.getvalue() and f">{cell}</td>" in page, cell
