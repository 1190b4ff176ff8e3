"""The pod of a revision: which fields and values Knative refuses (pkg/apis/serving/k8s_validation.go, fieldmask.go).

What is checked was decoded: it holds only what is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emu.manifests.clusterconfig import Features
from emu.manifests.fielderror import Problem, disallowed, invalid, missing, one_of, only, out_of_bounds, via
from emu.manifests.names import dns1123_subdomain, is_image
from emu.manifests.probes import HANDLERS, validate_probe, validate_readiness
from emu.manifests.volumes import validate_mounts, validate_volumes
from emu.messages import QUEUE_PROXY
from emu.policy.golang import INT32_MAX, quote

Spec = dict[str, Any]
RESERVED_PORTS = (8012, 8013, 8022, 9090, 9091, 8008)
_RESERVED_ENV = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_POD_FIELDS = (
    "serviceAccountName",
    "containers",
    "volumes",
    "imagePullSecrets",
    "enableServiceLinks",
    "containerConcurrency",
    "timeoutSeconds",
    "responseStartTimeoutSeconds",
    "idleTimeoutSeconds",
)
_POD_FLAGS = {
    "affinity": "affinity",
    "topologySpreadConstraints": "topologyspreadconstraints",
    "hostAliases": "hostaliases",
    "nodeSelector": "nodeselector",
    "runtimeClassName": "runtimeclassname",
    "tolerations": "tolerations",
    "shareProcessNamespace": "shareprocessnamespace",
    "priorityClassName": "priorityclassname",
    "schedulerName": "schedulername",
    "initContainers": "init-containers",
    "dnsPolicy": "dnspolicy",
    "dnsConfig": "dnsconfig",
    "hostIPC": "hostipc",
    "hostPID": "hostpid",
    "hostNetwork": "hostnetwork",
}
_CONTAINER_FIELDS = (
    "name",
    "args",
    "command",
    "env",
    "workingDir",
    "envFrom",
    "image",
    "imagePullPolicy",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "volumeMounts",
)
_SECURITY_FIELDS = (
    "capabilities",
    "readOnlyRootFilesystem",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "allowPrivilegeEscalation",
    "seccompProfile",
)
_POD_SECURITY_FIELDS = ("runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile")


def validate_pod_spec(spec: Spec, features: Features) -> list[Problem]:
    """The faults of a revision's pod."""
    containers: list[Spec] = spec.get("containers", [])
    first: list[Spec] = spec.get("initContainers", [])
    problems = only(spec, _allowed(spec, features))
    problems += via(_pod_security(spec.get("securityContext"), features), "securityContext")
    problems += _insecure(spec, features)
    mounted = {mount.get("name", "") for one in (*first, *containers) for mount in one.get("volumeMounts", [])}
    volumes, wrong = validate_volumes(spec.get("volumes", []), mounted, features)
    problems += via(wrong, "volumes")
    problems += _init_containers(first, containers, volumes, features)
    port, wrong = _ports(containers)
    problems += via(wrong, "containers[*]")
    if not containers:
        problems.append(missing("containers"))
    elif len(containers) == 1:
        problems += via(_serving(containers[0], volumes, port, features), "containers", 0)
    else:
        problems += _containers(containers, volumes, port, features)
    account = spec.get("serviceAccountName", "")
    if account:
        problems += [invalid(account, "serviceAccountName", why) for why in dns1123_subdomain(account)]
    return problems


def _allowed(spec: Spec, features: Features) -> set[str]:
    allowed = {*_POD_FIELDS}
    if spec.get("automountServiceAccountToken") is False:
        allowed.add("automountServiceAccountToken")
    allowed |= {name for name, flag in _POD_FLAGS.items() if not features.disabled(f"kubernetes.podspec-{flag}")}
    if not (features.disabled("kubernetes.podspec-securitycontext") and features.disabled("secure-pod-defaults")):
        allowed.add("securityContext")
    return allowed


def _pod_security(context: Spec | None, features: Features) -> list[Problem]:
    if context is None:
        return []
    allowed: set[str] = set()
    profile = context.get("seccompProfile")
    if features.secure and profile is not None and _plain_profile(profile):
        allowed.add("seccompProfile")
    if not features.disabled("kubernetes.podspec-securitycontext"):
        allowed |= {*_POD_SECURITY_FIELDS}
    problems = only(context, allowed)
    problems += _ids(context, ("runAsUser", "runAsGroup", "fsGroup"))
    for number, group in enumerate(context.get("supplementalGroups", [])):
        if not 0 <= group <= INT32_MAX:
            problems += via([out_of_bounds(group, 0, INT32_MAX, "")], "supplementalGroups", number)
    return problems


