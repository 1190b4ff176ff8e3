"""What the API server refuses of a container (pkg/apis/core/validation): its image, ports, variables, mounts, probes,
hooks and amounts. Each path is below the container's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from emu.manifests.names import dns1123_label, dns1123_subdomain, qualified
from emu.policy.quantity import Quantity, json_quantity

Spec = dict[str, Any]
Refused = tuple[str, str]
"""The field's path, and what is wrong with it."""
REQUIRED = "Required value"
_MOST_PORT = 65535
_MOST_USER = 2**31 - 1
_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_WHOLE = "must be an integer"
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_AMOUNTS = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_SHARED = ("cpu", "memory", "ephemeral-storage")
"""What a container may be given, and may have a limit of above its request."""
_OBJECTS = (
    *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
)
_STANDARD = (*_SHARED, *_AMOUNTS, *_OBJECTS, "storage", "requests.storage")
_HUGE = "hugepages-"
_HEADER = re.compile(r"[-A-Za-z0-9]+")
_HEADER_WORDS = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)
_VARIABLE = re.compile(r"[ -<>-~]+")
_VARIABLE_WORDS = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_INSIDE = "must be between {} and {}, inclusive"
NOT_NEGATIVE = "must be greater than or equal to 0"


@dataclass
class InPod:
    """What a container is checked against."""

    volumes: set[str]
    grace_s: int = 30
    is_pod: bool = False
    """A Pod by itself: its limits are requests by the time it is checked, and images have no spaces around them."""
    names: set[str] = field(default_factory=set)
    host_ports: set[str] = field(default_factory=set)
    """Those of the containers before it."""


def invalid(value: object, words: str) -> str:
    """In the form of the API server."""
    shown = str(value) if isinstance(value, int) else f'"{value}"'
    return f"Invalid value: {shown}: {words}"


def unsupported(value: object, known: Iterable[str]) -> str:
    """A word that is none of the known ones."""
    return f'Unsupported value: "{value}": supported values: ' + ", ".join(f'"{one}"' for one in known)


def refused_container(container: Spec, pod: InPod) -> Iterator[Refused]:
    """Each of the API server's refusals of a container, by field."""
    yield from refused_names(container, pod.names)
    yield from _image(container, whole=pod.is_pod)
    yield from _ports(container.get("ports") or (), pod.host_ports)
    yield from refused_variables(container)
    yield from _mounts(container.get("volumeMounts") or (), pod.volumes)
    for kind in ("readiness", "liveness", "startup"):
        probe = container.get(f"{kind}Probe")
        if probe is not None:
            for key, words in _probe(probe, kind):
                yield f"{kind}Probe{key and '.'}{key}", words
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            for key, words in _handler(handler, pod.grace_s):
                yield f"lifecycle.{hook}{key and '.'}{key}", words
    yield from _resources(container.get("resources") or {}, pod)
    yield from refused_users(container.get("securityContext") or {})
    policy = container.get("terminationMessagePolicy")
    if policy not in (None, "", "File", "FallbackToLogsOnError"):
        yield "terminationMessagePolicy", unsupported(policy, ("File", "FallbackToLogsOnError"))


def refused_names(one: Spec, names: set[str]) -> Iterator[Refused]:
    """Of a container or a volume, among others of its kind."""
    name = one.get("name", "")
    if not name:
        yield "name", REQUIRED
    elif wrong := dns1123_label(name):
        yield from (("name", invalid(name, words)) for words in wrong)
    elif name in names:
        yield "name", f'Duplicate value: "{name}"'
    names.add(name)


def refused_users(security: Spec) -> Iterator[Refused]:
    """Of a securityContext."""
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        user = security.get(key)
        if user is not None and not 0 <= user <= _MOST_USER:
            yield f"securityContext.{key}", invalid(user, _INSIDE.format(0, _MOST_USER))


def _image(container: Spec, *, whole: bool) -> Iterator[Refused]:
    image = container.get("image", "")
    if not image:
        yield "image", REQUIRED
    elif whole and image != image.strip():
        yield "image", invalid(image, "must not have leading or trailing whitespace")
    policy = container.get("imagePullPolicy")
    if policy and policy not in _POLICIES:
        yield "imagePullPolicy", unsupported(policy, _POLICIES)


def _ports(ports: Iterable[Spec], host_ports: set[str]) -> Iterator[Refused]:
    names: set[str] = set()
    for number, port in enumerate(ports):
        path, name, value = f"ports[{number}]", port.get("name", ""), port.get("containerPort", 0)
        if wrong := _port_name(name) if name else []:
            yield from ((f"{path}.name", invalid(name, words)) for words in wrong)
        elif name in names:
            yield f"{path}.name", f'Duplicate value: "{name}"'
        elif name:
            names.add(name)
        if not value:
            yield f"{path}.containerPort", REQUIRED
        elif wrong := _port_number(value):
            yield f"{path}.containerPort", wrong[0]
        protocol, host = port.get("protocol") or "TCP", port.get("hostPort") or 0
        if host and (wrong := _port_number(host)):
            yield f"{path}.hostPort", wrong[0]
        if protocol not in _PROTOCOLS:
            yield f"{path}.protocol", unsupported(protocol, _PROTOCOLS)
        if host:
            address = f"{protocol}/{port.get('hostIP', '')}/{host}"
            if address in host_ports:
                yield f"{path}.hostPort", f'Duplicate value: "{address}"'
            host_ports.add(address)


