"""A revision's spec → the keys of a scenario's `pod`, and a list of what has no place there."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emu.manifests.starting_env import Objects
from emu.manifests.starting_files import file_volumes
from emu.manifests.starting_program import NO_METADATA, PROBE_TIMES, Metadata, program_of
from emu.manifests.yamltext import Lines, Said
from emu.policy.autoscaling.settings import Settings
from emu.policy.quantity import parse_amount
from emu.spec.volumes import may_mount

_SIZE = re.compile(r"[1-9][0-9]*(Ki|Mi|Gi)")
_LEAST_MEMORY = 6 * 2**20
"""emu's least limit."""
_MOST_PODS = 10
_MODEL = "100Mi"
_STORAGE_INITIALIZER = "storage-initializer"
_MODEL_VOLUME, _MODEL_DIR = "kserve-provision-location", "/mnt/models"
_GRACE_S = 30
Resources = Mapping[tuple[str, str], tuple[str, str]]


@dataclass
class Pod:
    """The pod of a scenario that a manifest's pod becomes, and what of it a run leaves out."""

    keys: Lines = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    of: Metadata = NO_METADATA
    """Of its template."""

    def with_program(self, container: Mapping[str, Any], volumes: set[str], *, serves: bool = False) -> Lines:
        """A container by its name, with what the manifest has it run; notes what is left out."""
        entry = _additional(container, volumes)
        part_of = [one["name"] for one in container.get("volumeMounts", []) if one.get("subPath")]
        if part_of:
            self.left_out.append(f"subPath of {container['name']}'s volumeMounts ({', '.join(part_of)})")
        taken = [path for path in map(_mount_path, container.get("volumeMounts", [])) if not may_mount(path)]
        if taken:
            why = "where a container of a run has something else, or whose name emu does not take"
            self.left_out.append(f"{container['name']}'s volumeMounts at {', '.join(taken)}, {why}")
        program = program_of(container, serves=serves, of=self.of)
        self.left_out += program.left_out
        return entry if program.keys is None else {**entry, "program": program.keys}

    def add_containers(self, first: Sequence[Mapping[str, Any]], beside: Sequence[Mapping[str, Any]]) -> None:
        """Init containers and sidecars that a webhook adds."""
        found: list[Lines] = list(self.keys.pop("initContainers", []))
        for container in first:
            entry = _additional(container)
            if container["name"] == _STORAGE_INITIALIZER:
                size = Said(_MODEL, "the manifest does not say how large the model is")
                mount = {"name": _MODEL_VOLUME, "mountPath": _MODEL_DIR}
                entry["do"] = {"writeFile": f"{_MODEL_DIR}/model", "writeBytes": size}
                entry["volumeMounts"] = [mount]
                volumes = self.keys.setdefault("volumes", [])
                volumes.append({"name": _MODEL_VOLUME, "emptyDir": {}})
                app = self.keys.setdefault("app", {})
                app["volumeMounts"] = [*app.get("volumeMounts", []), {**mount, "readOnly": True}]
            found.append(entry)
        sidecars = [*self.keys.pop("sidecars", []), *map(_additional, beside)]
        self.keys |= {key: value for key, value in (("initContainers", found), ("sidecars", sidecars)) if value}


def pod_of(
    spec: Mapping[str, Any],
    serving: Mapping[str, Any],
    queue_proxy: Resources,
    of: Metadata = NO_METADATA,
    objects: Objects | None = None,
    *,
    standard: bool = False,
) -> Pod:
    """The pod of a revision; `serving` is the container that has the port. `standard`: it has no queue-proxy."""
    pod = Pod(of=of)
    for name in ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"):
        if spec.get(name):
            pod.keys[name] = spec[name]
    made = {str(one["name"]): _volume(one) for one in spec.get("volumes", []) if "emptyDir" in one}
    files, left_out = file_volumes(spec.get("volumes", []), objects or {})
    made |= files
    pod.left_out += left_out
    volumes = set(made)
    if volumes:
        pod.keys["volumes"] = list(made.values())
    if sidecar := _resources({key: text for key, (text, _) in queue_proxy.items()}):
        pod.keys["queueProxy"] = {"resources": sidecar}
    behind = not standard
    if app := {
        key: value for key, value in pod.with_program(serving, volumes, serves=behind).items() if key != "name"
    }:
        pod.keys["app"] = app
    inits = [_init_container(pod.with_program(one, volumes), one) for one in spec.get("initContainers", [])]
    beside = [pod.with_program(one, volumes) for one in spec["containers"] if one is not serving]
    pod.keys |= {key: value for key, value in (("initContainers", inits), ("sidecars", beside)) if value}
    if more := {name for one in spec["containers"] for name, _ in _given(one) if name not in ("memory", "cpu")}:
        pod.left_out.append(", ".join(sorted(more)))
    return pod


def _init_container(entry: Lines, given: Mapping[str, Any]) -> Lines:
    """With its restartPolicy, if that makes it a sidecar."""
    return {**entry, "restartPolicy": "Always"} if given.get("restartPolicy") == "Always" else entry