def _plain_profile(profile: Spec) -> bool:
    return profile.get("type") in ("RuntimeDefault", "Unconfined") and "localhostProfile" not in profile


def _ids(context: Spec, names: Sequence[str]) -> list[Problem]:
    return [
        out_of_bounds(context[name], 0, INT32_MAX, name)
        for name in names
        if name in context and not 0 <= context[name] <= INT32_MAX
    ]


def _insecure(spec: Spec, features: Features) -> list[Problem]:
    """Knative's warnings about what Kubernetes leaves open."""
    if features.secure:
        return []
    pod: Spec = spec.get("securityContext", {})
    problems: list[Problem] = []
    for group in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(group, [])):
            found = _insecure_container(pod, container.get("securityContext", {}))
            problems += via(via(found, "securityContext"), group, number)
    return problems


def _insecure_container(pod: Spec, own: Spec) -> list[Problem]:
    names = []
    if "runAsNonRoot" not in pod and "runAsNonRoot" not in own:
        names.append("runAsNonRoot")
    if "allowPrivilegeEscalation" not in own:
        names.append("allowPrivilegeEscalation")
    if "seccompProfile" not in pod and "seccompProfile" not in own:
        names.append("seccompProfile")
    elif not any(context.get("seccompProfile", {}).get("type") for context in (pod, own)):
        names.append("seccompProfile.type")
    if "capabilities" not in own:
        names.append("capabilities")
    elif "drop" not in own["capabilities"]:
        names.append("capabilities.drop")
    words = "Kubernetes default value is insecure, Knative may default this to secure in a future release"
    problems = [Problem(words, (name,), warning=True) for name in names]
    if own.get("capabilities", {}).get("drop", [])[:1] == ["all"]:
        why = "Must be spelled as 'ALL'"
        problems.append(Problem("invalid value: all", ("capabilities.drop",), why, warning=True))
    return problems


def _ports(containers: list[Spec]) -> tuple[Spec, list[Problem]]:
    """The port that the pod serves on, and what is wrong with their number."""
    count, port = 0, {}
    for container in containers:
        if ports := container.get("ports"):
            count += len(ports)
            port = ports[0]
    found = {"name": port.get("name") or "http", "containerPort": port.get("containerPort") or 8080}
    if count == 0 and len(containers) > 1:
        return found, [missing("ports")]
    if count > 1:
        words = "Only a single port is allowed across all containers"
        return found, [Problem("more than one container port is set", ("ports",), words)]
    return found, []


def _init_containers(first: list[Spec], others: list[Spec], volumes: Spec, features: Features) -> list[Problem]:
    if not first:
        return []
    if not features.enabled("kubernetes.podspec-init-containers"):
        return [Problem(f"pod spec support for init-containers is off, but found {len(first)} init containers")]
    names = {one.get("name", "") for one in others}
    problems: list[Problem] = []
    for number, container in enumerate(first):
        if container.get("name", "") in names:
            problems = via([*problems, _duplicate(container)], "containers", number)
        wrong = [
            Problem("field not allowed in an init container", (name,))
            for name in (*_PROBES, "lifecycle")
            if name in container
        ]
        problems += via([*wrong, *_container(container, volumes, features, "init")], "containers", number)
    return problems


def _duplicate(container: Spec) -> Problem:
    return Problem(f"duplicate container name {quote(container.get('name', ''))}", ("name",))


def _containers(containers: list[Spec], volumes: Spec, port: Spec, features: Features) -> list[Problem]:
    if not features.enabled("multi-container"):
        return [Problem(f"multi-container is off, but found {len(containers)} containers")]
    names: set[str] = set()
    problems: list[Problem] = []
    for number, container in enumerate(containers):
        if container.get("name", "") in names:
            problems = via([*problems, _duplicate(container)], "containers", number)
        names.add(container.get("name", ""))
        if container.get("ports"):
            wrong = _serving(container, volumes, port, features)
        else:
            wrong = _sidecar(container, volumes, features)
        problems += via(wrong, "containers", number)
    return problems


def _serving(container: Spec, volumes: Spec, port: Spec, features: Features) -> list[Problem]:
    problems: list[Problem] = []
    for name in _PROBES:
        check = validate_readiness if name == "readinessProbe" else validate_probe
        problems += via(check(container.get(name), port), name)
    return problems + _container(container, volumes, features, "serving")


def _sidecar(container: Spec, volumes: Spec, features: Features) -> list[Problem]:
    problems: list[Problem] = []
    for name in _PROBES:
        if features.enabled("multi-container-probing"):
            check = validate_readiness if name == "readinessProbe" else validate_probe
            problems += via(check(container.get(name), None), name)
        else:
            problems += via(_no_probe(container.get(name, {})), name)
    return problems + _container(container, volumes, features, "sidecar")


