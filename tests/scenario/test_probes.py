"""Probes, grace periods and preStop hooks on real containers: what a kubelet would do is done, and reported."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

from cgroups import freeze
from cgroups.group import Cgroup, own_cgroup
from emu.errors import EmuError
from emu.messages.work import Work
from emu.record.events import ContainerReady, ContainerStarted, Event, KubeletEvent, read_events
from emu.runtime import images
from emu.runtime.docker import LABEL_RUN, ContainerRequest, Engine
from tests.scenario.support import DEADLINE_S, Finished, Going, eventually, run_going

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="kernel")]
SLEEP_S = "1000.25"
"""No other process of this machine sleeps for just so long."""

EACH_KIND = """
name: each-kind
question: Is each kind of probe asked, in order, and does each kind of failure show?
pod:
  backOff: {scale: 0.01}
  app:
    startupProbe:
      exec: {command: [/usr/bin/python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8080))"]}
      timeoutSeconds: 30
      periodSeconds: 1
      failureThreshold: 100
    livenessProbe:
      {httpGet: {path: /healthz}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 2,
       terminationGracePeriodSeconds: 60}
    readinessProbe: {httpGet: {path: /healthz}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 2}
    lifecycle: {preStop: {exec: {command: [/usr/bin/python3, -c, "open('/emu-data/hook', 'w')"]}}}
  sidecars:
    - name: by-exec
      command: [sleep, infinity]
      readinessProbe:
        {exec: {command: [sh, -c, "echo not yet; exit 1"]}, timeoutSeconds: 30, periodSeconds: 5}
    - name: absent
      command: [sleep, infinity]
      livenessProbe: {exec: {command: [/no/such/program]}, timeoutSeconds: 30, periodSeconds: 5, failureThreshold: 1}
    - name: slow
      command: [sleep, infinity]
      startupProbe: {exec: {command: [sleep, "300"]}, timeoutSeconds: 1, periodSeconds: 2, failureThreshold: 2}
      lifecycle: {preStop: {httpGet: {port: 9999}}}
  terminationGracePeriodSeconds: 5
  readyTimeout: 1s
load:
  settle: 1h
  phases: [{name: none, type: pause, duration: 1s}]
"""


@pytest.fixture(scope="module")
def each_kind(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A run with every kind of probe and of hook, the same one for all tests; it goes on until all has happened that
    they ask after, however slow the machine.
    """
    folder = tmp_path_factory.mktemp("each-kind")
    path = folder / "each-kind.yaml"
    path.write_text(EACH_KIND, encoding="utf-8")
    with run_going(engine, str(path), folder / "run") as going:
        going.until("sending requests")
        for _ in eventually():  # however slow the machine
            if any(one.ready for one in going.events(ContainerReady) if one.container == "queue-proxy"):
                break
        going.until_served(Work(unhealthy_for=None))
        for _ in eventually():
            if all_happened(going):
                break
        summary = going.interrupted()
        yield Finished(going.process.returncode, summary, going.run, "")


def all_happened(going: Going) -> bool:
    """The app was restarted and is well again, queue-proxy saw it, and what is slow was killed and restarted."""
    reported = going.events(Event)
    started = {(event.container, event.attempt) for event in reported if isinstance(event, ContainerStarted)}
    ready = [one.ready for one in reported if isinstance(one, ContainerReady) and one.container == "queue-proxy"]
    probed = {(event.container, event.reason) for event in reported if isinstance(event, KubeletEvent)}
    return (
        started >= {("app", 1), ("slow", 1)}
        and ready[:3] == [True, False, True]
        and probed >= {("by-exec", "Unhealthy"), ("absent", "Unhealthy"), ("slow", "FailedPreStopHook")}
    )


def events(done: Finished, container: str, reason: str) -> list[str]:
    """The messages of a container's events of one reason."""
    found = (event for event in read_events(done.run.events) if isinstance(event, KubeletEvent))
    return [event.message for event in found if (event.container, event.reason) == (container, reason)]


def test_an_unhealthy_app_is_restarted_and_well_again(each_kind: Finished) -> None:
    """Two failures of the liveness probe, then its end is asked for; the next instance is healthy and lives."""
    app = each_kind.summary["containers"]["app"]
    assert (
        events(each_kind, "app", "Unhealthy")[:2]
        == ["Liveness probe failed: HTTP probe failed with statuscode: 503"] * 2
    )
    assert events(each_kind, "app", "Killing") == ["Container app failed liveness probe, will be restarted"]
    assert [entry["killed_for"] for entry in app["exits"]] == ["liveness"]
    assert (app["restarts"], app["state"]["state"], app["last_state"]["state"]) == (1, "Running", "Terminated")


def test_the_app_ends_in_order_after_its_hook(each_kind: Finished) -> None:
    """preStop by exec, then SIGTERM, on which it ends with 0: no SIGKILL."""
    stop = each_kind.summary["containers"]["app"]["stops"][0]
    assert (stop["why"], stop["exit_code"], stop["sigkill_s"]) == ("liveness", 0, None)
    assert stop["sigterm_s"] > stop["asked_s"]
    assert events(each_kind, "app", "FailedPreStopHook") == []


