"""Services in a run: what a scenario expects of them, where something goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emu.runtime.docker import Engine
from tests.scenario.support import Finished, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]

NEVER_READY = """
name: bad-rollout
question: What becomes of requests if the new revision never becomes ready?
services:
  - name: hello
    leftOut: [env of its containers]
    runtime: process
    readyTimeout: 120s
    autoscaling: { minScale: 1, window: 6s, scaleToZeroGracePeriod: 6s }
    queueProxy: { env: { EMU_DRAIN_QUIET_SECONDS: "1" } }
    revisions:
      hello-00001:
      hello-00002: { app.resources.limits.memory: 6Mi }
load:
  drain: 60s
  phases:
    - { name: old, type: constant, rate: 5, duration: 1s }
    - name: new
      rollout: { to: hello-00002 }
      type: constant
      rate: 5
      until: { revision: hello-00002, restarts: 1 }
      duration: 2m
    - { name: back, rollout: { to: hello-00001 }, type: constant, rate: 5, duration: 1s }
recorder: { interval: 100ms }
expect:
  requests.by_status.200: "== requests.sent"
  services.hello.rollouts.0.moved_s: "== null"
  services.hello.revisions.hello-00002.requests_sent: "== 0"
"""

PREEMPTED = """
name: preempted
question: Which pod goes for one of higher priority?
services:
  - name: batch
    runtime: process
    readyTimeout: 120s
    autoscaling: { minScale: 2, maxScale: 2 }
    queueProxy: { env: { EMU_DRAIN_QUIET_SECONDS: "1" }, resources: { requests: { memory: 32Mi } } }
    app: { resources: { requests: { memory: 96Mi } } }
  - name: web
    runtime: process
    readyTimeout: 120s
    priority: 1000
    priorityClassName: high
    autoscaling: { target: 2, minScale: 1, maxScale: 2, window: 6s, targetBurstCapacity: -1 }
    queueProxy: { env: { EMU_DRAIN_QUIET_SECONDS: "1" }, resources: { requests: { memory: 32Mi } } }
    app: { resources: { requests: { memory: 96Mi } } }
node: { memory: 450Mi }
load:
  drain: 60s
  settle: 0s
  phases:
    - name: four-clients
      service: web
      type: closed
      clients: 4
      until: { readyPods: 2 }
      duration: 5m
      request: { do: { sleep: 300ms } }
recorder: { interval: 100ms }
expect:
  requests.by_status.200: "== requests.sent"
  services.web.pods_ready_max: "== 2"
  services.batch.pods_pending_max: "== 1"
"""


def test_a_rollout_to_a_revision_that_never_becomes_ready_loses_nothing(
    engine: Engine, emu_run: Callable[..., Finished], scenario_file: Callable[[str], str]
) -> None:
    """Its container is killed at each start; every request goes to the old revision, and the report says why. What a
    manifest asks for and the run leaves out is a note.
    """
    done = emu_run(scenario_file(NEVER_READY))
    unmet = [entry for entry in done.summary["expectations"] if not entry["met"]]
    assert (done.status, unmet) == (0, [])
    first, second = done.summary["services"]["hello"]["rollouts"]
    assert (first["waited_for"], first["moved_s"]) == ("hello-00002", None)
    assert (second["waited_for"], second["moved_s"] is None) == (None, False)
    notes = {note["what"]: note["why"] for note in done.summary["notes"]}
    assert notes["left out of the manifest of hello"] == "env of its containers"
    assert leftovers(engine) == []


def test_a_pod_of_lower_priority_goes_for_one_that_finds_no_room(
    engine: Engine, emu_run: Callable[..., Finished], scenario_file: Callable[[str], str]
) -> None:
    """One of the two, with its hooks and its grace; its successor waits, and the one it went for serves."""
    done = emu_run(scenario_file(PREEMPTED))
    unmet = [entry for entry in done.summary["expectations"] if not entry["met"]]
    assert (done.status, unmet) == (0, [])
    (preempted,) = done.summary["preemptions"]
    assert preempted["pod"].startswith("batch-")
    assert preempted["by"].startswith("web-")
    assert (preempted["priority"], preempted["by_priority"]) == (0, 1000)
    assert preempted["by_scheduled_after_s"] > 0
    events = done.summary["pods"][preempted["pod"]]["events"]
    assert [event["reason"] for event in events][-3:] == ["Preempted", "Killing", "Killing"]
    assert done.summary["verdict"]["headline"].startswith("The scheduler removed 1 pod of batch-00001 (priority 0)")
    assert leftovers(engine) == []
