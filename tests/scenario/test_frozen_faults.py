"""What befalls a pod while it is frozen: the OOM killer, `docker kill`, a freezer daemon that hangs or dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from cgroups.group import Cgroup
from emu.messages.work import Work
from emu.record.events import ContainerPaused, ContainerResumed, ContainerStarted, Event
from emu.runtime.docker import Engine
from tests.scenario.support import DEADLINE_S, Going, eventually, leftovers

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="daemons")]
MIB = 2**20
SCENARIO = """
name: frozen-faults
question: What becomes of a pod that is hit while it is frozen?
pod:
  freezer: {{method: {method}, grace: 300ms, patience: 4s}}
  backOff: {{scale: 0.01}}
  memory: {{max: 192Mi}}
  queueProxy:
    resources: {{requests: {{memory: {most}}}}}
load:
  settle: 1h
  phases: [{{name: first, type: constant, rate: 1, count: 1, duration: 1s}}]
"""
GROW = f"held = bytearray({104 * MIB})\nfor place in range(0, len(held), 4096): held[place] = 1\n"
"""What the rest of the pod (94 MiB) does not leave room for, with an app that holds 64 MiB; an app that is restarted
meanwhile has room beside it."""


def until_frozen(run: Going, attempt: int) -> ContainerStarted:
    """The instance of the app, once the kernel says that it stands still, and that is on record."""
    for _ in eventually(DEADLINE_S):
        reported = [one for one in run.events(Event) if isinstance(one, ContainerPaused | ContainerResumed)]
        last = next((one for one in reversed(reported) if one.attempt == attempt), None)
        if isinstance(last, ContainerPaused):
            app = next(one for one in run.events(ContainerStarted) if one.id == last.id)
            if Cgroup(app.cgroup).events().frozen:
                return app
    raise AssertionError(f"instance {attempt} of the app was never frozen")


def daemon_of(run: Going) -> int:
    """The pid of the run's freezer daemon."""
    return run.helper("freezer")


@pytest.fixture
def frozen_by(going: Callable[[str], Going], scenario_file: Callable[[str], str]) -> Callable[[str], Going]:
    """A run in which the pod is frozen, by this method, whenever the test asks nothing of it."""

    def begin(method: str) -> Going:
        most = psutil.virtual_memory().total * 97 // 100
        run = going(scenario_file(SCENARIO.format(method=method, most=most)))
        run.until_answered(1)
        return run

    return begin


def ends(reported: dict[str, Any]) -> list[tuple[int, str]]:
    """How the app's instances ended; queue-proxy, which did not, served none of them while it stood still."""
    assert reported["containers"]["queue-proxy"]["restarts"] == 0
    assert reported["freezer"]["served_frozen"] == 0
    assert "while frozen" in reported["verdict"]["headline"]
    return [(one["exit_code"], one["reason"]) for one in reported["containers"]["app"]["exits"]]


def test_what_docker_paused_is_killed_restarted_served_and_paused_again(
    frozen_by: Callable[[str], Going], engine: Engine
) -> None:
    """By the OOM killer at a lowered limit, and by `docker kill`. Each time the next instance answers, requests
    in between get 502 or 503 at the worst, and the verdict says that it stood still. A freezer daemon that hangs is
    an error to clients, one that dies is replaced, and the next one sees the pod as the kernel does.
    """
    run = frozen_by("docker")
    app = until_frozen(run, 0)
    assert engine.state(app.id).phase == "paused"
    Cgroup(app.cgroup).memory.max = 4 * MIB
    run.until_served()

    engine.kill(until_frozen(run, 1).id)
    assert run.ask()[0] in (200, 502, 503)
    run.until_served()

    app = until_frozen(run, 2)
    os.kill(daemon_of(run), signal.SIGSTOP)
    status, said = run.ask()
    assert status == 503
    assert said.startswith("the app is frozen and was not resumed within 4 s")
    os.kill(daemon_of(run), signal.SIGKILL)
    assert Cgroup(app.cgroup).events().frozen
    run.until_served()
    until_frozen(run, 2)

    reported = run.interrupted()
    kills = [(kill["container"], kill["attempt"], kill["level"], kill["frozen"]) for kill in reported["oom_kills"]]
    assert kills == [("app", 0, "container", True)]
    # `docker kill` ends a container with 137 as the OOM killer does; memory.events distinguishes them.
    assert ends(reported) == [(137, "OOMKilled"), (137, "Error")]
    assert "the freezer daemon exited before the end of the run" in run.run.events.read_text()
    assert {freeze["attempt"] for freeze in reported["freezes"]} == {0, 1, 2}
    assert leftovers(engine) == []


def test_what_the_kernel_froze_behind_dockers_back_is_killed_and_served_again(
    frozen_by: Callable[[str], Going], engine: Engine
) -> None:
    """Docker calls it running. By `docker kill`, and by the OOM killer as another container reaches the limit.
    (A daemon that dies meanwhile: tests/kernel/test_freezer_daemon.py.)
    """
    run = frozen_by("cgroup")
    app = until_frozen(run, 0)
    assert engine.state(app.id).phase == "running"
    engine.kill(app.id)
    assert run.ask()[0] in (200, 502, 503)
    run.until_served(Work(hold=64 * MIB, hold_for=None))

    until_frozen(run, 1)
    queue_proxy = run.container("queue-proxy")
    grown = engine.execute(queue_proxy, ["/usr/bin/python3", "-c", GROW], DEADLINE_S)
    assert grown.exit_code == 0, run.run.kmsg.read_text()
    run.until_served()
    until_frozen(run, 2)

    reported = run.interrupted()
    kills = [(kill["container"], kill["attempt"], kill["level"], kill["frozen"]) for kill in reported["oom_kills"]]
    assert kills == [("app", 1, "pod", True)]
    assert ends(reported) == [(137, "Error"), (137, "OOMKilled")]
    assert {freeze["attempt"] for freeze in reported["freezes"]} == {0, 1, 2}
    assert leftovers(engine) == []
