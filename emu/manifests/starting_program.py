"""What a container of a manifest runs → a scenario's `program`, and what of it has no place there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from emu.manifests.starting_env import variables_of
from emu.manifests.starting_security import security_of
from emu.manifests.yamltext import Lines, Said
from emu.messages import USER_PORT

_MOST_NAME = 255
_WITHOUT_PLACE = ("lifecycle",)
_DEFAULT_PROBE = {"tcpSocket": {}, "successThreshold": 1}
"""Knative gives it to a container without one; queue-proxy does the same by itself."""
PROBE_TIMES = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
_H2C = "h2c"


class Metadata(NamedTuple):
    """Of a pod, as its template has it."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    security: Mapping[str, Any] = {}
    """The pod's own securityContext."""


NO_METADATA = Metadata()


class Program(NamedTuple):
    """What runs in a container of a manifest: the keys of its image, or a stand-in."""

    keys: Lines | None
    """None: only a stand-in can run."""
    left_out: list[str]
    """What is left out whether the image runs or not."""


def program_of(container: Mapping[str, Any], *, serves: bool = False, of: Metadata = NO_METADATA) -> Program:
    """`serves`: it has the port, and queue-proxy in front of it. `of`: the pod's."""
    image, ports = str(container.get("image", "")), container.get("ports") or [{}]
    left_out = [f"{name} of its containers" for name in _WITHOUT_PLACE if container.get(name)]
    if not 0 < len(image) <= _MOST_NAME:
        return Program(None, left_out)
    if serves and ports[0].get("name") == _H2C:
        why = f"its port is {_H2C}, and emu's load speaks HTTP/1.1 to it"
        left_out += security_of(container.get("securityContext") or {}, of.security)[1]
        return Program(None, [f"the image {image} ({why}), for which emu's own app stands in", *left_out])
    port = ports[0].get("containerPort")
    variables = variables_of(container, of.labels, of.annotations)
    left_out += variables.left_out
    keys: Lines = {"image": image}
    for name in ("command", "args"):
        if container.get(name):
            keys[name] = [str(one) for one in container[name]]
    keys |= variables.keys
    if container.get("workingDir"):
        keys["workingDir"] = str(container["workingDir"])
    security, without = security_of(container.get("securityContext") or {}, of.security)
    left_out += without
    if security:
        keys["securityContext"] = security
    if port and not (serves and port == USER_PORT):
        keys["port"] = port
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind)
        if not probe or probe == _DEFAULT_PROBE:
            continue
        if (made := _probe(probe, ports, often=serves and kind == "readinessProbe")) is not None:
            keys[kind] = made
    return Program(keys, left_out)


def _probe(probe: Mapping[str, Any], ports: list[Mapping[str, Any]], *, often: bool) -> Lines | None:
    """With ports by their numbers; the first one goes without saying."""
    made: Lines
    if "exec" in probe:
        made = {"exec": {"command": list(probe["exec"].get("command") or ())}}
    elif (kind := next((one for one in ("httpGet", "tcpSocket", "grpc") if one in probe), None)) is not None:
        made = {kind: _asked(probe[kind] or {}, ports)}
    else:
        return None
    names = (*PROBE_TIMES, "terminationGracePeriodSeconds")
    times = {name: probe[name] for name in names if probe.get(name) and (name, probe[name]) not in _ONCE}
    if often and "exec" not in probe and "periodSeconds" not in times:
        times["periodSeconds"] = Said(1, "Knative: without a period queue-proxy asks every 50 ms")
    return {**made, **times}


_ONCE = {("successThreshold", 1)}


def _asked(action: Mapping[str, Any], ports: list[Mapping[str, Any]]) -> Lines:
    made = {key: action[key] for key in ("path", "host", "scheme", "httpHeaders", "service") if action.get(key)}
    numbers = {one.get("name"): one.get("containerPort") for one in ports if one.get("name")}
    port = action.get("port") or None
    port = numbers.get(port, port)
    if isinstance(port, str) and port.isdecimal():
        port = int(port)
    if isinstance(port, int) and port != (ports[0].get("containerPort") or USER_PORT):
        made["port"] = port
    return made
