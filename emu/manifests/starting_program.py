"""What a container of a manifest runs → a scenario's `program`, and what of it has no place there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from emu.manifests.yamltext import Lines, Said
from emu.messages import USER_PORT

_MOST_NAME = 255
_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_WITHOUT_PLACE = ("envFrom", "workingDir", "securityContext", "lifecycle")
_DEFAULT_PROBE = {"tcpSocket": {}, "successThreshold": 1}
"""Knative gives it to a container without one; queue-proxy does the same by itself."""
PROBE_TIMES = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
_H2C = "h2c"


class Program(NamedTuple):
    """What becomes of it."""

    keys: Lines | None
    """None: only a stand-in can run."""
    left_out: list[str]
    """What is left out whether the image runs or not."""


def program_of(container: Mapping[str, Any], *, serves: bool = False) -> Program:
    """`serves`: it has the port, and queue-proxy in front of it."""
    image, ports = str(container.get("image", "")), container.get("ports") or [{}]
    left_out = [f"{name} of its containers" for name in _WITHOUT_PLACE if container.get(name)]
    if not 0 < len(image) <= _MOST_NAME:
        return Program(None, left_out)
    if serves and ports[0].get("name") == _H2C:
        why = f"its port is {_H2C}, and emu's load speaks HTTP/1.1 to it"
        return Program(None, [f"the image {image} ({why}), for which emu's own app stands in", *left_out])
    port = ports[0].get("containerPort")
    env, elsewhere = _env(container, port or (USER_PORT if serves else None))
    if elsewhere:
        left_out.append(f"env with valueFrom ({', '.join(elsewhere)})")
    keys: Lines = {"image": image}
    for name in ("command", "args"):
        if container.get(name):
            keys[name] = [_expanded(str(one), env) for one in container[name]]
    if named := {name: env[name] for name in env if name in _names(container)}:
        keys["env"] = named
    if port and not (serves and port == USER_PORT):
        keys["port"] = port
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind)
        if not probe or probe == _DEFAULT_PROBE:
            continue
        made = _probe(probe, ports, often=serves and kind == "readinessProbe")
        if made is None:
            left_out.append(f"a {kind} by gRPC")
        else:
            keys[kind] = made
    return Program(keys, left_out)


def _names(container: Mapping[str, Any]) -> list[str]:
    return [str(one.get("name", "")) for one in container.get("env") or ()]


def _env(container: Mapping[str, Any], port: int | None) -> tuple[dict[str, str], list[str]]:
    """Its variables, each with those before it filled in, and the names of those whose values are elsewhere."""
    known = {} if port is None else {"PORT": str(port)}
    elsewhere = []
    for one in container.get("env") or ():
        if "valueFrom" in one:
            elsewhere.append(str(one.get("name", "")))
        else:
            known[str(one["name"])] = _expanded(str(one.get("value", "")), known)
    return known, elsewhere


def _expanded(text: str, env: Mapping[str, str]) -> str:
    """As Kubernetes: `$(NAME)` is a variable's value, stays where there is none, and `$$` is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] is None else env.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def _probe(probe: Mapping[str, Any], ports: list[Mapping[str, Any]], *, often: bool) -> Lines | None:
    """With ports by their numbers; the first one goes without saying."""
    made: Lines
    if "exec" in probe:
        made = {"exec": {"command": list(probe["exec"].get("command") or ())}}
    elif (kind := next((one for one in ("httpGet", "tcpSocket") if one in probe), None)) is not None:
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
    made = {key: action[key] for key in ("path", "host", "scheme", "httpHeaders") if action.get(key)}
    numbers = {one.get("name"): one.get("containerPort") for one in ports if one.get("name")}
    port = action.get("port") or None
    port = numbers.get(port, port)
    if isinstance(port, str) and port.isdecimal():
        port = int(port)
    if isinstance(port, int) and port != (ports[0].get("containerPort") or USER_PORT):
        made["port"] = port
    return made
