"""The OOM verdict on a real kernel: which level ran out, and who died. (What is no OOM: test_frozen_faults.py.)"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.support import Finished

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="kernel")]

HOLD = """
load:
  drain: 60s
  settle: {settle}
  phases:
    - name: ask
      type: burst
      size: {size}
      duration: 5s
      request:
        do: {{hold: {hold}, holdFor: 3s, child: {child}}}
"""


def test_a_killed_child_leaves_its_container_alive(
    emu_run: Callable[..., Finished], scenario_file: Callable[[str], str]
) -> None:
    """Without memory.oom.group the kernel kills one process: the app's child dies, the app answers and goes on."""
    done = emu_run(
        scenario_file(
            f"""
name: child-oom
question: Does a container live on when one of its processes is OOM-killed?
pod:
  app:
    resources: {{limits: {{memory: 64Mi}}}}
    memory: {{oomGroup: false}}
{HOLD.format(settle="1s", size=1, hold="128Mi", child="true")}"""
        )
    )
    app = done.summary["containers"]["app"]
    assert (app["oom_kills"], app["restarts"]) == (1, 0)
    assert [kill["child"] for kill in done.summary["oom_kills"]] == [True]
    assert all(exit["reason"] != "OOMKilled" for exit in app["exits"])
    assert done.summary["requests"]["by_status"] == {"500": 1}


KILLS = 24
FORKS = f"""
import mmap, os, time
gate, go = os.pipe()
for _ in range({KILLS}):
    if os.fork() == 0:
        open("/proc/self/oom_score_adj", "w").write("1000")
        os.close(go)
        os.read(gate, 1)
        held = mmap.mmap(-1, 96 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
        for place in range(0, len(held), 4096):
            held[place] = 1
os.close(go)
for _ in range({KILLS}):
    os.wait()
time.sleep(3600)
"""
"""Populated by the kernel in one go, a page at a time where that ended early: kills come ten in a second, not two."""


def test_no_kill_is_lost_when_the_kernel_holds_its_log_back(
    emu_run: Callable[..., Finished], scenario_file: Callable[[str], str]
) -> None:
    """The kernel prints ten reports in five seconds and no more; each kill of a burst is in the verdict."""
    script = FORKS.replace("\n", "\n        ")
    done = emu_run(
        scenario_file(
            f"""
name: many-kills
question: Is every kill of a burst known?
pod:
  runtime: process
  readyTimeout: 3s
  app:
    command:
      - /usr/bin/python3
      - -c
      - |
        {script}
    resources: {{limits: {{memory: 96Mi}}}}
    memory: {{oomGroup: false}}
load:
  phases:
    - {{name: knock, type: constant, rate: 1, until: {{oomKills: {KILLS}, container: app}}, duration: 5m}}
"""
        )
    )
    app = done.summary["containers"]["app"]
    assert app["oom_kills"] == app["memory_events"]["oom_kill"] == len(done.summary["oom_kills"]) == KILLS
    assert {kill["container"] for kill in done.summary["oom_kills"]} == {"app"}
    assert all(kill["child"] for kill in done.summary["oom_kills"])
    assert app["restarts"] == 0
    if done.run.kmsg.read_text().count("oom-kill:constraint") == KILLS:
        pytest.skip("all of it is true, but this machine kills so slowly that the kernel had nothing to hold back")
