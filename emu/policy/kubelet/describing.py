"""`kubectl describe pod`, less its events (k8s.io/kubectl, pkg/describe): a pod's manifest with its status, in
lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from emu.policy.kubelet.tabular import aligned
from emu.policy.printing import print_age
from emu.policy.quantity import json_quantity

Manifest = Mapping[str, Any]
_LONGEST_ANNOTATION = 140
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_PLAIN_IN_PATHS = "/$&+,:;=@"
"""What Go leaves in a path beside letters, digits and `-_.~`."""
_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def describe_pod(pod: Manifest, qos: str, now: float | None = None) -> list[str]:
    """Times in UTC. `now` is for a pod that is being deleted, seconds since 1970."""
    return aligned("\n".join(_pod(pod, qos, now)).split("\n"))


def _pod(pod: Manifest, qos: str, now: float | None) -> Iterator[str]:
    meta, spec, status = pod.get("metadata") or {}, pod.get("spec") or {}, pod.get("status") or {}
    yield f"Name:\t{meta.get('name', '')}"
    yield f"Namespace:\t{meta.get('namespace', '')}"
    for title, key in (
        ("Priority", "priority"),
        ("Priority Class Name", "priorityClassName"),
        ("Runtime Class Name", "runtimeClassName"),
        ("Service Account", "serviceAccountName"),
    ):
        if spec.get(key) not in (None, ""):
            yield f"{title}:\t{spec[key]}"
    yield f"Node:\t{spec['nodeName']}/{status.get('hostIP', '')}" if spec.get("nodeName") else "Node:\t<none>"
    if status.get("startTime"):
        yield f"Start Time:\t{_time(status['startTime'])}"
    yield from _labels("Labels", meta.get("labels"))
    yield from _annotations(meta.get("annotations"))
    yield from _phase(meta, status, now)
    profile = (spec.get("securityContext") or {}).get("seccompProfile")
    if profile is not None:
        yield f"SeccompProfile:\t{profile.get('type', '')}"
        if profile.get("type") == "Localhost":
            yield f"LocalhostProfile:\t{profile.get('localhostProfile', '')}"
    yield f"IP:\t{status.get('podIP', '')}"
    ips = status.get("podIPs")
    yield from ["IPs:", *(f"  IP:\t{one['ip']}" for one in ips)] if ips else ["IPs:\t<none>"]
    owner = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), None)
    if owner is not None:
        yield f"Controlled By:\t{owner['kind']}/{owner['name']}"
    if spec.get("resources") is not None:
        yield "Resources:"
        yield from _resources(spec["resources"], "  ")
    if spec.get("initContainers"):
        yield from _containers(meta, "Init Containers", spec["initContainers"], status.get("initContainerStatuses"))
    yield from _containers(meta, "Containers", spec.get("containers") or (), status.get("containerStatuses"))
    if spec.get("readinessGates"):
        met = {one["type"]: one["status"] for one in reversed(status.get("conditions") or ())}
        yield from ["Readiness Gates:", "  Type\tStatus"]
        yield from (
            f"  {(kind := one['conditionType'])} \t{met.get(kind, '<none>')} " for one in spec["readinessGates"]
        )
    if status.get("conditions"):
        yield from ["Conditions:", "  Type\tStatus"]
        yield from (f"  {one['type']} \t{one['status']} " for one in status["conditions"])
    yield from _volumes(spec.get("volumes"))
    yield f"QoS Class:\t{qos}"
    yield from _labels("Node-Selectors", spec.get("nodeSelector"))
    yield from _tolerations(spec.get("tolerations"))


def _phase(meta: Manifest, status: Manifest, now: float | None) -> Iterator[str]:
    deleted, phase = meta.get("deletionTimestamp"), status.get("phase", "")
    if deleted is not None and phase not in ("Failed", "Succeeded"):
        since = (now or 0.0) - datetime.fromisoformat(deleted).timestamp()
        yield f"Status:\tTerminating (lasts {print_age(since)})"
        yield f"Termination Grace Period:\t{meta.get('deletionGracePeriodSeconds', 0)}s"
    else:
        yield f"Status:\t{phase}"
    for title, key in (("Reason", "reason"), ("Message", "message")):
        if status.get(key):
            yield f"{title}:\t{status[key]}"


def _labels(title: str, labels: Mapping[str, str] | None) -> Iterator[str]:
    texts = [f"{key}={value}" for key, value in sorted((labels or {}).items())] or ["<none>"]
    yield f"{title}:\t{texts[0]}"
    yield from (f"\t{text}" for text in texts[1:])


def _annotations(annotations: Mapping[str, str] | None) -> Iterator[str]:
    kept = sorted((key, value) for key, value in (annotations or {}).items() if key != _LAST_APPLIED)
    lines = []
    for key, value in kept:
        value = value.removesuffix("\n")
        if len(value) + len(key) + 2 > _LONGEST_ANNOTATION or "\n" in value:
            lines += [f"{key}:", *(f"  {_shortened(one)}" for one in value.split("\n"))]
        else:
            lines.append(f"{key}: {value}")
    lines = lines or ["<none>"]
    yield f"Annotations:\t{lines[0]}"
    yield from (f"\t{line}" for line in lines[1:])


def _shortened(text: str) -> str:
    longest = _LONGEST_ANNOTATION - 2
    return text if len(text) <= longest else f"{text[:longest]}..."


def _containers(
    meta: Manifest, title: str, containers: Sequence[Manifest], statuses: Sequence[Manifest] | None
) -> Iterator[str]:
    by_name = {one["name"]: one for one in statuses or ()}
    yield f"{title}:" if containers else f"{title}: <none>"
    for one in containers:
        status = by_name.get(one["name"])
        yield f"  {one['name']}:"
        yield from ("    " + line for line in _container(meta, one, status))


def _container(meta: Manifest, one: Manifest, status: Manifest | None) -> Iterator[str]:
    if status is not None:
        yield f"Container ID:\t{status.get('containerID', '')}"
    yield f"Image:\t{one.get('image', '')}"
    if status is not None:
        yield f"Image ID:\t{status.get('imageID', '')}"
    ports = one.get("ports") or ()
    for title, key in (("Port", "containerPort"), ("Host Port", "hostPort")):
        text = ", ".join(_port(port, key) for port in ports)
        yield f"{title}{'s' if ',' in text else ''}:\t{text or '<none>'}"
    for title, key in (("Command", "command"), ("Args", "args")):
        if one.get(key):
            yield f"{title}:"
            yield from (f"  {line}" for word in one[key] for line in word.split("\n"))
    if status is not None:
        yield from _status(status)
    yield from _resources(one.get("resources") or {}, "")
    for title in ("Liveness", "Readiness", "Startup"):
        probe = one.get(f"{title.lower()}Probe")
        if probe is not None:
            yield f"{title}:\t{_probe(probe)}"
    yield from _sources(one.get("envFrom"))
    yield from _environment(meta, one)
    yield from _mounts(one.get("volumeMounts"))


def _port(port: Manifest, key: str) -> str:
    name = f" ({port['name']})" if port.get("name") else ""
    return f"{port.get(key, 0)}/{port.get('protocol', 'TCP')}{name}"


def _status(status: Manifest) -> Iterator[str]:
    yield from _state("State", status.get("state") or {})
    last = status.get("lastState") or {}
    if last.get("terminated") is not None:
        yield from _state("Last State", last)
    yield f"Ready:\t{bool(status.get('ready'))}"
    yield f"Restart Count:\t{status.get('restartCount', 0)}"


def _state(title: str, state: Manifest) -> Iterator[str]:
    """The message of a waiting container is not shown."""
    if (running := state.get("running")) is not None:
        yield f"{title}:\tRunning"
        yield f"  Started:\t{_time(running.get('startedAt'))}"
        return
    ended = state.get("terminated")
    if state.get("waiting") is not None or ended is None:
        yield f"{title}:\tWaiting"
        if (state.get("waiting") or {}).get("reason"):
            yield f"  Reason:\t{state['waiting']['reason']}"
        return
    yield f"{title}:\tTerminated"
    if ended.get("reason"):
        yield f"  Reason:\t{ended['reason']}"
    if ended.get("message"):
        yield f"  Message:\t{ended['message']}"
    yield f"  Exit Code:\t{ended.get('exitCode', 0)}"
    if ended.get("signal", 0) > 0:
        yield f"  Signal:\t{ended['signal']}"
    yield f"  Started:\t{_time(ended.get('startedAt'))}"
    yield f"  Finished:\t{_time(ended.get('finishedAt'))}"


def _time(text: str | None) -> str:
    """RFC 1123 with the zone as a number."""
    t = datetime.fromisoformat(text).astimezone(UTC) if text else datetime(1, 1, 1, tzinfo=UTC)
    day, month = _DAYS[t.weekday()], _MONTHS[t.month - 1]
    return f"{day}, {t.day:02} {month} {t.year:04} {t.hour:02}:{t.minute:02}:{t.second:02} +0000"


def _resources(resources: Manifest, indent: str) -> Iterator[str]:
    for title in ("limits", "requests"):
        amounts = resources.get(title)
        if amounts:
            yield f"{indent}{title.title()}:"
            yield from (f"{indent}  {name}:\t{json_quantity(amounts[name])}" for name in sorted(amounts))


def _probe(probe: Manifest) -> str:
    times = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 0)}s "
        f"period={probe.get('periodSeconds', 0)}s #success={probe.get('successThreshold', 0)} "
        f"#failure={probe.get('failureThreshold', 0)}"
    )
    if (command := probe.get("exec")) is not None:
        return f"exec [{' '.join(command.get('command') or ())}] {times}"
    if (get := probe.get("httpGet")) is not None:
        host, port, path = get.get("host", ""), get.get("port", 0), get.get("path", "")
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        path = quote(path, safe=_PLAIN_IN_PATHS)
        scheme = str(get.get("scheme", "")).lower()
        separator = "" if not path or path.startswith("/") else "/"
        return f"http-get {scheme + ':' if scheme else ''}//{where}{separator}{path} {times}"
    if (tcp := probe.get("tcpSocket")) is not None:
        return f"tcp-socket {tcp.get('host', '')}:{tcp.get('port', 0)} {times}"
    if (grpc := probe.get("grpc")) is not None:
        return f"grpc <pod>:{grpc.get('port', 0)} {grpc.get('service', '')} {times}"
    return f"unknown {times}"


def _sources(sources: Sequence[Manifest] | None) -> Iterator[str]:
    if not sources:
        return
    yield "Environment Variables from:"
    for one in sources:
        kind, ref = "", {}
        for key, what in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if one.get(key) is not None:
                kind, ref = what, one[key]
        prefix = f" with prefix '{one['prefix']}'" if one.get("prefix") else ""
        yield f"  {ref.get('name', '')}\t{kind}{prefix}\tOptional: {_yes(ref.get('optional'))}"


def _yes(flag: Any) -> str:
    return str(bool(flag)).lower()


def _environment(meta: Manifest, container: Manifest) -> Iterator[str]:
    env = container.get("env")
    yield "Environment:" if env else "Environment:\t<none>"
    for one in env or ():
        source = one.get("valueFrom")
        if source is None:
            first, *rest = str(one.get("value", "")).split("\n")
            yield f"  {one['name']}:\t{first}"
            yield from (f"  \t{line}" for line in rest)
        else:
            yield from (f"  {one['name']}:\t{text}" for text in _from(meta, container, source))


def _from(meta: Manifest, container: Manifest, source: Manifest) -> Iterator[str]:
    """Where a variable's value comes from, and the value where the manifest has it."""
    if (ref := source.get("fieldRef")) is not None:
        yield f"{_field(meta, ref['fieldPath'])} ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})"
    elif (ref := source.get("resourceFieldRef")) is not None:
        yield f"{_amount(container, ref)} ({ref['resource']})"
    elif (ref := source.get("secretKeyRef")) is not None:
        to = f"<set to the key '{ref['key']}' in secret '{ref['name']}'>"
        yield f"{to}\tOptional: {_yes(ref.get('optional'))}"
    elif (ref := source.get("configMapKeyRef")) is not None:
        to = f"<set to the key '{ref['key']}' of config map '{ref['name']}'>"
        yield f"{to}\tOptional: {_yes(ref.get('optional'))}"


