"""Probes and hooks in a scenario: Kubernetes' shape and defaults, its refusals, and Knative's rewriting."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.policy.probing import ProbeRule
from emu.scenario.reading import read_scenario, resolve
from emu.spec import HttpGetSpec, ProbeSpec

HEAD = "name: it\nquestion: What?\n"


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
    reported = str(refused.value)
    assert what in reported and at in reported


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


@pytest.mark.parametrize(
    ("pod", "grace_s"),
    [("{}", 300), ("{timeoutSeconds: 60}", 60), ("{timeoutSeconds: 60, terminationGracePeriodSeconds: 5}", 5)],
)
def test_the_grace_period_is_knatives(pod: str, grace_s: int) -> None:
    """The revision's timeout, unless the scenario gives one."""
    assert read_scenario(f"{HEAD}pod: {pod}\n", "it").pod.grace_s == grace_s
