"""Knative's Service, Configuration and Revision: defaulted and validated as its webhook does (pkg/apis/serving/v1).

Objects go in as they were decoded, and come out as new ones.
"""

from __future__ import annotations

import copy
from typing import Any

from emu.manifests import annotations as known
from emu.manifests.clusterconfig import RESOURCES, ClusterConfig
from emu.manifests.fielderror import Problem, disallowed, invalid, missing, out_of_bounds, via
from emu.manifests.names import dns1035, qualified
from emu.manifests.nametemplate import filled_in
from emu.manifests.podspec import validate_pod_spec
from emu.policy.golang import SECOND, parse_duration, quote

Spec = dict[str, Any]
KINDS = ("Service", "Configuration", "Revision")
_HANDLERS = ("tcpSocket", "httpGet", "exec", "grpc")
_WRITABLE = ("emptyDir", "persistentVolumeClaim", "ephemeral")
_SERVICE_LABEL = f"{known.SERVING}/service"
_CONFIGURATION_LABEL = f"{known.SERVING}/configuration"


def defaulted(kind: str, given: Spec, config: ClusterConfig) -> Spec:
    """The object with what Knative fills in when it is created."""
    made = copy.deepcopy(given)
    spec: Spec = made.setdefault("spec", {})
    if kind == "Revision":
        _default_revision(spec, config, "")
        return made
    name = made.get("metadata", {}).get("name", "")
    template: Spec = spec.setdefault("template", {})
    _default_revision(template.setdefault("spec", {}), config, name)
    if kind == "Service":
        traffic: list[Spec] = spec.setdefault("traffic", [])
        if not traffic:
            traffic.append({"percent": 100, "latestRevision": True})
        for target in traffic:
            target.setdefault("latestRevision", not target.get("revisionName"))
            target.setdefault("percent", 0)
    return made


def _default_revision(spec: Spec, config: ClusterConfig, parent: str) -> None:
    defaults = config.defaults
    if not spec.get("timeoutSeconds"):
        spec["timeoutSeconds"] = defaults.timeout_s
    for name, value in (
        ("idleTimeoutSeconds", defaults.idle_timeout_s),
        ("responseStartTimeoutSeconds", defaults.response_start_timeout_s),
    ):
        if name not in spec and value and value < spec["timeoutSeconds"]:
            spec[name] = value
    spec.setdefault("containerConcurrency", defaults.container_concurrency)
    containers: list[Spec] = spec.get("containers", [])
    first: list[Spec] = spec.get("initContainers", [])
    taken = {one.get("name", "") for one in (*containers, *first)}
    _name_containers(containers, taken, filled_in(defaults.container_name, parent))
    _name_containers(first, taken, filled_in(defaults.init_container_name, parent))
    writable = {
        volume.get("name", "") for volume in spec.get("volumes", []) if any(name in volume for name in _WRITABLE)
    }
    for container in containers:
        _default_resources(container, config)
        if len(containers) == 1 or container.get("ports"):
            _default_readiness(container)
        _default_probes(container)
        for mount in container.get("volumeMounts", []):
            if mount.get("name", "") not in writable:
                mount["readOnly"] = True
    if containers and "enableServiceLinks" not in spec and defaults.enable_service_links is not None:
        spec["enableServiceLinks"] = defaults.enable_service_links
    if config.features.secure:
        for container in (*containers, *first):
            _default_security(spec.get("securityContext", {}), container, config)


def _name_containers(containers: list[Spec], taken: set[str], default: str) -> None:
    """A container without a name gets one, with a number where it is not the only one."""
    number = 0
    for container in containers:
        if container.get("name"):
            continue
        name = default
        if len(containers) > 1 or name in taken:
            name = f"{default}-{number}"
            number += 1
            while name in taken:
                name = f"{default}-{number}"
                number += 1
        if name:
            container["name"] = name


def _default_resources(container: Spec, config: ClusterConfig) -> None:
    resources: Spec = container.setdefault("resources", {})
    for group, given in (("requests", config.defaults.requests), ("limits", config.defaults.limits)):
        values: Spec = resources.setdefault(group, {})
        for resource in RESOURCES:
            if resource in given:
                values.setdefault(resource, given[resource])


