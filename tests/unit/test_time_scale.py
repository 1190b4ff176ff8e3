"""timeScale: the control plane is faster than usual, and every result says so."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from emu.cli.main import main
from emu.errors import EmuError
from emu.policy.stats import Report, stat
from emu.report.compare.compare import compare
from emu.report.journal import entries
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.text import print_story
from emu.report.why import heading
from emu.scenario.reading import read_scenario
from emu.study.model.services import Service
from emu.study.model.study import Study
from emu.study.study import read_study
from tests.fakes import FakeRun

SCENARIO = "name: a\nquestion: b\ntimeScale: {}\npod: {}\n"


def read(scale: str, pod: str = "{autoscaling: {}}") -> float:
    """The time scale of a scenario."""
    return read_scenario(SCENARIO.format(scale, pod), "a.yaml").time_scale


@pytest.mark.parametrize(
    ("scale", "pod", "what"),
    [
        ("0.5", "{autoscaling: {}}", "a.yaml:3:12: timeScale: 0.5 is too small"),
        ("20", "{autoscaling: {}}", "a.yaml:3:12: timeScale: 20 is too large"),
        ("true", "{autoscaling: {}}", "a.yaml:3:12: timeScale: true is not a number"),
        ("10", "{}", "a.yaml:3:12: timeScale: `timeScale` has nothing to make faster"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(scale: str, pod: str, what: str) -> None:
    """With the line; so is one that nothing would go by."""
    with pytest.raises(EmuError) as wrong:
        read(scale, pod)
    assert wrong.value.what == what


def test_it_is_1_unless_it_is_given() -> None:
    """A decimal will do."""
    assert read_scenario("name: a\nquestion: b\n", "a.yaml").time_scale == 1.0
    assert (read("1", "{}"), read("2.5"), read("10")) == (1.0, 2.5, 10.0)


def test_counts_stay_per_second() -> None:
    """The load does not run faster: five requests in a tenth of a second are fifty in a second."""
    message = stat(Report(1.0, 0.5, 5, 2), "pod", 9.0, 0.1)
    assert (message.request_count, message.proxied_request_count) == (pytest.approx(50), pytest.approx(20))
    assert message.average_concurrent_requests == 1.0


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A short run."""
    run = FakeRun(tmp_path / "run")
    run.start("app")
    run.advance(1.0)
    run.finish()
    return read_study(run.run)


def test_every_result_names_it(study: Study) -> None:
    """summary.json, `emu show`, the page, `emu why` and a comparison; without it nothing is said."""
    summary = summarize(study)
    assert (summary["time_scale"], "timeScale" in _shown(study)) == (1.0, False)
    study.time_scale = 10.0
    fast = summarize(study)
    assert fast["time_scale"] == 10.0
    assert "The control plane was 10 times as fast as in a cluster (timeScale)." in _shown(study)
    assert "timeScale 10" in render_html(study, fast)
    assert heading(Service("app", "app-00001"), 10.0).endswith(" · timeScale 10")
    sentences = compare({"slow": summary, "fast": fast}, [], "it")["verdict"]["sentences"]
    assert (
        "The control plane was faster than in a cluster (timeScale): 1 times with slow and 10 times with fast."
        in sentences
    )
    assert entries(study)[0].text.endswith(", timeScale 10)")


@pytest.mark.parametrize("command", [["pods"], ["export", "--to", "kperf-csv"]])
def test_tables_for_other_tools_name_it_beside_them(
    study: Study, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, as a script reads the table."""
    monkeypatch.setattr("emu.study.study.read_study", lambda _: study)
    run = str(study.run.path)
    assert CliRunner().invoke(main, [*command, run]).stderr == ""
    study.time_scale = 10.0
    assert CliRunner().invoke(main, [*command, run]).stderr == "emu: timeScale 10\n"


def _shown(study: Study) -> str:
    out = io.StringIO()
    print_story(study, summarize(study), Console(file=out, width=400))
    return out.getvalue()
