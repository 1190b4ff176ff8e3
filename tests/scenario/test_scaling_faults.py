"""What goes wrong while a service is scaled: pods that do not become ready, and an activator that is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest

from emu.record.events import Note, PodStatus, ScaleDecided
from emu.runtime.docker import Engine
from tests.scenario.support import Finished, Going, await_nothing_left, eventually

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]
EmuRun = Callable[..., Finished]
Write = Callable[[str], str]

ONLY_ONE = """
            - sh
            - -c
            - "test -e /tmp/mine || { mkdir /emu-data/taken && touch /tmp/mine; }"
"""
"""A probe that succeeds in one pod of a revision, the first that is asked: all have the volume at /emu-data."""
STUCK = f"""
name: stuck
question: What do clients and the autoscaler see of a second pod that does not become ready?
pod:
  runtime: process
  readyTimeout: 10m
  backOff: {{ scale: 0.1 }}
  app:
    readinessProbe:
      periodSeconds: 1
      timeoutSeconds: 60
      exec:
        command: {ONLY_ONE}
    livenessProbe:
      periodSeconds: 1
      timeoutSeconds: 60
      failureThreshold: 3
      exec:
        command: {ONLY_ONE}
  autoscaling: {{ target: 1, minScale: 1, maxScale: 2, window: 6s, targetBurstCapacity: -1 }}
load:
  settle: 0s
  phases:
    - name: ask
      type: closed
      clients: 2
      until: {{ restarts: 2, container: app }}
      duration: 5m # at most
      request: {{ do: {{ sleep: 200ms }} }}
    - name: still
      type: closed
      clients: 2
      until: {{ answered: 10 }}
      duration: 5m
      request: {{ do: {{ sleep: 200ms }} }}
recorder: {{ interval: 100ms }}
expect:
  requests.by_status.200: "== requests.sent"
  services.app.pods_desired_max: "== 2"
  services.app.pods_ready_max: "== 1"
  services.app.pods_final: "== 2"
"""


def test_a_pod_that_does_not_become_ready_gets_no_request(emu_run: EmuRun, scenario_file: Write) -> None:
    """The ready pod serves every request, the autoscaler goes on wanting two, and the run ends in order; the other
    pod is in a crash loop, and restarted as ever.
    """
    done = emu_run(scenario_file(STUCK))
    assert (done.status, [one for one in done.summary["expectations"] if not one["met"]]) == (0, [])
    pods = list(done.summary["pods"].values())
    assert len(pods) == 2
    assert [one["ready"] for one in pods].count("2/2") == 1
    restarts = sorted(one["restarts"] for one in pods)
    assert restarts[0] == 0 < restarts[1]
    assert "Unhealthy" in {event["reason"] for event in done.summary["pod"]["events"]}


ASKED = """
name: asked
question: What becomes of a run whose activator is killed?
pod:
  runtime: process
  readyTimeout: 10m
  autoscaling: { minScale: 2, initialScale: 2, maxScale: 2, window: 6s, targetBurstCapacity: -1 }
load:
  settle: 0s
  drain: 10m
  phases:
    - { name: held, type: burst, size: 3, duration: 1s, request: { do: { sleep: 10m }, timeout: 20m } }
    - name: ask
      type: closed
      clients: 1
      until: { restarts: 1000, container: app }
      duration: 1h # the test interrupts it
      request: { do: { sleep: 50ms } }
recorder: { interval: 100ms }
"""


def activator_of(run: Going) -> int:
    """Its pid."""
    return run.helper("emu.daemon.activator")


def test_an_activator_that_is_killed_comes_back(
    going: Callable[[str], Going], scenario_file: Write, engine: Engine
) -> None:
    """It is started again on its port and knows the pods, which stay. The requests that were in it end without an
    answer and are counted; those that come later are answered, and the autoscaler decides on.
    """
    run = going(scenario_file(ASKED))
    run.until_answered(5)
    old = activator_of(run)
    os.kill(old, signal.SIGKILL)
    for _ in eventually():
        if run.events(Note):
            break
    answered = sum(json.loads(line).get("status") == 200 for line in run.run.requests.read_text().splitlines()[:-1])
    run.until_answered(answered + 20)
    assert activator_of(run) != old
    killed_at = run.events(Note)[0].t
    for _ in eventually():
        if [one for one in run.events(ScaleDecided) if one.t > killed_at and one.metric]:
            break
    summary = run.interrupted()
    errors = summary["requests"]["errors"]
    assert summary["phases"]["held"]["requests"]["errors"].get("unanswered", 0) == 0  # their connections broke
    assert sum(errors.values()) >= 3
    assert any("the activator" in note["what"] and "started again" in note["why"] for note in summary["notes"])
    assert summary["services"]["app"]["pods_started"] == 2
    assert {event.status for event in run.events(PodStatus)} <= {"ContainerCreating", "Running"}
    await_nothing_left(engine)
