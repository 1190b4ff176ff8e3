"""Scenarios with `pod.runtime: process`: the same question, the same answer, and no container of Docker's."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emu.record.events import ContainerExited, ContainerPaused, DockerEvent, OfPod, read_events
from emu.record.rundir import RunDir
from emu.record.samples import HOST, read_samples
from emu.runtime.docker import Engine
from tests import consistency
from tests.scenario.support import (
    DEADLINE_S,
    EMU,
    Finished,
    Going,
    await_nothing_left,
    eventually,
    left_by_processes,
    leftovers,
)
from tests.scenario.tutorial import Tutorial

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="process")]

EmuRun = Callable[..., Finished]
AS_A_KUBELET = """
name: as-a-kubelet
question: Are containers that crash, hang or ignore SIGTERM treated as in Docker?
pod:
  runtime: process
  backOff: {scale: 0.01}
  readyTimeout: 30s
  stopAfter: 2s
  terminationGracePeriodSeconds: 14
  app:
    livenessProbe:
      exec: {command: [/usr/bin/python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8080))"]}
      timeoutSeconds: 30
    startupProbe:
      exec: {command: [/usr/bin/python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8080))"]}
      timeoutSeconds: 30
      periodSeconds: 1
      failureThreshold: 600
    lifecycle: {preStop: {sleep: {seconds: 9}}}
  sidecars:
    - {name: exits, command: [sh, -c, exit 3]}
    - name: absent
      command: [no-such-program]
    - name: hangs
      command: [sleep, infinity]
      livenessProbe:
        {exec: {command: ["false"]}, timeoutSeconds: 30, periodSeconds: 1, terminationGracePeriodSeconds: 2}
    - {name: stubborn, command: [sleep, infinity]}
load:
  phases:
    - {name: traffic, type: constant, rate: 2, duration: 3s}
expect:
  requests.by_status.200: "== requests.sent"
  containers.exits.exits.0.exit_code: "== 3"
  containers.exits.restarts: ">= 2"
  containers.absent.events.Failed: ">= 1"
  containers.hangs.exits.0.exit_code: "== 137"
  containers.hangs.exits.0.killed_for: "== liveness"
  containers.app.restarts: "== 0"
  containers.app.ready_s: "> 0"
  containers.app.stops.0.exit_code: "== 0"
  containers.stubborn.stops.0.exit_code: "== 137"
  containers.stubborn.stops.0.sigkill_s: "!= null"
"""

LONG = """
name: long
question: Is what was started undone when the run is killed?
pod: {runtime: process, freezer: {method: cgroup, grace: 500ms}}
load: {phases: [{name: traffic, type: constant, rate: 0.2, duration: 10m}]}
"""


@pytest.fixture(scope="module")
def app_oom(tutorial: Tutorial) -> Finished:
    """app-oom as processes: the first run of the tutorial."""
    run = RunDir(tutorial.run_of("app-oom"))
    consistency.check(run.path)
    summary = json.loads(run.summary.read_text())
    return Finished(0 if summary["met"] else 1, summary, run, "")


def test_a_scenario_s_expectations_hold(app_oom: Finished, engine: Engine) -> None:
    """What app-oom expects of Docker containers is true of processes; the engine saw none of it, and nothing is left
    behind.
    """
    unmet = [one for one in app_oom.summary["expectations"] if not one["met"]]
    assert app_oom.status == 0, json.dumps(unmet, indent=1)
    assert app_oom.summary["machine"]["runtime"] == "process"
    assert app_oom.summary["machine"]["docker"] is None
    assert leftovers(engine) == []


def test_a_kill_is_judged_without_docker_s_flag(app_oom: Finished) -> None:
    """The kernel's witnesses are enough: its counters, its log by cgroup and pid, and the exit code."""
    (kill, *_) = app_oom.summary["oom_kills"]
    assert (kill["container"], kill["level"]) == ("app", "container")
    assert {"memory.events", "exit-code"} <= set(kill["evidence"]) <= {"memory.events", "kmsg", "exit-code"}
    assert kill["contradicts"] == []
    exits = [one for one in read_events(app_oom.run.events) if isinstance(one, ContainerExited)]
    assert {one.docker_oom_killed for one in exits} == {None}
    died = [
        one.attributes["exitCode"]
        for one in read_events(app_oom.run.events)
        if isinstance(one, DockerEvent) and one.action == "die"
    ]
    assert "137" in died


def test_the_record_names_the_pod(app_oom: Finished) -> None:
    """In every event about the pod, its containers or cgroups, and of every file in the samples but the machine's."""
    (name,) = {one.pod for one in read_events(app_oom.run.events) if isinstance(one, OfPod)}
    assert re.fullmatch(r"[a-z-]+-00001-deployment-[a-z0-9]{8,10}-[a-z0-9]{5}", name)
    owners = {owner for sample in read_samples(app_oom.run.samples) for owner in sample.files} - {HOST}
    assert {owner.pod for owner in owners} == {name}
    assert {owner.container for owner in owners} == {"", "sandbox", "queue-proxy", "app"}


def test_what_containers_print_is_kept(app_oom: Finished) -> None:
    """In the run's logs, and with journald under each container's name."""
    assert "listening" in app_oom.run.container_logs("app")[0].read_text()
    if Path("/run/systemd/journal/socket").exists():
        entries = [json.loads(line) for line in app_oom.run.journal.read_text().splitlines()]
        names = {entry.get("CONTAINER_NAME", "").split(".", 2)[-1] for entry in entries}
        assert {"queue-proxy.0", "app.0", "app.1"} <= names


def test_what_a_kubelet_does_is_done(emu_run: EmuRun, engine: Engine, tmp_path: Path) -> None:
    """Crashes, exec probes, hooks and grace periods: the same ends, exit codes and events."""
    path = tmp_path / "as-a-kubelet.yaml"
    path.write_text(AS_A_KUBELET, encoding="utf-8")
    done = emu_run(str(path))
    assert done.status == 0, json.dumps([one for one in done.summary["expectations"] if not one["met"]], indent=1)
    assert leftovers(engine) == []


def test_what_a_killed_run_started_is_undone(
    going: Callable[[str], Going], scenario_file: Callable[[str], str]
) -> None:
    """After SIGKILL by `emu clean`, frozen processes too. (After Ctrl-C by the run itself, which keeps its record:
    test_faults.py.)
    """
    one = going(scenario_file(LONG))
    one.until_answered(1)
    for _ in eventually():
        if one.events(ContainerPaused):
            break
    assert left_by_processes() != []
    one.signal(signal.SIGKILL)
    one.end()
    subprocess.run([*EMU, "clean"], check=True, timeout=DEADLINE_S)
    await_nothing_left(one.engine)