def _field(meta: Manifest, path: str) -> str:
    """kubectl finds what is in the pod's metadata, and nothing else."""
    if (key := re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)) is not None:
        return str((meta.get(key[1]) or {}).get(key[2], ""))
    return str(meta.get(path.removeprefix("metadata."), "")) if path in _FIELDS else ""


def _amount(container: Manifest, ref: Manifest) -> str:
    """In multiples of the divisor, rounded up; no limit is what the node has."""
    side, _, name = ref["resource"].partition(".")
    amounts = (container.get("resources") or {}).get(side) or {}
    amount = json_quantity(amounts[name]).nano if name in amounts else 0
    by = json_quantity(ref["divisor"]).nano if ref.get("divisor") else 0
    found = -(-amount // (by or 10**9))
    return "node allocatable" if not found and ref["resource"] in ("limits.cpu", "limits.memory") else str(found)


def _mounts(mounts: Sequence[Manifest] | None) -> Iterator[str]:
    yield "Mounts:" if mounts else "Mounts:\t<none>"
    for one in sorted(mounts or (), key=lambda one: str(one["mountPath"])):
        flags = "ro" if one.get("readOnly") else "rw"
        path = f',path="{one["subPath"]}"' if one.get("subPath") else ""
        yield f"  {one['mountPath']} from {one['name']} ({flags}{path})"


def _volumes(volumes: Sequence[Manifest] | None) -> Iterator[str]:
    if not volumes:
        yield "Volumes:\t<none>"
        return
    yield "Volumes:"
    for one in volumes:
        yield f"  {one['name']}:"
        yield from _source(one)


def _source(one: Manifest) -> Iterator[str]:
    if (path := one.get("hostPath")) is not None:
        yield "    Type:\tHostPath (bare host directory volume)"
        yield f"    Path:\t{path.get('path', '')}"
        yield f"    HostPathType:\t{'<none>' if path.get('type') is None else path['type']}"
    elif (empty := one.get("emptyDir")) is not None:
        limit = json_quantity(empty["sizeLimit"]) if empty.get("sizeLimit") is not None else None
        yield "    Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)"
        yield f"    Medium:\t{empty.get('medium', '')}"
        yield f"    SizeLimit:\t{limit if limit is not None and limit.nano > 0 else '<unset>'}"
    elif (secret := one.get("secret")) is not None:
        yield "    Type:\tSecret (a volume populated by a Secret)"
        yield f"    SecretName:\t{secret.get('secretName', '')}"
        yield f"    Optional:\t{_yes(secret.get('optional'))}"
    elif (files := one.get("configMap")) is not None:
        yield "    Type:\tConfigMap (a volume populated by a ConfigMap)"
        yield f"    Name:\t{files.get('name', '')}"
        yield f"    Optional:\t{_yes(files.get('optional'))}"
    elif (claim := one.get("persistentVolumeClaim")) is not None:
        yield ("    Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)")
        yield f"    ClaimName:\t{claim.get('claimName', '')}"
        yield f"    ReadOnly:\t{_yes(claim.get('readOnly'))}"
    elif (projected := one.get("projected")) is not None:
        yield "    Type:\tProjected (a volume that contains injected data from multiple sources)"
        for source in projected.get("sources") or ():
            yield from _projection(source)
    else:
        yield "  <unknown>"


def _projection(source: Manifest) -> Iterator[str]:
    if (secret := source.get("secret")) is not None:
        yield from (f"    SecretName:\t{secret.get('name', '')}", f"    Optional:\t{_yes(secret.get('optional'))}")
    elif source.get("downwardAPI") is not None:
        yield "    DownwardAPI:\ttrue"
    elif (files := source.get("configMap")) is not None:
        yield from (f"    ConfigMapName:\t{files.get('name', '')}", f"    Optional:\t{_yes(files.get('optional'))}")
    elif (token := source.get("serviceAccountToken")) is not None:
        yield f"    TokenExpirationSeconds:\t{token.get('expirationSeconds', 3600)}"


def _tolerations(tolerations: Sequence[Manifest] | None) -> Iterator[str]:
    texts = [_toleration(one) for one in sorted(tolerations or (), key=lambda one: str(one.get("key", "")))]
    yield f"Tolerations:\t{texts[0] if texts else '<none>'}"
    yield from (f"\t{text}" for text in texts[1:])


def _toleration(one: Manifest) -> str:
    text = str(one.get("key", ""))
    text += f"={one['value']}" if one.get("value") else ""
    text += f":{one['effect']}" if one.get("effect") else ""
    if one.get("operator") == "Exists" and not one.get("value"):
        text = re.sub(r"^ ", "", f"{text} op=Exists")
    seconds = one.get("tolerationSeconds")
    return text if seconds is None else f"{text} for {seconds}s"