def _no_probe(probe: Spec) -> list[Problem]:
    """Nothing may be set; a handler, being inlined in Knative's type, is reported as the probe itself."""
    names = sorted({"" if name in HANDLERS else name for name in probe})
    return [disallowed(*names)] if names else []


def _container(container: Spec, volumes: Spec, features: Features, role: str) -> list[Problem]:
    problems = only(container, _CONTAINER_FIELDS)
    if container.get("name") == QUEUE_PROXY:
        problems.append(Problem(f'"{QUEUE_PROXY}" is a reserved container name', ("name",)))
    problems += via(_env(container.get("env", []), features, role), "env")
    problems += via(_env_from(container.get("envFrom", [])), "envFrom")
    image = container.get("image", "")
    if not image:
        problems.append(missing("image"))
    elif not is_image(image):
        why = f"image: {quote(image)}, error: could not parse reference: {image}"
        problems.append(Problem("Failed to parse image reference", ("image",), why))
    ports = container.get("ports", [])
    if role == "init":
        problems += via([one for port in ports for one in _port(port)], "ports")
    elif ports:
        problems += via(_serving_port(ports[0]), "ports")
    problems += via(only(container.get("resources", {}), ("limits", "requests")), "resources")
    problems += via(_security(container.get("securityContext"), features), "securityContext")
    policy = container.get("terminationMessagePolicy", "")
    if policy not in ("File", "FallbackToLogsOnError", ""):
        problems.append(invalid(policy, "terminationMessagePolicy"))
    return problems + via(validate_mounts(container.get("volumeMounts", []), volumes, features), "volumeMounts")


def _env(env: list[Spec], features: Features, role: str) -> list[Problem]:
    reserved = _RESERVED_ENV if role == "serving" else _RESERVED_ENV[1:]
    sources = ["configMapKeyRef", "secretKeyRef"]
    if not features.disabled("kubernetes.podspec-fieldref"):
        sources += ["fieldRef", "resourceFieldRef"]
    problems: list[Problem] = []
    for number, entry in enumerate(env):
        name = entry.get("name", "")
        wrong: list[Problem] = []
        if not name:
            wrong.append(missing("name"))
        elif name in reserved:
            wrong.append(Problem(f"{quote(name)} is a reserved environment variable", ("name",)))
        wrong += via(only(entry.get("valueFrom", {}), sources), "valueFrom")
        problems += via(wrong, number)
    return problems


def _env_from(sources: list[Spec]) -> list[Problem]:
    problems: list[Problem] = []
    for number, source in enumerate(sources):
        # The paths of what was found before gain the prefix of each later source, as in Knative's own loop.
        for name in ("secretRef", "configMapRef"):
            if name in source:
                problems = via(problems, name, number)
        both = "secretRef" in source and "configMapRef" in source
        if both or not ("secretRef" in source or "configMapRef" in source):
            problems.append(one_of(("configMapRef", "secretRef"), neither=not both))
    return problems


def _serving_port(port: Spec) -> list[Problem]:
    problems = _port(port)
    protocol, name = port.get("protocol", ""), port.get("name", "")
    if protocol not in ("", "TCP"):
        problems.append(invalid(protocol, "protocol"))
    if name not in ("h2c", "http1", ""):
        why = "Name must be empty, or one of: 'h2c', 'http1'"
        problems.append(Problem(f"Port name {name} is not allowed", ("",), why))
    return problems


def _port(port: Spec) -> list[Problem]:
    problems = only(port, ("containerPort", "name", "protocol"))
    number = port.get("containerPort", 0)
    if number in RESERVED_PORTS:
        taken = f"{number} is a reserved port"
        problems.append(invalid(taken, "containerPort", f"{taken}, please use a different value"))
    if not 0 <= number <= 65535:
        problems.append(out_of_bounds(number, 0, 65535, "containerPort"))
    return problems


def _security(context: Spec | None, features: Features) -> list[Problem]:
    if context is None:
        return []
    allowed = [*_SECURITY_FIELDS] + (["privileged"] if context.get("privileged") is False else [])
    problems = only(context, allowed)
    capabilities = context.get("capabilities", {})
    add_is_fine = features.enabled("kubernetes.containerspec-addcapabilities") or (
        features.secure and capabilities.get("add") == ["NET_BIND_SERVICE"]
    )
    if "add" in capabilities and not add_is_fine:
        problems += via([disallowed("add")], "capabilities")
    return problems + _ids(context, ("runAsUser", "runAsGroup"))
