"""The Docker engine goes away in the middle of a run: the run ends in order, and says so; containers are blamed for
nothing.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cgroups.mount import find_cgroup2
from emu.record.events import ContainerExited, RunEnded, RunFailed, read_events
from emu.runtime.docker import Engine
from emu.runtime.podcgroup import PARENT
from tests.scenario.dockerd import Dockerd, the_engine
from tests.scenario.support import DEADLINE_S, EMU, Going, eventually, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="faults")]
SCENARIO = """
name: engine-lost
question: What is reported of a run whose engine goes away?
pod:
  app:
    resources: {limits: {memory: 128Mi}}
load:
  settle: 1h
  phases: [{name: few, type: constant, rate: 5, count: 15, duration: 4s, request: {do: {sleep: 100ms}}}]
expect:
  requests.by_status.200: "== requests.sent"
"""
SCALED = """
name: engine-lost-scaled
question: What is reported of a pod that comes and goes whose engine goes away?
pod:
  autoscaling: {window: 6s, scaleToZeroGracePeriod: 6s}
  queueProxy: {env: {EMU_DRAIN_QUIET_SECONDS: "1"}}
  app:
    resources: {limits: {memory: 128Mi}}
load:
  settle: 1h
  phases: [{name: few, type: constant, rate: 5, count: 15, duration: 4s}]
"""
STARTS = """
name: engine-lost-starts
question: What is reported of starts whose engine goes away?
pod:
  readyTimeout: 120s
  app:
    resources: {limits: {memory: 128Mi}}
starts:
  trials: 50
  temperatures: [created, warm-cpu]
"""


@pytest.fixture
def dockerd() -> Iterator[Dockerd]:
    """The engine, to be stopped; started again when the test ends, if that has not been done."""
    with the_engine() as daemon:
        yield daemon


def ended(run: Going) -> tuple[int, str, dict[str, Any]]:
    """Exit status, the rest of what it says, and its summary, once it has ended."""
    said, _ = run.process.communicate(timeout=DEADLINE_S)
    return run.process.returncode, said, json.loads(run.run.summary.read_text())


def see_that_it_says_why(run: Going, said: str, summary: dict[str, Any]) -> None:
    """One error, the record's end, a report; no container's end is reported as its own."""
    assert "Traceback" not in said
    assert said.count("emu: the Docker engine went away") == 1
    kinds = [type(event) for event in read_events(run.run.events)]
    assert kinds.count(RunFailed) == kinds.count(RunEnded) == 1
    assert summary["failed"]["what"] == "the Docker engine went away"
    assert (summary["ended"], summary["met"], summary["interrupted"]) == (True, False, False)
    assert summary["verdict"]["headline"].startswith("The run could not continue after")
    assert "ended by itself" not in json.dumps(summary["verdict"])
    assert "SIGKILL from outside" not in json.dumps(summary["verdict"])
    assert summary["oom_kills"] == []
    assert run.run.report.stat().st_size > 0


def test_a_stopped_engine_ends_the_run_in_order(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str], dockerd: Dockerd
) -> None:
    """SIGTERM, as `systemctl stop docker` sends it: exit status 2 with the reason, the pod's cgroup is gone without
    the engine's help, and what only the engine could remove is found by `emu clean` once it is back.
    """
    run = going(scenario_file(SCENARIO))
    run.until_answered(15)
    dockerd.signal(signal.SIGTERM)
    status, said, summary = ended(run)
    assert status == 2, said
    see_that_it_says_why(run, said, summary)
    assert summary["requests"]["by_status"] == {"200": summary["requests"]["sent"]}
    assert summary["containers"]["app"]["restarts"] == 0
    exits = [event for event in read_events(run.run.events) if isinstance(event, ContainerExited) and not event.asked]
    assert len(exits) <= 2
    dockerd.await_end()
    assert not (find_cgroup2().path / PARENT).exists()
    blind = subprocess.run([*EMU, "clean"], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "no Docker engine answers" in blind.stderr
    dockerd.begin()
    dockerd.await_answer()
    subprocess.run([*EMU, "clean"], capture_output=True, timeout=DEADLINE_S, check=True)
    assert leftovers(engine) == []


def test_after_a_killed_engine_is_back_nothing_is_left(
    going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str], dockerd: Dockerd
) -> None:
    """SIGKILL, with live-restore, so that the containers go on without it: the run cannot see them any more and ends;
    the engine is back soon, and nothing is left to `emu clean`.
    """
    with dockerd.live_restore():
        run = going(scenario_file(SCENARIO))
        run.until_answered(15)
        dockerd.signal(signal.SIGKILL)
        for _ in eventually():
            if any(isinstance(event, RunFailed) for event in read_events(run.run.events)):
                break
        dockerd.begin()
        status, said, summary = ended(run)
        assert status == 2, said
        see_that_it_says_why(run, said, summary)
        assert all(not one["exits"] for one in summary["containers"].values())
        dockerd.await_answer()
        assert leftovers(engine) == []


@pytest.mark.parametrize(
    ("scenario", "when"),
    [(SCALED, "scaled down to zero"), (STARTS, "warm-cpu")],
    ids=["at zero", "between starts"],
)
def test_runs_that_make_pods_end_in_order_too(
    going: Callable[[str], Going],
    engine: Engine,
    scenario_file: Callable[[str], str],
    dockerd: Dockerd,
    scenario: str,
    when: str,
) -> None:
    """While a pod is scaled to zero, so that nothing of it but its volume is there, and while starts are measured."""
    run = going(scenario_file(scenario))
    run.until(when)
    dockerd.signal(signal.SIGTERM)
    status, said, summary = ended(run)
    assert status == 2, said
    see_that_it_says_why(run, said, summary)
    dockerd.await_end()
    assert not (find_cgroup2().path / PARENT).exists()
    dockerd.begin()
    dockerd.await_answer()
    clean = subprocess.run([*EMU, "clean"], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "volume" in clean.stdout
    assert leftovers(engine) == []
