"""Why a container was killed, and whose memory it was, on a real kernel: swap limits, a probe's command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.support import Finished

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]

EmuRun = Callable[..., Finished]
ASK = """
load:
  drain: 60s
  settle: 1s
  phases:
    - {name: ask, type: burst, size: 1, duration: 1s, request: {timeout: 60s, do: {hold: 150Mi}}}
"""


def test_swap_that_is_used_up_is_part_of_the_cause(emu_run: EmuRun, scenario_file: Callable[[str], str]) -> None:
    """Memory and swap limit together are less than the app wants: the kill names both."""
    done = emu_run(
        scenario_file(
            f"""
name: swap-limit
question: What becomes of an app whose swap limit is small?
pod:
  runtime: process
  backOff: {{scale: 0.1}}
  app:
    resources: {{limits: {{memory: 64Mi}}}}
    memory: {{swapMax: 32Mi}}
{ASK}"""
        )
    )
    kill = done.summary["oom_kills"][0]
    assert (kill["swap_left"], kill["swap_limit_bytes"]) == ("limit", 32 * 2**20)
    assert (kill["victim_is"], kill["culprit"]["kind"]) == ("main", "main")
    assert "swap limit (memory.swap.max) of 32 MiB used up" in done.summary["verdict"]["headline"]
    assert all("lives on swap" not in text for text in done.summary["verdict"]["sentences"])


def probed(name: str, group: str) -> str:
    """A pod whose readiness probe's command takes more memory than the container may have."""
    return f"""
  - name: {name}
    runtime: process
    backOff: {{scale: 0.1}}
    readyTimeout: 8s
    containers:
      - name: web
        port: 8080
        resources: {{limits: {{memory: 64Mi}}}}
        memory: {{oomGroup: {group}}}
        readinessProbe:
          exec: {{command: [/usr/bin/python3, -c, "import time; x = bytearray(80 << 20); time.sleep(1)"]}}
          initialDelaySeconds: 3
          periodSeconds: 3
          timeoutSeconds: 60"""


def test_a_probes_memory_is_not_called_the_apps(emu_run: EmuRun, scenario_file: Callable[[str], str]) -> None:
    """The readiness probe's command runs the container out of memory. With memory.oom.group all of it dies for that,
    without, the command alone.
    """
    done = emu_run(
        scenario_file(
            f"""
name: probe-oom
question: Whose memory is it when a probe's command takes it?
pods: {probed("whole", "true")}{probed("alone", "false")}
load:
  phases:
    - {{name: whole, to: whole, type: constant, rate: 1, until: {{oomKills: 1}}, duration: 5m}}
    - {{name: alone, to: alone, type: constant, rate: 1, until: {{oomKills: 1}}, duration: 5m}}
"""
        )
    )
    kills = {kill["pod"]: kill for kill in reversed(done.summary["oom_kills"])}
    assert {name: kill["child"] for name, kill in kills.items()} == {"whole": False, "alone": True}
    for kill in kills.values():
        assert (kill["victim_is"], kill["culprit"]["kind"]) == ("readiness", "readiness")
        assert kill["culprit"]["command"].startswith("/usr/bin/python3 -c import time")
        assert kill["culprit"]["rss_bytes"] >= 40 * 2**20
    assert "the readiness probe's command" in done.summary["verdict"]["headline"]