def _default_readiness(container: Spec) -> None:
    probe: Spec = container.setdefault("readinessProbe", {})
    if not any(name in probe for name in _HANDLERS):
        probe["tcpSocket"] = {}


def _default_probes(container: Spec) -> None:
    probe = container.get("readinessProbe")
    if probe is not None:
        probe.setdefault("successThreshold", 1)
        if probe.get("periodSeconds", 0):
            probe.setdefault("failureThreshold", 3)
            probe.setdefault("timeoutSeconds", 1)
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        grpc = container.get(name, {}).get("grpc")
        if grpc is not None:
            grpc.setdefault("service", "")


def _default_security(pod: Spec, container: Spec, config: ClusterConfig) -> None:
    """What the flag secure-pod-defaults fills in."""
    own: Spec = container.setdefault("securityContext", {})
    own.setdefault("allowPrivilegeEscalation", False)
    if not pod.get("seccompProfile", {}).get("type"):
        profile: Spec = own.setdefault("seccompProfile", {})
        profile.setdefault("type", "RuntimeDefault")
    if "capabilities" not in own:
        own["capabilities"] = {"drop": ["ALL"]}
        if any(port.get("containerPort", 0) < 1024 for port in container.get("ports", [])):
            own["capabilities"]["add"] = ["NET_BIND_SERVICE"]
    if config.features.enabled("secure-pod-defaults") and "runAsNonRoot" not in pod:
        own.setdefault("runAsNonRoot", True)


def validated(kind: str, made: Spec, config: ClusterConfig) -> list[Problem]:
    """What the webhook refuses of a defaulted object that is to be created, and what it warns of."""
    metadata: Spec = made.get("metadata", {})
    annotations: dict[str, str] = metadata.get("annotations", {})
    spec: Spec = made.get("spec", {})
    problems = _metadata(metadata)
    if kind == "Revision":
        problems += via(known.validate_autoscaling(annotations, config.autoscaler), "annotations")
        problems += via(_owned(metadata, _CONFIGURATION_LABEL, "Configuration"), "labels")
        return via(problems, "metadata") + via(_revision(spec, config), "spec")
    problems += via(known.validate_none(annotations), "annotations")
    if kind == "Service":
        wrong = known.validate_duration(known.ROLLOUT_DURATION, annotations, "rollout-duration")
        problems += via(wrong, "annotations")
    else:
        problems += via(_owned(metadata, _SERVICE_LABEL, "Service"), "labels")
    problems = via(problems, "metadata")
    problems += via(_template(spec.get("template", {}), metadata, config), "spec", "template")
    if kind == "Service":
        problems += via(via(_traffic(spec.get("traffic", [])), "traffic"), "spec")
    return problems


def rollout_seconds(made: Spec, config: ClusterConfig) -> int:
    """How long traffic takes to move to a new latest revision of a Service: its annotation, else the cluster's."""
    found = known.ROLLOUT_DURATION.get(made.get("metadata", {}).get("annotations", {}))
    own = parse_duration(found[1]) // SECOND if found is not None and found[1] else 0
    return own or config.rollout_duration_s


def _metadata(metadata: Spec) -> list[Problem]:
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix and (wrong := dns1035(prefix, prefix=True)):
        return [Problem(f"not a DNS 1035 label prefix: [{' '.join(wrong)}]", ("generateName",))]
    if name and (wrong := dns1035(name)):
        return [Problem(f"not a DNS 1035 label: [{' '.join(wrong)}]", ("name",))]
    return [] if name or prefix else [Problem("name or generateName is required", ("name",))]


def _owned(metadata: Spec, label: str, kind: str) -> list[Problem]:
    """A label that names an owner needs that owner."""
    if label not in metadata.get("labels", {}):
        return []
    owner = metadata["labels"][label]
    owners = metadata.get("ownerReferences", [])
    if any(one.get("kind", "") == kind and one.get("name", "") == owner for one in owners):
        return []
    return [missing(label)]


