"""The probes of a revision's containers: what Knative refuses of them."""

from __future__ import annotations

from typing import Any

from emu.manifests.fielderror import Problem, invalid, one_of, out_of_bounds, via
from emu.policy.golang import INT32_MAX

Spec = dict[str, Any]
HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
_PORTS = {"httpGet": "httpGet.port", "tcpSocket": "tcpSocket.port"}


def validate_probe(probe: Spec | None, port: Spec | None) -> list[Problem]:
    """The faults of a probe; `port` is the pod's port for the container that serves, None for another."""
    if probe is None:
        return []
    problems: list[Problem] = []
    handlers = [name for name in HANDLERS if name in probe]
    for handler in handlers:
        # What was found before gains the handler in its path, as in Knative's own chain of calls.
        problems = via(problems, handler)
        if handler in _PORTS:
            problems += _probe_port(probe[handler].get("port", 0), port, _PORTS[handler])
    named = ["gRPC" if name == "grpc" else name for name in handlers]
    if not handlers:
        problems.append(one_of(HANDLERS, neither=True))
    elif len(handlers) > 1:
        problems.append(one_of(named, neither=False))
    return problems


def _probe_port(value: int | str, port: Spec | None, path: str) -> list[Problem]:
    if port is None:
        return [] if value else [invalid(value, path, "Probe port must be specified")]
    if isinstance(value, str) and value and value != port["name"]:
        return [invalid(value, path, "Probe port must match container port")]
    return []


def validate_readiness(probe: Spec | None, port: Spec | None) -> list[Problem]:
    """The faults of a readiness probe; its period may be 0, which is Knative's own way of probing often."""
    if probe is None:
        return []
    problems = validate_probe(probe, port)
    for name, least in (("periodSeconds", 0), ("initialDelaySeconds", 0), ("successThreshold", 1)):
        problems += _at_least(probe, name, least)
    if probe.get("periodSeconds", 0):
        return problems + _at_least(probe, "timeoutSeconds", 1) + _at_least(probe, "failureThreshold", 1)
    return problems + [
        Problem(f"{name} is disallowed when periodSeconds is zero", (name,))
        for name in ("failureThreshold", "timeoutSeconds")
        if probe.get(name, 0)
    ]


def _at_least(probe: Spec, name: str, least: int) -> list[Problem]:
    value = probe.get(name, 0)
    return [out_of_bounds(value, least, INT32_MAX, name)] if value < least else []