def test_queue_proxy_answers_for_the_apps_readiness(each_kind: Finished) -> None:
    """The app's readiness probe by HTTP is queue-proxy's affair, as in Knative: it is queue-proxy that is unready."""
    assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in events(
        each_kind, "queue-proxy", "Unhealthy"
    )
    assert not any("Readiness" in message for message in events(each_kind, "app", "Unhealthy"))
    changes = [event for event in read_events(each_kind.run.events) if isinstance(event, ContainerReady)]
    assert [event.ready for event in changes if event.container == "queue-proxy"][:2] == [True, False]


def test_a_failing_readiness_probe_kills_nothing(each_kind: Finished) -> None:
    """It runs and is never ready; the event carries what the command printed."""
    container = each_kind.summary["containers"]["by-exec"]
    assert (container["restarts"], container["ready"], container["state"]["state"]) == (0, False, "Running")
    assert set(events(each_kind, "by-exec", "Unhealthy")) == {"Readiness probe failed: not yet"}


def test_a_command_that_is_not_there_kills_nothing(each_kind: Finished) -> None:
    """The probe errored: that says nothing of the container."""
    assert each_kind.summary["containers"]["absent"]["restarts"] == 0
    said = events(each_kind, "absent", "Unhealthy")
    assert said and all(message.startswith("Liveness probe errored") for message in said)


def test_a_startup_probe_that_never_succeeds_kills(each_kind: Finished) -> None:
    """By exec, too slow each time: timed out. What ignores SIGTERM is killed after the pod's grace period, and a hook
    that fails is logged and holds nothing up.
    """
    container = each_kind.summary["containers"]["slow"]
    assert container["restarts"] >= 1
    assert container["exits"][0]["killed_for"] == "startup"
    assert (container["exits"][0]["exit_code"], container["exits"][0]["reason"]) == (137, "Error")
    stop = container["stops"][0]
    assert stop["sigkill_s"] - stop["asked_s"] >= 0.9 * stop["grace_s"]
    assert 'Startup probe failed: command "sleep 300" timed out' in events(each_kind, "slow", "Unhealthy")
    failed = events(each_kind, "slow", "FailedPreStopHook")
    assert failed and all("connection refused" in message for message in failed)


FROZEN = """
name: frozen
question: Does a frozen container live through its liveness probe, and does it still end in order?
pod:
  stopAfter: 11s
  terminationGracePeriodSeconds: 60
  app:
    startupProbe: {tcpSocket: {}, periodSeconds: 1, failureThreshold: 100}
    livenessProbe: {httpGet: {path: /healthz}, periodSeconds: 1, failureThreshold: 3, timeoutSeconds: 2}
    lifecycle: {preStop: {exec: {command: [/usr/bin/python3, -c, "pass"]}}}
load:
  phases:
    - {name: quiet, type: constant, rate: 1, duration: 12s}
"""


@pytest.fixture
def frozen(going: Callable[[str], Going], engine: Engine, scenario_file: Callable[[str], str]) -> Iterator[Going]:
    """A run whose app is frozen soon after its start, through the kernel's own file."""
    run = going(scenario_file(FROZEN))
    run.until("sending requests")
    group: Cgroup = own_cgroup(engine.state(run.container("app")).pid)
    freeze.freeze(group)
    yield run


def test_a_frozen_container_is_not_killed_by_its_probe_and_ends_in_order(frozen: Going) -> None:
    """No process of it can answer: it is not asked. When the pod is asked to end it is thawed first, so that its hook
    can run and it ends on SIGTERM.
    """
    assert frozen.end() in (0, 1)
    summary = json.loads(frozen.run.summary.read_text())
    app = summary["containers"]["app"]
    assert (app["restarts"], app["exits"]) == (0, [])
    assert [(stop["why"], stop["exit_code"], stop["sigkill_s"]) for stop in app["stops"]] == [("pod", 0, None)]
    assert app["events"].get("FailedPreStopHook", 0) == 0


@pytest.fixture
def app(engine: Engine) -> Iterator[str]:
    """The id of a container that runs."""
    run = f"emu-exec-{uuid.uuid4().hex[:8]}"
    made = engine.create(ContainerRequest(f"{run}.app", images.BASE, {LABEL_RUN: run}, command=["sleep", "infinity"]))
    try:
        engine.start(made)
        yield made
    finally:
        engine.remove(made)


def test_commands_in_a_container(engine: Engine, app: str) -> None:
    """An exec has exit code and output; one that takes too long is killed; one that is not there is an error."""
    done = engine.execute(app, ["/usr/bin/python3", "-c", "print('said'); exit(3)"], DEADLINE_S)
    assert (done.exit_code, done.output) == (3, "said\n")
    assert engine.execute(app, ["sleep", SLEEP_S], 2.0).exit_code is None
    for _ in eventually():
        if not sleepers():
            break
    assert sleepers() == []
    with pytest.raises(EmuError):
        engine.execute(app, ["/no/such/program"], DEADLINE_S)


def sleepers() -> list[int]:
    """The processes of that command."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", SLEEP_S]]