def _template(template: Spec, parent: Spec, config: ClusterConfig) -> list[Problem]:
    metadata: Spec = template.get("metadata", {})
    annotations: dict[str, str] = metadata.get("annotations", {})
    problems = via(_revision(template.get("spec", {}), config), "spec")
    found = known.validate_autoscaling(annotations, config.autoscaler)
    found += known.validate_networking(annotations)
    found += known.validate_sidecar(annotations)
    found += known.validate_duration(known.PROGRESS_DEADLINE, annotations, "progress-deadline")
    return problems + via(found, "metadata", "annotations") + _revision_name(metadata, parent)


def _revision_name(metadata: Spec, parent: Spec) -> list[Problem]:
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix and (wrong := dns1035(prefix, prefix=True)):
        return [invalid(f"not a DNS 1035 label prefix: [{' '.join(wrong)}]", "metadata.generateName")]
    if not name:
        return []
    if wrong := dns1035(name):
        return [invalid(f"not a DNS 1035 label: [{' '.join(wrong)}]", "metadata.name")]
    begins = f"{parent.get('name', '')}-"
    if not parent.get("name") and parent.get("generateName"):
        return [disallowed("metadata.name")]
    if not name.startswith(begins):
        return [invalid(f"{quote(name)} must have prefix {quote(begins)}", "metadata.name")]
    return []


def _revision(spec: Spec, config: ClusterConfig) -> list[Problem]:
    problems = validate_pod_spec(spec, config.features)
    defaults = config.defaults
    timeout = spec.get("timeoutSeconds", 0)
    if timeout > defaults.max_timeout_s or timeout < 0:
        problems.append(out_of_bounds(timeout, 0, defaults.max_timeout_s, "timeoutSeconds"))
    if "containerConcurrency" in spec:
        value, least = spec["containerConcurrency"], 0 if defaults.allow_zero_concurrency else 1
        if not least <= value <= defaults.max_container_concurrency:
            most = defaults.max_container_concurrency
            problems.append(out_of_bounds(value, least, most, "containerConcurrency"))
    return problems


def _traffic(traffic: list[Spec]) -> list[Problem]:
    problems: list[Problem] = []
    tags: dict[str, int] = {}
    for number, target in enumerate(traffic):
        problems += via(_target(target), number)
        tag = target.get("tag", "")
        if not tag:
            continue
        if wrong := dns1035(tag):
            problems.append(invalid(f"not a DNS 1035 label: [{' '.join(wrong)}]", f"tag[{number}]"))
        if tag in tags:
            paths = (f"[{number}].tag", f"[{tags[tag]}].tag")
            problems.append(Problem(f"Multiple definitions for {quote(tag)}", paths))
        else:
            tags[tag] = number
    total = sum(target.get("percent", 0) for target in traffic)
    if total != 100:
        problems.append(Problem(f"Traffic targets sum to {total}, want 100", ("",)))
    return problems


def _target(target: Spec) -> list[Problem]:
    problems = []
    revision, latest = target.get("revisionName", ""), target.get("latestRevision")
    if latest is not None and bool(revision) == latest:
        words = f"may not set revisionName {quote(revision)} when latestRevision is {str(latest).lower()}"
        problems.append(Problem(words, ("latestRevision",)))
    if target.get("configurationName"):
        problems.append(disallowed("configurationName"))
    elif revision and (wrong := qualified(revision)):
        problems.append(Problem(f"invalid key name {quote(revision)}", ("revisionName",), ", ".join(wrong)))
    percent = target.get("percent", 0)
    if not 0 <= percent <= 100:
        problems.append(out_of_bounds(percent, 0, 100, "percent"))
    if target.get("url"):
        problems.append(disallowed("url"))
        if not target.get("tag"):
            problems.append(disallowed("url"))
    return problems


def revision_spec(kind: str, made: Spec) -> Spec:
    """The revision's own spec in an object of any of the kinds."""
    spec: Spec = made.get("spec", {})
    found: Spec = spec if kind == "Revision" else spec.get("template", {}).get("spec", {})
    return found


def revision_annotations(kind: str, made: Spec) -> dict[str, str]:
    """The annotations that the autoscaler and queue-proxy get."""
    holder: Spec = made if kind == "Revision" else made.get("spec", {}).get("template", {})
    found: dict[str, str] = holder.get("metadata", {}).get("annotations", {})
    return found
