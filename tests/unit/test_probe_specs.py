"""Probes and hooks in a scenario: Kubernetes' shape and defaults, its refusals, and Knative's rewriting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emu.errors import EmuError
from emu.kubelet.pod import Pod
from emu.policy.probing import ProbeRule
from emu.record.events import EventLog
from emu.scenario.reading import read_scenario, resolve
from emu.spec import ExecSpec, HttpGetSpec, ProbeSpec, SleepSpec, TcpSocketSpec
from tests.fakes import FakeEngine, FakePodCgroup

HEAD = "name: it\nquestion: What?\n"


def pod_of(pod: str, tmp_path: Path) -> Pod:
    """A pod of a scenario with this under `pod:`; nothing of it is started."""
    spec = read_scenario(f"{HEAD}pod: {pod}\n", "it").pod
    log = EventLog(tmp_path / "events.jsonl")
    cgroup = FakePodCgroup(tmp_path)
    return Pod(spec, "emu-it", FakeEngine(), cgroup, log, machine_memory_bytes=2**30, owner="1:0")


def test_the_defaults_are_kubernetes() -> None:
    """Delay 0, period 10 s, timeout 1 s, one success, three failures; the pod's grace period."""
    probe = ProbeSpec.model_validate({"httpGet": {}})
    assert probe.rule == ProbeRule()
    assert (probe.timeout_seconds, probe.termination_grace_period_seconds) == (1, None)
    assert probe.handler == HttpGetSpec(path="/", port=None, scheme="HTTP")


@pytest.mark.parametrize(
    ("pod", "what", "at"),
    [
        ("{app: {livenessProbe: {periodSeconds: 1}}}", "no handler", "livenessProbe"),
        ("{app: {livenessProbe: {httpGet: {}, tcpSocket: {}}}}", "more than one handler", "tcpSocket"),
        ("{app: {livenessProbe: {exec: {command: []}}}}", "command", "command"),
        ("{app: {livenessProbe: {httpGet: {}, successThreshold: 2}}}", "first success", "successThreshold"),
        ("{app: {startupProbe: {httpGet: {}, successThreshold: 2}}}", "first success", "successThreshold"),
        ("{app: {livenessProbe: {httpGet: {}, periodSeconds: 0}}}", "periodSeconds", "periodSeconds"),
        ("{app: {livenessProbe: {httpGet: {path: healthz}}}}", "path", "path"),
        ("{app: {livenessProbe: {httpGet: {port: 70000}}}}", "port", "port"),
        ("{app: {livenessProbe: {httpget: {}}}}", "httpget", "httpget"),
        (
            "{app: {readinessProbe: {httpGet: {}, terminationGracePeriodSeconds: 5}}}",
            "ends nothing",
            "terminationGracePeriodSeconds",
        ),
        ("{sidecars: [{name: agent, livenessProbe: {tcpSocket: {}}}]}", "no port", "tcpSocket"),
        ("{app: {lifecycle: {preStop: {}}}}", "no handler", "preStop"),
        ("{app: {lifecycle: {preStop: {sleep: {seconds: 1}, exec: {command: [x]}}}}}", "more than one", "sleep"),
    ],
)
def test_what_kubernetes_refuses(pod: str, what: str, at: str) -> None:
    """With the key at which it is wrong."""
    with pytest.raises(EmuError) as refused:
        read_scenario(f"{HEAD}pod: {pod}\n", "it")
    told = str(refused.value)
    assert what in told and at in told


def test_a_resolved_scenario_reads_the_same() -> None:
    """Probes and hooks survive the run directory's scenario.yaml."""
    text = f"""{HEAD}
pod:
  app:
    startupProbe: {{exec: {{command: [a, b]}}, failureThreshold: 30}}
    readinessProbe: {{httpGet: {{path: /r, httpHeaders: [{{name: X, value: y}}]}}}}
    livenessProbe: {{tcpSocket: {{port: 9}}, terminationGracePeriodSeconds: 3}}
    lifecycle: {{preStop: {{sleep: {{seconds: 3}}}}}}
"""
    spec = read_scenario(text, "it")
    assert read_scenario(resolve(spec), "again").pod == spec.pod


