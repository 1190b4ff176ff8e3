"""The environment of a container, as the kubelet makes it from `envFrom` and `env`, and what `$(NAME)` becomes in
them, in `command` and in `args` (pkg/kubelet/kubelet_pods.go, third_party/forked/golang/expansion).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from emu.policy.quantity import json_quantity

CONFIG_ERROR = "CreateContainerConfigError"
"""Why a container waits that cannot even be asked for."""
NAMESPACE = "default"
"""The only one."""
Kind = Literal["ConfigMap", "Secret"]
Resource = Literal["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"]
_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_PLAIN = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)


@dataclass(frozen=True)
class KeyRef:
    """A key of a ConfigMap or Secret."""

    kind: Kind
    name: str
    key: str
    optional: bool = False


@dataclass(frozen=True)
class FieldRef:
    """A field of the pod, known only once the pod is there (Kubernetes' fieldRef)."""

    path: str
    before: str = ""
    """What stands before it."""


@dataclass(frozen=True)
class ResourceFieldRef:
    """A request or limit of a container, in multiples of the divisor, rounded up."""

    resource: Resource
    container: str = ""
    """Empty: the container's own."""
    divisor: str = ""
    """Empty: 1, a byte or a whole CPU."""


@dataclass(frozen=True)
class Source:
    """All keys of a ConfigMap or Secret (one of `envFrom`)."""

    kind: Kind
    name: str
    prefix: str = ""
    optional: bool = False


Value = str | KeyRef | FieldRef | ResourceFieldRef
Data = Mapping[str, Mapping[str, str]]
"""Of each ConfigMap or Secret, by its name."""


@dataclass(frozen=True)
class Known:
    """What values are taken from. Amounts are bytes and millicores by container and resource."""

    fields: Mapping[str, str]
    amounts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    objects: Mapping[Kind, Data] = field(default_factory=dict)


class ConfigError(ValueError):
    """The container cannot be made: the kubelet's message."""


_LONGEST_HOSTNAME = 63


def hostname(pod: str) -> str:
    """What a pod of this name calls itself: the kubelet cuts it to what a host's name may be."""
    return pod[:_LONGEST_HOSTNAME].rstrip("-.")


def is_field(path: str) -> bool:
    """Whether an environment variable may have this field of the pod."""
    return path in _PLAIN or _KEYED.fullmatch(path) is not None


def expanded(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` is a variable's value and stays where there is none; `$$` is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[1] else known.get(found[2], found[0])

    return _REFERENCE.sub(value, text)


def references(text: str) -> list[str]:
    """The names that a text refers to as `$(NAME)`."""
    return [found[2] for found in _REFERENCE.finditer(text) if not found[1]]


def variables(sources: Sequence[Source], env: Mapping[str, Value], own: str, known: Known) -> dict[str, str]:
    """The environment of the container `own`. A text sees the variables before it and those of `sources`.
    ConfigError.
    """
    made: dict[str, str] = {}
    for one in sources:
        data = _object(one.kind, one.name, known, optional=one.optional)
        made |= {f"{one.prefix}{key}": value for key, value in (data or {}).items()}
    for name, given in env.items():
        value = expanded(given, made) if isinstance(given, str) else _value(given, own, known)
        if value is not None:
            made[name] = value
    return made


def _value(given: KeyRef | FieldRef | ResourceFieldRef, own: str, known: Known) -> str | None:
    if isinstance(given, KeyRef):
        return _key(given, known)
    if isinstance(given, FieldRef):
        return given.before + _field(given.path, known)
    return _amount(given, own, known)


def _object(kind: Kind, name: str, known: Known, *, optional: bool) -> Mapping[str, str] | None:
    found = known.objects.get(kind, {}).get(name)
    if found is None and not optional:
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    return found


def _key(ref: KeyRef, known: Known) -> str | None:
    data = _object(ref.kind, ref.name, known, optional=ref.optional)
    if data is None or (ref.key not in data and ref.optional):
        return None
    if ref.key not in data:
        raise ConfigError(f"couldn't find key {ref.key} in {ref.kind} {NAMESPACE}/{ref.name}")
    return data[ref.key]


def _field(path: str, known: Known) -> str:
    if path in known.fields:
        return known.fields[path]
    if _KEYED.fullmatch(path):  # a label that the pod does not have
        return ""
    raise ConfigError(f"unsupported fieldPath: {path}")


def _amount(ref: ResourceFieldRef, own: str, known: Known) -> str:
    amount = known.amounts.get((ref.container or own, ref.resource), 0)
    unit = 10**6 if ref.resource.endswith(".cpu") else 10**9
    nano = json_quantity(ref.divisor).nano if ref.divisor else 0
    return str(-(-amount * unit // (nano or 10**9)))
