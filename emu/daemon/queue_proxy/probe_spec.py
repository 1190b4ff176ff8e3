"""The readiness probe that Knative passes as JSON → values. Pure.

Read as Go's encoding/json reads a v1.Probe (pkg/queue/readiness, DecodeProbes): names in any case, null as nothing,
unknown names passed over, and a value of another type refused. Nothing is filled in: what the JSON does not say is
empty or 0, for the controller has put the defaults in before.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, TypeVar

_HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
"""Of several the first of these is asked (readiness.Probe.probeContainerImpl)."""
_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "terminationGracePeriodSeconds",
)
_INT32_MAX = 2**31 - 1
_TYPES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_Value = TypeVar("_Value")


class ProbeFailedError(Exception):
    """The app is not ready, in the words of Knative's prober."""


class ProbeError(Exception):
    """The probe that Knative passed cannot be read."""


class Readiness(NamedTuple):
    """One container's readiness probe. Seconds; 0 is no value, and not a default."""

    kind: str = ""
    """Of its handler; empty where it has none."""
    host: str = ""
    port: str = "0"
    scheme: str = ""
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""
    period_s: int = 0
    timeout_s: int = 0
    success_threshold: int = 0


def decode(text: str, several: bool) -> list[Readiness]:
    """The probes in this text, none where it is empty. ProbeError."""
    if not text:
        return []
    try:
        parsed = json.loads(text, parse_constant=_not_json)
    except ValueError as wrong:
        raise ProbeError(f"Queue container failed to parse readiness probe: {wrong}") from None
    if several:
        return [_readiness(_typed(each, dict, "v1.Probe")) for each in _typed(parsed, list, "[]*v1.Probe")]
    return [_readiness(_typed(parsed, dict, "v1.Probe"))]


def _not_json(word: str) -> None:
    raise ValueError(f"invalid character {word[:1]!r} looking for beginning of value")


def _readiness(probe: dict[str, Any]) -> Readiness:
    numbers = {name: _number(probe, name) for name in _NUMBERS}
    handlers = {name: _object(probe, name) for name in _HANDLERS}
    read = {name: _handler(name, handler) for name, handler in handlers.items() if handler is not None}
    kind = next(iter(read), "")
    return Readiness(
        kind,
        **read.get(kind, {}),
        period_s=numbers["periodSeconds"],
        timeout_s=numbers["timeoutSeconds"],
        success_threshold=numbers["successThreshold"],
    )


def _handler(kind: str, handler: dict[str, Any]) -> dict[str, Any]:
    if kind == "exec":
        for word in _list(handler, "command"):
            _typed(word, str, "string")
        return {}
    if kind == "grpc":
        return {"port": str(_number(handler, "port")), "service": _text(handler, "service")}
    found: dict[str, Any] = {"host": _text(handler, "host"), "port": _port(handler)}
    if kind == "httpGet":
        headers = [_typed(each, dict, "v1.HTTPHeader") for each in _list(handler, "httpHeaders")]
        found |= {
            "scheme": _text(handler, "scheme"),
            "path": _text(handler, "path"),
            "headers": tuple((_text(each, "name"), _text(each, "value")) for each in headers),
        }
    return found


def _port(handler: dict[str, Any]) -> str:
    """A number, or a text that may be a service's name (intstr.IntOrString)."""
    value = _member(handler, "port")
    return value if isinstance(value, str) else str(_number(handler, "port"))


def _member(parent: dict[str, Any], name: str) -> Any:
    """The value of a name, written exactly so or else in another case; None where it is absent or null."""
    if name in parent:
        return parent[name]
    return next((value for key, value in parent.items() if key.lower() == name.lower()), None)


def _number(parent: dict[str, Any], name: str) -> int:
    value = _member(parent, name)
    if value is None:
        return 0
    if type(value) is int and (name.startswith("termination") or -_INT32_MAX - 1 <= value <= _INT32_MAX):
        return value
    shown = f"number {value}" if type(value) in (int, float) else _TYPES[type(value)]
    raise _refused(shown, f"field {name} of type int32")


def _text(parent: dict[str, Any], name: str) -> str:
    value = _member(parent, name)
    return "" if value is None else _typed(value, str, f"field {name} of type string")


def _list(parent: dict[str, Any], name: str) -> list[Any]:
    value = _member(parent, name)
    return [] if value is None else _typed(value, list, f"field {name}")


def _object(parent: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = _member(parent, name)
    return None if value is None else _typed(value, dict, f"field {name}")


def _typed(value: Any, kind: type[_Value], where: str) -> _Value:
    if not isinstance(value, kind):
        raise _refused(_TYPES.get(type(value), "null"), where)
    return value


def _refused(found: str, where: str) -> ProbeError:
    return ProbeError(
        f"Queue container failed to parse readiness probe: json: cannot unmarshal {found} into a probe's {where}"
        if where.startswith("field")
        else f"Queue container failed to parse readiness probe: json: cannot unmarshal {found} into a {where}"
    )
