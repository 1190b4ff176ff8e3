"""Runs that an earlier emu recorded, kept in tests/fixtures/runs: each is read and reported as it was then.

Beside a run's own files lie what `emu show` and `emu journal --all` print of it, and its summary.json. Where words
are changed on purpose, `python -m tests.unit.report.test_kept_runs` writes all three again; numbers stay as they are,
unless they were wrong (pod_seconds began with a pod's first container, not with the pod).
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from emu.machine import output
from emu.record.rundir import RunDir
from emu.report.finish import look, render
from emu.report.journal import entries
from emu.report.page.figures import run_figure
from emu.report.page.render import render_html
from emu.study.study import read_study
from tests import fake_runs
from tests.consistency import disagreements
from tests.fakes import POD_NAME

RUNS = Path(__file__).parents[2] / "fixtures" / "runs"
KEPT = sorted(path.name for path in RUNS.iterdir())


def _shown(run: RunDir) -> str:
    out = io.StringIO()
    render(look(run), Console(file=out, width=output.PIPE_COLUMNS))
    return out.getvalue()


def _journal(run: RunDir) -> str:
    return "".join(f"{entry.to_text()}\n" for entry in entries(read_study(run), "all"))


def _summary(run: RunDir) -> Any:
    return json.loads(output.to_json(look(run).summary))


def _is_in(then: Any, now: Any, where: str) -> None:
    """What was there then is there now; a later emu may report more."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for name, value in then.items():
            assert name in now, f"{where}.{name}"
            _is_in(value, now[name], f"{where}.{name}")
    elif isinstance(then, list):
        assert isinstance(now, list) and len(then) == len(now), where
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            _is_in(one, other, f"{where}.{number}")
    else:
        assert now == then, where


def test_there_is_one_of_each_kind() -> None:
    """An OOM kill with a restart, a freezer, a pod that is scaled to zero and comes back; and of the format in which
    the activator's choice is recorded, two pods of a service, of which one is scaled down.
    """
    assert KEPT == ["app-oom", "freezer", "replicas", "scale-to-zero"]


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_run_is_shown_as_before(name: str) -> None:
    """`emu show` prints the same."""
    assert _shown(RunDir(RUNS / name)) == (RUNS / name / "show.txt").read_text()


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_run_has_the_same_log(name: str) -> None:
    """`emu journal --all` prints the same."""
    assert _journal(RunDir(RUNS / name)) == (RUNS / name / "journal.txt").read_text()


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_run_has_the_same_numbers(name: str) -> None:
    """Whatever summary.json said then it says now."""
    run = RunDir(RUNS / name)
    _is_in(json.loads(run.summary.read_text()), _summary(run), "summary")


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_run_can_be_drawn(name: str) -> None:
    """Its page is made, with a panel for each container."""
    reported = look(RunDir(RUNS / name))
    assert reported.study is not None
    page = render_html(reported.study, reported.summary, library="plotly.js")
    assert "queue-proxy" in page and "app" in page


@pytest.mark.parametrize("name", sorted(set(fake_runs.ALL) - {"neighbours", "plain_killed", "replicas"}))
def test_a_run_reports_the_same_with_and_without_its_pods_name(name: str, tmp_path: Path) -> None:
    """As it was recorded before pods had names; only the name itself is missing."""
    run = fake_runs.ALL[name](tmp_path / "run")
    named = _summary(run)
    samples = fake_runs.unpack_samples(run.path)
    owners = re.compile(rb"^(D \d+) " + POD_NAME.encode() + rb"/(\S*)", re.MULTILINE)
    run.samples.write_bytes(owners.sub(_label, samples))
    events, pod = run.events.read_text(), f'"pod":"{POD_NAME}",'
    assert pod in events
    run.events.write_text(events.replace(pod, ""))
    assert POD_NAME not in {owner.pod for owner in read_study(run).timelines}
    assert _nameless(_summary(run)) == _nameless(named)


def test_a_kept_run_of_several_pods_knows_which_pod_got_each_request() -> None:
    """All that was sent to the activator is some pod's, in the tables and in panels of its own."""
    run = RunDir(RUNS / "replicas")
    report = look(run)
    assert report.study is not None
    assert {one.reached for one in report.study.requests or []} == {"pod"}
    pods = report.summary["pods"]
    assert sum(pod["requests"]["sent"] for pod in pods.values()) == report.summary["requests"]["sent"]
    assert sum(pod["cold_requests"] for pod in pods.values()) == report.summary["services"]["app"]["cold_requests"]
    workload = report.summary["pod"]
    assert (workload["status"], workload["ready"]) == ("Running", "2/2")  # of the pod that stays, not of the newest
    assert report.summary["containers"]["app"]["ready"] is True
    titles = [panel["label"] for panel in run_figure(report.study, report.summary).layout["meta"]["panels"]]
    for pod in pods:
        whose = f" to pod {pod.rpartition('-')[2]}"
        assert len([title for title in titles if whose in title]) == 2
    found = [one for one in disagreements(run) if "requests" in one.split(":")[0] or one.startswith("export")]
    assert not found


def _nameless(summary: Any) -> Any:
    """Without the pods by name; whose something is, is null."""
    if isinstance(summary, dict):
        unnamed = ("pod", None)
        names = {name: value for name, value in summary.items() if name != "pods"}
        return dict(
            unnamed if pair in (("pod", POD_NAME), ("pod", "")) else (pair[0], _nameless(pair[1]))
            for pair in names.items()
        )
    return [_nameless(one) for one in summary] if isinstance(summary, list) else summary


def _label(found: re.Match[bytes]) -> bytes:
    return b"%b %b" % (found[1], found[2] or b"pod")


def _write() -> None:
    for name in KEPT:
        run = RunDir(RUNS / name)
        (run.path / "show.txt").write_text(_shown(run))
        (run.path / "journal.txt").write_text(_journal(run))
        run.summary.write_text(output.to_json(_summary(run), indent=2) + "\n")


if __name__ == "__main__":
    _write()