def test_without_probes_we_look_often(tmp_path: Path) -> None:
    """queue-proxy is asked as Knative has it, the app and a sidecar with a port by TCP: looks of our own."""
    pod = pod_of("{sidecars: [{name: mesh, port: 15021}, {name: agent}]}", tmp_path)
    handlers = {name: pod.probes(name) for name in pod.containers}
    assert {name: set(probes) for name, probes in handlers.items()} == {
        "queue-proxy": {"readiness"}, "app": {"readiness"}, "mesh": {"readiness"}, "agent": set(),
    }  # fmt: skip
    asked = handlers["queue-proxy"]["readiness"].handler
    assert isinstance(asked, HttpGetSpec)
    assert ("K-Network-Probe", "queue") in [(one.name, one.value) for one in asked.http_headers]
    assert isinstance(handlers["app"]["readiness"].handler, TcpSocketSpec)
    assert all(probe.ours for probes in handlers.values() for probe in probes.values())


def test_the_apps_readiness_is_queue_proxys_affair(tmp_path: Path) -> None:
    """As Knative's controller rewrites it: queue-proxy gets the probe as JSON and is asked in its rhythm."""
    probe = "{httpGet: {path: /r}, periodSeconds: 3, failureThreshold: 5, timeoutSeconds: 2}"
    pod = pod_of(f"{{app: {{port: 9000, readinessProbe: {probe}}}}}", tmp_path)
    asked = pod.probes("queue-proxy")["readiness"]
    assert isinstance(asked.handler, HttpGetSpec) and asked.handler.port == 8012
    assert (asked.rule, asked.timeout_s) == (ProbeRule(period_s=3, failure_threshold=5), 2)
    assert pod.probes("app")["readiness"].ours
    told = json.loads(environment(pod, "queue-proxy")["SERVING_READINESS_PROBE"])
    assert told["httpGet"] == {
        "path": "/r", "port": 9000, "host": "127.0.0.1", "scheme": "HTTP", "httpHeaders": [],
    }  # fmt: skip
    assert (told["periodSeconds"], told["timeoutSeconds"], told["failureThreshold"]) == (3, 2, 5)


def environment(pod: Pod, container: str) -> dict[str, Any]:
    """The environment in which a container is made."""
    pod.create(container, 0)
    engine = pod._engine  # the fake one
    assert isinstance(engine, FakeEngine)
    return dict(engine.made[-1].env)


def test_an_exec_readiness_probe_stays_with_the_app(tmp_path: Path) -> None:
    """queue-proxy cannot run a command in another container: it connects to the port, the kubelet asks the app."""
    pod = pod_of("{app: {readinessProbe: {exec: {command: [x]}}}}", tmp_path)
    assert isinstance(pod.probes("app")["readiness"].handler, ExecSpec)
    assert pod.probes("queue-proxy")["readiness"].ours
    assert "tcpSocket" in json.loads(environment(pod, "queue-proxy")["SERVING_READINESS_PROBE"])


def test_queue_proxys_own_probe_goes_first(tmp_path: Path) -> None:
    """What the scenario gives it is asked, whatever the app's says."""
    pod = pod_of(
        "{queueProxy: {readinessProbe: {tcpSocket: {}}}, app: {readinessProbe: {httpGet: {}}}}", tmp_path
    )  # fmt: skip
    assert isinstance(pod.probes("queue-proxy")["readiness"].handler, TcpSocketSpec)


def test_the_apps_hook_waits_for_the_drain(tmp_path: Path) -> None:
    """Knative's, unless the scenario has another; other containers have none of their own accord."""
    pod = pod_of("{sidecars: [{name: agent, lifecycle: {preStop: {sleep: {seconds: 2}}}}]}", tmp_path)
    assert pod.pre_stop("app") == HttpGetSpec(port=8022, path="/wait-for-drain")
    assert pod.pre_stop("agent") == SleepSpec(seconds=2)
    assert pod.pre_stop("queue-proxy") is None
    assert pod_of("{app: {lifecycle: {preStop: {sleep: {seconds: 2}}}}}", tmp_path).pre_stop("app") == SleepSpec(
        seconds=2
    )


@pytest.mark.parametrize(
    ("pod", "grace_s"),
    [("{}", 300), ("{timeoutSeconds: 60}", 60), ("{timeoutSeconds: 60, terminationGracePeriodSeconds: 5}", 5)],
)
def test_the_grace_period_is_knatives(pod: str, grace_s: int) -> None:
    """The revision's timeout, unless the scenario gives one."""
    assert read_scenario(f"{HEAD}pod: {pod}\n", "it").pod.grace_s == grace_s
