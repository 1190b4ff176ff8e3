"""A pod that is scaled to zero, in real containers: what a client sees, and what an end in between leaves behind."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Callable

import pytest

from emu.messages import START_HEADER
from emu.policy.starts import WARM_DISK, WARM_PAGE_CACHE
from emu.record.events import SCALED_TO_ZERO, PodStatus
from emu.runtime.docker import LABEL_RUN, Engine
from tests.scenario.support import DEADLINE_S, Going, eventually, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]

SCENARIO = """
name: gone
question: What is left of a run that ends while there is no pod?
pod:
  readyTimeout: 10m
  autoscaling: { window: 6s, scaleToZeroGracePeriod: 6s }
  queueProxy: { env: { EMU_DRAIN_QUIET_SECONDS: "1" } }
load:
  settle: 1h
  phases: [{ name: one, type: constant, rate: 1, count: 1, duration: 1s }]
recorder: { interval: 50ms }
expect:
  autoscaling.scale_downs: ">= 1"
"""
Start = Callable[[str], Going]


@pytest.fixture
def gone(going: Start, scenario_file: Callable[[str], str]) -> Going:
    """A run whose pod was scaled to zero just now."""
    run = going(scenario_file(SCENARIO))
    run.until(SCALED_TO_ZERO)
    return run


def test_a_request_to_no_pod_is_answered_by_a_new_one(gone: Going, engine: Engine) -> None:
    """No container is there when it comes; its answer says how warm the start was. An end while there is no pod, once
    that one is gone too, is in order: exit status 130, a report that says so, and nothing left.
    """
    assert engine.labelled(LABEL_RUN) == []
    port = json.loads(gone.run.load_plan.read_text())["port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"ok")
    assert answer.getheader(START_HEADER) in (WARM_DISK, WARM_PAGE_CACHE)
    connection.request("GET", "/")
    assert connection.getresponse().getheader(START_HEADER) is None
    connection.close()
    for _ in eventually():
        if [one.status for one in gone.events(PodStatus)].count(SCALED_TO_ZERO) == 2:
            break
    gone.signal(signal.SIGTERM)
    assert gone.end() == 130
    summary = json.loads(gone.run.summary.read_text())
    assert (summary["autoscaling"]["scale_ups"], summary["autoscaling"]["held"]["forwarded"]) == (1, 1)
    assert (summary["interrupted"], summary["pod"]["status"]) == (True, SCALED_TO_ZERO)
    assert leftovers(engine) == []