def standard_pod_of(
    spec: Mapping[str, Any],
    serving: Mapping[str, Any],
    of: Metadata = NO_METADATA,
    objects: Objects | None = None,
) -> Pod:
    """The pod of a Deployment, or one by itself: no queue-proxy, and a TCP readiness probe stays, as requests wait
    for it.
    """
    probe: Mapping[str, Any] = serving.get("readinessProbe") or {}
    stays = probe.get("tcpSocket") is not None
    app = {key: value for key, value in serving.items() if not (stays and key == "readinessProbe")}
    containers = [app if one is serving else one for one in spec["containers"]]
    pod = pod_of({**spec, "containers": containers}, app, {}, of, objects, standard=True)
    if any((spec.get("resources") or {}).get(kind) for kind in ("requests", "limits")):
        pod.left_out.append("the resources of the pod itself")
    restarts = {} if spec.get("restartPolicy") in (None, "", "Always") else {"restartPolicy": spec["restartPolicy"]}
    pod.keys = {"deploymentMode": "Standard", **restarts, **pod.keys}
    if (grace := spec.get("terminationGracePeriodSeconds")) not in (None, _GRACE_S):
        pod.keys["terminationGracePeriodSeconds"] = grace
    if stays:
        kept = {key: probe[key] for key in PROBE_TIMES if probe.get(key)}
        pod.keys["app"] = {**pod.keys.get("app", {}), "readinessProbe": {"tcpSocket": {}, **kept}}
    return pod


def _volume(volume: Mapping[str, Any]) -> Lines:
    """A `sizeLimit` on disk limits nothing until the kubelet looks, so it stays away."""
    given = volume.get("emptyDir") or {}
    if given.get("medium") != "Memory":
        return {"name": volume["name"], "emptyDir": {}}
    made: Lines = {"medium": "Memory"}
    if "sizeLimit" in given:
        made["sizeLimit"] = _memory(str(given["sizeLimit"]), 0)
    return {"name": volume["name"], "emptyDir": made}


def _additional(container: Mapping[str, Any], volumes: set[str] | None = None) -> Lines:
    """A container by its name, with its volumes and its resources."""
    entry: Lines = {"name": container["name"]}
    mounts = [
        one
        for one in container.get("volumeMounts", [])
        if volumes is not None and one["name"] in volumes and not one.get("subPath") and may_mount(_mount_path(one))
    ]
    if mounts:
        entry["volumeMounts"] = [
            {
                "name": one["name"],
                "mountPath": _mount_path(one),
                **({"readOnly": True} if one.get("readOnly") else {}),
            }
            for one in mounts
        ]
    if resources := _resources(_given(container)):
        entry["resources"] = resources
    return entry


def _mount_path(mount: Mapping[str, Any]) -> str:
    """As the kubelet makes it: from the root, and without a slash at its end."""
    return posixpath.normpath(f"/{mount['mountPath'].lstrip('/')}")


def _given(container: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    resources = container.get("resources", {})
    return {
        (resource, group[:-1]): str(text)
        for group in ("requests", "limits")
        for resource, text in resources.get(group, {}).items()
    }


def _resources(given: Mapping[tuple[str, str], str]) -> Lines:
    made: Lines = {}
    for kind in ("request", "limit"):
        amounts: Lines = {}
        for resource in ("memory", "cpu"):
            if (text := given.get((resource, kind))) is None:
                continue
            value = parse_amount(text)
            if kind == "limit" and value == 0:
                continue  # the kubelet sets none
            if resource == "memory":
                amounts["memory"] = _memory(text, _LEAST_MEMORY if kind == "limit" else 0)
            elif value > 0:
                amounts["cpu"] = f"{max(math.ceil(value * 1000), 10 if kind == 'limit' else 1)}m"
        if amounts:
            made[f"{kind}s"] = amounts
    return made


def _memory(text: str, least: int) -> Any:
    """In the scenario's words where they are the same, else in bytes."""
    size = int(parse_amount(text))
    if size < least:
        return Said(least, f"{text} in the manifest; no container starts in that")
    return text if _SIZE.fullmatch(text) else Said(size, text)


def autoscaling_of(rule: Settings) -> Lines:
    """The autoscaler's keys, those that differ from the scenario's own defaults."""
    usual = Settings()
    made: Lines = {"minScale": rule.min_scale} if rule.min_scale else {}
    made["maxScale"] = rule.max_scale or Said(
        max(_MOST_PODS, rule.min_scale, rule.activation_scale), "Knative: no limit; one machine has to run them all"
    )
    if rule.initial_scale != usual.initial_scale:
        made["initialScale"] = rule.initial_scale
    if rule.activation_scale:
        made["activationScale"] = rule.activation_scale
    made["metric"] = rule.metric
    if math.isfinite(rule.total):
        made["target"] = rule.total
        made["targetUtilizationPercentage"] = round(100 * rule.target / rule.total, 2)
    made["targetBurstCapacity"] = rule.target_burst_capacity
    for key, value, otherwise in (
        ("enableScaleToZero", rule.scale_to_zero, usual.scale_to_zero),
        ("panicThresholdPercentage", rule.panic_threshold * 100, usual.panic_threshold * 100),
        ("maxScaleUpRate", rule.max_scale_up_rate, usual.max_scale_up_rate),
        ("maxScaleDownRate", rule.max_scale_down_rate, usual.max_scale_down_rate),
    ):
        if value != otherwise:
            made[key] = value
    made["window"] = f"{rule.stable_window_s:g}s"
    if rule.panic_window_s * 10 != rule.stable_window_s:
        made["panicWindowPercentage"] = round(100 * rule.panic_window_s / rule.stable_window_s, 2)
    for key, seconds, otherwise in (
        ("scaleDownDelay", rule.scale_down_delay_s, 0.0),
        ("scaleToZeroPodRetentionPeriod", rule.retention_s, 0.0),
        ("scaleToZeroGracePeriod", rule.grace_s, usual.grace_s),
        ("progressDeadline", rule.progress_deadline_s, usual.progress_deadline_s),
    ):
        if seconds != otherwise:
            made[key] = f"{seconds:g}s"
    return made
