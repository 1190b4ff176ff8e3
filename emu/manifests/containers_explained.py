"""The containers of a revision, explained: ports, resources, probes and who runs them, and queue-proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from emu.files.yamlfile import Node
from emu.manifests.clusterconfig import RESOURCES, ClusterConfig
from emu.manifests.explanation import DEFAULT, Explanation, node_at
from emu.manifests.queueproxy import queue_proxy_resources
from emu.manifests.starting_env import Objects
from emu.manifests.starting_files import not_mounted
from emu.manifests.variables_explained import explain_rights, explain_variables
from emu.policy.quantity import number_text, parse_amount
from emu.spec.values import DOCKER_MINIMUM_BYTES
from emu.units import format_bytes

Spec = dict[str, Any]
_HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
_NETWORK = ("httpGet", "tcpSocket", "grpc")


def explain_containers(
    made: Explanation,
    spec: Spec,
    node: Node | None,
    annotations: Mapping[str, str],
    source: Callable[[str], str],
    config: ClusterConfig,
    objects: Objects,
) -> None:
    """All containers in their order, init containers first, and queue-proxy last. `objects`: what their variables may
    come from.
    """
    for group in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(group, [])):
            place = node_at(node, (group, number)) if node is not None else None
            name = container["name"]
            made.add(f"{name}: image", container.get("image", ""), _mark(place, "image"))
            explain_resources(made, name, container, place)
            explain_variables(made, name, container, place, objects)
            explain_rights(made, name, container, place, spec.get("securityContext"))
            if group == "containers":
                _serving(made, container, place, alone=len(spec["containers"]) == 1)
    explain_volumes(made, spec, node, objects)
    serving = serving_container(spec)
    port = _port(serving)
    h2c = port["name"] == "h2c"
    named = f"the user port is named {port['name']}" if port["name"] else "the user port has no name"
    made.add("queue-proxy: port", 8013 if h2c else 8012, "derived", named)
    for (resource, kind), (text, by) in queue_proxy_resources(annotations, serving, config).items():
        value = number_text(parse_amount(text))
        where = source(by)
        made.add(f"queue-proxy: {resource} {kind}", value, where, text if text != value else "")
    _probe_of_queue_proxy(made, serving, port)


def serving_container(spec: Spec) -> Spec:
    """The one that has the port, else the first."""
    containers: list[Spec] = spec["containers"]
    return next((one for one in containers if one.get("ports")), containers[0])


def _mark(place: Node | None, *way: str | int) -> str:
    found = node_at(place, way) if place is not None else None
    return str(found.mark) if found is not None else DEFAULT


def _port(container: Spec) -> Spec:
    port: Spec = (container.get("ports") or [{}])[0]
    return {"name": port.get("name", ""), "containerPort": port.get("containerPort") or 8080}


_MANY_CPUS = 512
"""More than that is probably meant in thousandths."""


class _Amount(NamedTuple):
    """An amount of a resource: as it is written, and what that is."""

    text: str
    value: Fraction

    @classmethod
    def of(cls, written: object) -> _Amount:
        """An amount of memory or CPU as the manifest spells it."""
        return cls(str(written), parse_amount(str(written)))

    @property
    def shown(self) -> str:
        """Its number, without a suffix."""
        return number_text(self.value)


def explain_resources(
    made: Explanation, name: str, container: Spec, place: Node | None, *, knative: bool = True
) -> None:
    """Requests and limits, in bytes and CPUs, with what Kubernetes fills in. Without `knative` nobody but Kubernetes
    looks at them, which refuses a request above its limit itself.
    """
    resources: Spec = container.get("resources") or {}
    requests, limits = (
        {key: _Amount.of(value) for key, value in (resources.get(group) or {}).items()}
        for group in ("requests", "limits")
    )
    for group, given in (("requests", requests), ("limits", limits)):
        for resource, amount in sorted(given.items()):
            where = _mark(place, "resources", group, resource)
            note = amount.text if amount.text != amount.shown else ""
            made.add(f"{name}: {resource} {group[:-1]}", amount.shown, where, note)
            if resource not in RESOURCES:
                made.note(f"{resource} cannot be emulated: the pod runs without it")
            if resource == "cpu" and amount.value >= _MANY_CPUS and amount.text.isdecimal():
                found = node_at(place, ("resources", group, resource)) if place is not None else None
                words = f"{name}: {group} of cpu are {amount.text} CPUs: {amount.text}m is probably meant"
                made.note(words, found.mark if found is not None else None)
            if resource == "memory" and group == "limits" and 0 < amount.value < DOCKER_MINIMUM_BYTES:
                found = node_at(place, ("resources", group, resource)) if place is not None else None
                made.note(_small_limit(name, amount), found.mark if found is not None else None)
    for resource, limit in sorted(limits.items()):
        if resource not in requests and resource in RESOURCES:
            why = "Kubernetes: a limit without a request is one"
            made.add(f"{name}: {resource} request", limit.shown, "derived", why)
        elif knative and resource in requests and requests[resource].value > limit.value:
            found = node_at(place, ("resources", "requests", resource)) if place is not None else None
            made.note(
                f"{name}: the {resource} request {requests[resource].text} is above the limit {limit.text}: Knative "
                "accepts it, Kubernetes refuses the pod",
                found.mark if found is not None else None,
            )


def _small_limit(name: str, limit: _Amount) -> str:
    """That no container starts in so little memory, and what was probably meant."""
    text, value = limit.text, limit.value
    amount = f"{limit.shown} bytes" if value.denominator != 1 else format_bytes(int(value))
    number = text.rstrip("mkKMi")
    meant = f": {number}Mi is probably meant" if text in (number, f"{number}m") else ""
    return f"{name}: no container starts with a memory limit of {text}, which is {amount}{meant}"


def _serving(made: Explanation, container: Spec, place: Node | None, *, alone: bool) -> None:
    name = container["name"]
    if container.get("ports") or alone:
        port = _port(container)
        made.add(f"{name}: port", port["containerPort"], _mark(place, "ports", 0), port["name"])
    elif not any(probe in container for probe in ("readinessProbe", "livenessProbe", "startupProbe")):
        made.add(f"{name}: probes", "none", DEFAULT, "another container serves")
    readiness = container.get("readinessProbe")
    if readiness is not None:
        where = _mark(place, "readinessProbe")
        made.add(f"{name}: readiness", probe_text(readiness), where, _who_probes(readiness))
    for kind in ("liveness", "startup"):
        probe = container.get(f"{kind}Probe")
        if probe is None:
            continue
        how = "the kubelet runs it against the app"
        if kind == "liveness" and any(handler in probe for handler in ("httpGet", "tcpSocket")):
            how = f"{how}, at the user port"
        if kind == "startup":
            how = f"{how}; until it passes the pod is not Ready, and the activator waits"
        made.add(f"{name}: {kind}", probe_text(probe), _mark(place, f"{kind}Probe"), how)


def probe_text(probe: Mapping[str, Any]) -> str:
    """A probe in one line."""
    handler = next((name for name in _HANDLERS if name in probe), "none")
    action: Spec = probe.get(handler, {})
    on = f"on {action.get('port') or 'the user port'}"
    of = f", service {action['service']}" if action.get("service") else ""
    what = {
        "httpGet": f"http {action.get('path') or '/'} {on}",
        "tcpSocket": f"tcp {on}",
        "grpc": f"grpc {on}{of}",
        "exec": f"exec {' '.join(action.get('command', []))}",
        "none": "no handler",
    }[handler]
    numbers = [f"{name} {probe[name]}" for name in sorted(probe) if name not in _HANDLERS]
    if "periodSeconds" not in probe:
        numbers.append("periodSeconds 0")
    return ", ".join([what, *numbers])


def _who_probes(probe: Mapping[str, Any]) -> str:
    if "exec" in probe:
        return "stays on the container: the kubelet runs it; queue-proxy tries the user port by tcp"
    if probe.get("periodSeconds", 0):
        return "moved to queue-proxy: one try each time the kubelet asks it"
    return "moved to queue-proxy: tried every 50 ms for up to 10 s (period 0, Knative's own)"


def _probe_of_queue_proxy(made: Explanation, serving: Spec, port: Spec) -> None:
    probe = serving.get("readinessProbe", {})
    target = "grpc" if "grpc" in probe else "http" if "httpGet" in probe else "tcp"
    action: Spec = next((probe[name] for name in _NETWORK if name in probe), {})
    number = action.get("port") or port["containerPort"]
    made.add("queue-proxy: readiness", f"{target} on {number}", "derived", "what it asks of the app, on 127.0.0.1")


def explain_volumes(made: Explanation, spec: Spec, holder: Node | None, objects: Objects) -> None:
    """Each with its kind, and why it is not mounted."""
    for number, volume in enumerate(spec.get("volumes", [])):
        kind = next((name for name in volume if name != "name"), "emptyDir")
        limit = volume[kind].get("sizeLimit") if isinstance(volume.get(kind), dict) else None
        where = node_at(holder, ("volumes", number)) if holder is not None else None
        source = str(where.mark) if where is not None else DEFAULT
        made.add(f"volume {volume.get('name', '')}", f"{kind}{f', sizeLimit {limit}' if limit else ''}", source)
        if why := not_mounted(volume, objects):
            made.note(f"{why}: its pods wait in ContainerCreating", where.mark if where is not None else None)
