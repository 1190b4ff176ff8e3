"""The wall clock is set while a run goes on, forward and back by hours: nothing that is reported of the run moves."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from emu.messages.work import Work
from emu.record.events import ContainerExited, DockerEvent, Event
from emu.run.machine import where
from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S, EMU, Going, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="faults")]
HOUR_S = 3600.0
SCENARIO = """
name: clock-set
question: What moves when the wall clock is set?
pod:
  backOff: {initial: 2s, scale: 1}
  app:
    resources: {limits: {memory: 64Mi}}
    livenessProbe: {httpGet: {path: /healthz}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 6}
load:
  settle: 1h
  phases: [{name: few, type: constant, rate: 2, count: 4, duration: 2s}]
"""
TOO_MUCH = Work(hold=256 << 20)


@pytest.fixture
def set_clock() -> Iterator[Callable[[float], None]]:
    """Set the wall clock so many seconds off what it was; as it was, when the test ends. In the sandbox only."""
    if where() != "sandbox:uml":
        pytest.skip("it sets the clock, so it runs in the sandbox's kernel only: EMU_ON=sandbox make test-faults")
    ahead = time.time() - time.monotonic()

    def off_by(seconds: float) -> None:
        time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + ahead + seconds)

    yield off_by
    off_by(0)


def test_nothing_moves_with_the_wall_clock(
    going: Callable[[str], Going],
    engine: Engine,
    scenario_file: Callable[[str], str],
    set_clock: Callable[[float], None],
) -> None:
    """Six hours ahead before the first OOM kill, nine behind before the second: both are judged by all witnesses,
    restarted by the same back-off, and in the journal; no probe fails, no event of the engine is lost, and
    `emu clean` beside it still knows whose the pod is.
    """
    began = time.monotonic()
    run = going(scenario_file(SCENARIO))
    run.until_answered(4)
    for hours in (6, -9):
        set_clock(hours * HOUR_S)
        clean = subprocess.run([*EMU, "clean"], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
        assert clean.stdout == "nothing to remove\n"
        assert run.ask(TOO_MUCH)[0] == 502
        run.until_served()
    summary = run.interrupted()
    lasted_s = time.monotonic() - began

    assert all(began <= event.t <= began + lasted_s for event in run.events(Event))
    exited = {event.id for event in run.events(ContainerExited)}
    died = {event.id for event in run.events(DockerEvent) if event.action == "die"}
    assert exited - died == set()

    app = summary["containers"]["app"]
    assert summary["duration_s"] <= lasted_s
    assert [(one["reason"], one["killed_for"]) for one in app["exits"]] == [("OOMKilled", None)] * 2
    assert [round(wait["delay_s"], 3) for wait in app["back_offs"]] == [0.0, 2.0]
    assert summary["containers"]["queue-proxy"]["restarts"] == 0
    for kill in summary["oom_kills"]:
        assert {"memory.events", "kmsg", "exit-code"} <= set(kill["evidence"])
        assert 0 < kill["time_s"] < summary["duration_s"]

    reported = subprocess.run([*EMU, "journal", str(run.run.path)], capture_output=True, text=True, check=True).stdout
    stamps = [float(line[1:13]) for line in reported.splitlines() if line.startswith("[") and line[1:13].strip()]
    assert stamps == sorted(stamps)
    assert 0.0 <= stamps[0] <= stamps[-1] <= lasted_s
    lines = [json.loads(line) for line in run.run.journal.read_text().splitlines()]
    logged = sum("Killed process" in str(line["MESSAGE"]) for line in lines)
    assert logged == run.run.kmsg.read_text().count("Killed process") >= 2
    names = {line.get("CONTAINER_NAME", "").split(".", 2)[-1] for line in lines}
    assert {"queue-proxy.0", "app.0", "app.1", "app.2"} <= names
    assert ["listening" in log.read_text() for log in run.run.container_logs("app")] == [True] * 3
    assert leftovers(engine) == []