def _port_number(value: int) -> list[str]:
    return [] if 1 <= value <= _MOST_PORT else [invalid(value, _INSIDE.format(1, _MOST_PORT))]


def _port_name(name: str) -> list[str]:
    wrong = ["must be no more than 15 characters"] if len(name) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", name):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in name:
        wrong.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def refused_variables(container: Spec) -> Iterator[Refused]:
    """Each of the API server's refusals of `env` and `envFrom`."""
    for number, variable in enumerate(container.get("env") or ()):
        path, name, source = f"env[{number}]", variable.get("name", ""), variable.get("valueFrom")
        if not name:
            yield f"{path}.name", REQUIRED
        elif not _VARIABLE.fullmatch(name):
            yield f"{path}.name", invalid(name, _VARIABLE_WORDS)
        if source is not None:
            for key, words in _source(source, bool(variable.get("value"))):
                yield f"{path}.valueFrom{key and '.'}{key}", words
    for number, entry in enumerate(container.get("envFrom") or ()):
        prefix = entry.get("prefix", "")
        if prefix and not _VARIABLE.fullmatch(prefix):
            yield f"envFrom[{number}].prefix", invalid(prefix, _VARIABLE_WORDS)
        given = [key for key in ("configMapRef", "secretRef") if entry.get(key) is not None]
        if not given:
            yield "envFrom", invalid("", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield "envFrom", invalid("", "may not have more than one field specified at a time")
        for key in given:
            if not entry[key].get("name"):
                yield f"envFrom[{number}].{key}.name", REQUIRED


def _source(source: Spec, has_value: bool) -> Iterator[Refused]:
    given = [key for key in _SOURCES if source.get(key) is not None]
    if not given:
        names = ", ".join(f"`{key}`" for key in _SOURCES[:-1])
        yield "", invalid("", f"must specify one of: {names} or `{_SOURCES[-1]}`")
    elif has_value:
        yield "", invalid("", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield "", invalid("", "may not have more than one field specified at a time")
    for key in ("configMapKeyRef", "secretKeyRef"):
        if key in given:
            for words in dns1123_subdomain(source[key].get("name") or ""):
                yield f"{key}.name", invalid(source[key].get("name") or "", words)
            if not source[key].get("key"):
                yield f"{key}.key", REQUIRED
    if "fieldRef" in given:
        path = source["fieldRef"].get("fieldPath") or ""
        if not path:
            yield "fieldRef.fieldPath", REQUIRED
        elif path.split("[")[0].split(".")[0] not in ("metadata", "spec", "status"):
            words = f"error converting fieldPath: field label not supported: {path}"
            yield "fieldRef.fieldPath", invalid(path, words)
    if "resourceFieldRef" in given:
        resource = source["resourceFieldRef"].get("resource") or ""
        if not resource:
            yield "resourceFieldRef.resource", REQUIRED
        elif resource not in _AMOUNTS and f".{_HUGE}" not in resource:
            yield "resourceFieldRef.resource", unsupported(resource, _AMOUNTS)


def _mounts(mounts: Iterable[Spec], volumes: set[str]) -> Iterator[Refused]:
    paths: set[str] = set()
    for number, mount in enumerate(mounts):
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield f"volumeMounts[{number}].name", REQUIRED
        if name not in volumes:
            yield f"volumeMounts[{number}].name", f'Not found: "{name}"'
        if not path:
            yield f"volumeMounts[{number}].mountPath", REQUIRED
        elif path in paths:
            yield f"volumeMounts[{number}].mountPath", invalid(path, "must be unique")
        paths.add(path)
        inside = mount.get("subPath") or ""
        if inside.startswith("/"):
            yield "volumeMounts.subPath", invalid(inside, "must be a relative path")
        elif ".." in inside.split("/"):
            yield "volumeMounts.subPath", invalid(inside, "must not contain '..'")


def _probe(probe: Spec, kind: str) -> Iterator[Refused]:
    yield from _handler(probe, None)
    for key in _COUNTS:
        if (probe.get(key) or 0) < 0:
            yield key, invalid(probe[key], NOT_NEGATIVE)
    grace = probe.get("terminationGracePeriodSeconds")
    if kind == "readiness":
        if grace is not None:
            yield "terminationGracePeriodSeconds", invalid(grace, "must not be set for readinessProbes")
        return
    if grace is not None and grace <= 0:
        yield "terminationGracePeriodSeconds", invalid(grace, "must be greater than 0")
    if probe.get("successThreshold") not in (None, 0, 1):
        yield "successThreshold", invalid(probe["successThreshold"], "must be 1")


def _handler(given: Spec, grace_s: int | None) -> Iterator[Refused]:
    """Of a probe, or of a hook with that grace period."""
    found = [key for key in _HANDLERS if given.get(key) is not None]
    if not found:
        yield "", f"{REQUIRED}: must specify a handler type"
    for key in found[1:]:
        yield key, "Forbidden: may not specify more than 1 handler type"
    for key in found[:1]:
        action = given[key]
        if key == "exec":
            if not action.get("command"):
                yield "exec.command", REQUIRED
        elif key == "sleep":
            words = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
            if grace_s is not None and not 0 <= (action.get("seconds") or 0) <= grace_s:
                yield key, invalid(action["seconds"], words)
        else:
            yield from _request(key, action)


def _request(key: str, action: Spec) -> Iterator[Refused]:
    port = action.get("port", 0)
    wrong = [invalid(port, words) for words in _port_name(port)] if isinstance(port, str) else _port_number(port)
    yield from ((f"{key}.port", words) for words in wrong)
    if action.get("scheme") not in (None, "", "HTTP", "HTTPS"):
        yield f"{key}.scheme", unsupported(action["scheme"], ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        if not _HEADER.fullmatch(header.get("name") or ""):
            yield f"{key}.httpHeaders", invalid(header.get("name") or "", _HEADER_WORDS)


def _resources(resources: Spec, pod: InPod) -> Iterator[Refused]:
    limits, requests = (
        {name: json_quantity(text) for name, text in (resources.get(side) or {}).items()}
        for side in ("limits", "requests")
    )
    if pod.is_pod:
        requests = {**limits, **requests}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            for words in _amount(name, amount):
                yield f"resources.{side}[{name}]", words
    for name, request in requests.items():
        yield from _against_limit(name, request, limits.get(name))
    names = {*limits, *requests}
    if any(name.startswith(_HUGE) for name in names) and not names & {"cpu", "memory"}:
        yield "resources", "Forbidden: HugePages require cpu or memory"


def refused_devices(container: Spec) -> Iterator[Refused]:
    """Of resources other than cpu and memory: a fraction of a GPU, say."""
    resources = container.get("resources") or {}
    for side in ("limits", "requests"):
        for name, text in (resources.get(side) or {}).items():
            amount = json_quantity(text)
            if _is_extended(name) and amount.milli % 1000:
                yield f"resources.{side}[{name}]", invalid(amount, _WHOLE)


def _amount(name: str, amount: Quantity) -> Iterator[str]:
    yield from (invalid(name, words) for words in _resource_name(name))
    if amount.nano < 0:
        yield invalid(amount, NOT_NEGATIVE)
    if (_is_extended(name) or name in _OBJECTS) and amount.milli % 1000:
        yield invalid(amount, _WHOLE)
    if name.startswith(_HUGE):
        try:
            page = json_quantity(name.removeprefix(_HUGE)).value
        except ValueError:
            page = 0
        if page <= 0 or amount.value % page:
            yield invalid(amount, f"{amount} is not positive integer multiple of {name}")


def _resource_name(name: str) -> list[str]:
    wrong = qualified(name)
    if "/" in name:
        odd = not wrong and "kubernetes.io/" not in name and not _is_extended(name)
        return [*wrong, "doesn't follow extended resource name standard"] if odd else wrong
    if not wrong and name not in _STANDARD and not name.removeprefix("requests.").startswith(_HUGE):
        wrong = ["must be a standard resource type or fully qualified"]
    if name not in _SHARED and not name.startswith(_HUGE):
        wrong = [*wrong, "must be a standard resource for containers"]
    return wrong


def _is_extended(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def _against_limit(name: str, request: Quantity, limit: Quantity | None) -> Iterator[Refused]:
    alike = _is_extended(name) or name.startswith(_HUGE)
    if limit is None:
        if alike:
            yield "resources.limits", f"{REQUIRED}: Limit must be set for non overcommitable resources"
    elif alike and request.nano != limit.nano:
        yield "resources.requests", invalid(request, f"must be equal to {name} limit of {limit}")
    elif request.nano > limit.nano and name in _SHARED:
        words = f"must be less than or equal to {name} limit of {limit}"
        yield "resources.requests", invalid(request, words)


def label_pairs(labels: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with labels, or a selector's."""
    for key, value in labels.items():
        yield from (invalid(key, words) for words in qualified(key))
        yield from label_value(value)


_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    f"is '{_VALUE}')"
)


def label_value(value: str) -> Iterator[str]:
    """What is wrong with the value of a label."""
    if len(value.encode()) > 63:
        yield invalid(value, "must be no more than 63 bytes")
    if not re.fullmatch(_VALUE, value):
        yield invalid(value, _VALUE_WORDS)
