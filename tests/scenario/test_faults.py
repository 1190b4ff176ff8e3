"""Runs that do not end as planned: what is kept, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S, EMU, Going, eventually, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="faults")]


def emu(*words: str) -> subprocess.CompletedProcess[str]:
    """Call `emu` as a user would."""
    return subprocess.run([*EMU, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False)


SHORT = """
name: short
question: Is a run disturbed, and does it end in order?
load: {settle: 1h, phases: [{name: few, type: constant, rate: 2, count: 4, duration: 2s}]}
"""


def test_a_terminated_run_ends_in_order(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]
) -> None:
    """`emu clean` beside a run that goes on removes nothing of it. SIGTERM ends it as Ctrl-C does (below): exit
    status 130, a report of what was recorded, and nothing left.
    """
    run = going(scenario_file(SHORT))
    run.until("starting the pod")
    app = run.container("app")
    assert emu("clean").stdout == "nothing to remove\n"
    assert engine.state(app).phase == "running"
    run.until_answered(4)
    run.signal(signal.SIGTERM)
    assert run.end() == 130
    summary = json.loads(run.run.summary.read_text())
    assert summary["interrupted"] is True
    assert summary["requests"]["by_status"] == {"200": 4}
    assert {one["restarts"] for one in summary["containers"].values()} == {0}
    assert run.run.report.stat().st_size > 0
    assert leftovers(engine) == []


def test_an_interrupted_run_keeps_the_variants_that_were_played(
    going: Callable[[str], Going], scenario_file: Callable[[str], str], engine: Engine
) -> None:
    """Ctrl-C in the second of three: the first is whole, the second is reported up to there, the third is null."""
    run = going(
        scenario_file(
            """
name: three
question: What is left of three variants when the second one is interrupted?
pod: {runtime: process}
load:
  settle: 0s
  phases: [{name: few, type: constant, rate: 2, duration: 2s}]
variants:
  first: {}
  second: {load.settle: 60s}
  third: {}
expect:
  requests.by_status.200: "== requests.sent"
  variants.first.requests.sent: "== variants.second.requests.sent"
"""
        )
    )
    run.until("second, variant 2 of 3")
    run.until("sending requests")
    run.signal(signal.SIGINT)
    assert run.end() == 130
    summary = json.loads(run.run.summary.read_text())
    assert (summary["interrupted"], summary["met"]) == (True, False)
    first, second, third = (summary["variants"][name] for name in ("first", "second", "third"))
    assert (first["met"], second["interrupted"], third) == (True, True, None)
    assert run.run.report.stat().st_size > 0
    assert json.loads(emu("show", str(run.run.variant("first").path), "--json").stdout)["met"] is True
    assert leftovers(engine) == []


def test_an_interrupt_during_set_up_leaves_nothing(going: Callable[[str], Going], engine: Engine) -> None:
    """Ctrl-C while the app's files are made undoes what was made by then, the run directory too."""
    run = going("page-cache-reread")
    run.until("creating the app's files")
    run.signal(signal.SIGINT)
    said, _ = run.process.communicate(timeout=DEADLINE_S)
    assert run.process.returncode == 130
    assert "Traceback" not in said
    assert not run.run.path.exists()
    assert leftovers(engine) == []


UNRECORDED = """
name: unrecorded
question: What is lost with the recorder?
pod: {runtime: process}
load: {phases: [{name: few, type: constant, rate: 2, count: 10, duration: 5s, until: {answered: 10}}]}
"""


def test_a_recorder_that_is_killed_costs_the_record_not_the_run(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]
) -> None:
    """What was recorded up to then reads well, the run ends in order, and the report says what happened."""
    run = going(scenario_file(UNRECORDED))
    run.until("sending requests")
    os.kill(run.helper("emu.record.recorder"), signal.SIGKILL)
    assert run.end() == 0
    summary = json.loads(run.run.summary.read_text())
    assert summary["requests"]["by_status"] == {"200": 10}
    assert leftovers(engine) == []
    assert "recorder" in run.run.events.read_text()
    assert "recorder" in emu("show", str(run.run.path)).stdout


def test_a_load_generator_that_is_killed_ends_the_run(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]
) -> None:
    """Its part cannot be made up for: the pod is ended in order, what was recorded is reported, exit status 2."""
    run = going(scenario_file(UNRECORDED.replace(", until: {answered: 10}", "")))
    run.until("sending requests")
    for _ in eventually():
        if run.run.requests.exists() and run.run.requests.stat().st_size:
            break
    os.kill(run.helper("emu.daemon.load"), signal.SIGKILL)
    said, _ = run.process.communicate(timeout=DEADLINE_S)
    assert run.process.returncode == 2
    assert said.count("emu: the load generator exited before the end of the run") == 1
    assert "Traceback" not in said
    summary = json.loads(run.run.summary.read_text())
    assert (summary["failed"]["what"], summary["met"]) == (
        "the load generator exited before the end of the run",
        False,
    )
    assert summary["requests"]["sent"] > 0
    assert leftovers(engine) == []


def test_an_unknown_image_is_reported_before_anything_starts(tmp_path: Path, engine: Engine) -> None:
    """An image that the engine does not have: one error with the key, exit status 2, no run directory."""
    out = tmp_path / "run"
    done = emu("run", "app-oom", "--on", "host", "--out", str(out), "--set", "pod.app.image=nobody/has-this:1")
    assert done.returncode == 2
    assert "pod.app.image" in done.stderr
    assert "nobody/has-this:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert leftovers(engine) == []


@pytest.mark.usefixtures("engine")
def test_a_run_is_never_recorded_over_another(tmp_path: Path) -> None:
    """A directory that exists is refused, with 2, and stays as it was."""
    (tmp_path / "precious").write_text("keep")
    done = emu("run", "app-oom", "--on", "host", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "never overwrites" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
