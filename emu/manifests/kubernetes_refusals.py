"""What the API server refuses of a Pod or a Deployment, as far as emu looks (pkg/apis/core/validation,
pkg/apis/apps/validation): names and labels, volumes, a Deployment's selector and strategy, and what it refuses of
containers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emu.manifests.kubernetes_containers import (
    NOT_NEGATIVE,
    REQUIRED,
    InPod,
    Refused,
    invalid,
    label_pairs,
    label_value,
    refused_container,
    refused_names,
    refused_users,
    unsupported,
)
from emu.manifests.names import dns1123_label, dns1123_subdomain, qualified
from emu.policy.kubelet.objectfiles import wrong_path
from emu.policy.quantity import json_quantity

Spec = dict[str, Any]
_OF_FILES = (("secret", "secretName"), ("configMap", "name"))
_RESTARTS = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_STRATEGIES = ("Recreate", "RollingUpdate")
_HOST_PATHS = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_VOLUMES = (
    *("emptyDir", "hostPath", "secret", "nfs", "persistentVolumeClaim", "downwardAPI", "configMap", "projected"),
    *("ephemeral", "csi", "image"),
)
"""Kinds of volumes, in the order in which the API server looks for them."""
_PERCENT_WORDS = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_INIT = "Forbidden: may not be set for init containers without restartPolicy=Always"


def refused_name(metadata: Spec) -> Iterator[Refused]:
    """Of an object's own name, labels and annotations."""
    name = metadata.get("name", "")
    if not name and not metadata.get("generateName"):
        yield "metadata.name", "Required value: name or generateName is required"
    yield from (("metadata.name", invalid(name, words)) for words in (dns1123_subdomain(name) if name else ()))
    yield from _metadata(metadata, "metadata")


def _metadata(metadata: Spec, path: str) -> Iterator[Refused]:
    yield from ((f"{path}.labels", words) for words in label_pairs(metadata.get("labels") or {}))
    for key in metadata.get("annotations") or {}:
        yield from ((f"{path}.annotations", invalid(key, words)) for words in qualified(key.lower()))


def refused_deployment(spec: Spec) -> Iterator[Refused]:
    """What is wrong with it outside its pods."""
    for key in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        if (spec.get(key) or 0) < 0:
            yield f"spec.{key}", invalid(spec[key], NOT_NEGATIVE)
    deadline = 600 if spec.get("progressDeadlineSeconds") is None else spec["progressDeadlineSeconds"]
    if deadline <= (spec.get("minReadySeconds") or 0):
        yield "spec.progressDeadlineSeconds", invalid(deadline, "must be greater than minReadySeconds")
    yield from _strategy(spec.get("strategy") or {})
    yield from _selector(spec)
    if _is_wrong(spec.get("selector")):
        return
    template: Spec = spec.get("template") or {}
    yield from _metadata(template.get("metadata") or {}, "spec.template")
    pods: Spec = template.get("spec") or {}
    restarts = pods.get("restartPolicy") or "Always"
    if restarts != "Always":
        yield "spec.template.spec.restartPolicy", unsupported(restarts, ("Always",))
    if pods.get("activeDeadlineSeconds") is not None:
        words = "Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"
        yield "spec.template.spec.activeDeadlineSeconds", words


def _strategy(strategy: Spec) -> Iterator[Refused]:
    kind, rolling = strategy.get("type") or "RollingUpdate", strategy.get("rollingUpdate")
    if kind not in _STRATEGIES:
        shown = _compact({"Type": kind, "RollingUpdate": rolling}, as_it_is=True)
        known = ", ".join(f'"{one}"' for one in _STRATEGIES)
        yield "spec.strategy", f"Unsupported value: {shown}: supported values: {known}"
    elif kind == "Recreate":
        if rolling is not None:
            words = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
            yield "spec.strategy.rollingUpdate", words
    else:
        path, amounts = "spec.strategy.rollingUpdate", {}
        for key in ("maxUnavailable", "maxSurge"):
            given = "25%" if (rolling or {}).get(key) is None else (rolling or {})[key]
            amounts[key] = _share(given)
            if isinstance(given, str) and not re.fullmatch("[0-9]+%", given):
                yield f"{path}.{key}", invalid(given, _PERCENT_WORDS)
            elif isinstance(given, int) and given < 0:
                yield f"{path}.{key}", invalid(given, NOT_NEGATIVE)
            elif key == "maxUnavailable" and isinstance(given, str) and (amounts[key] or 0) > 100:
                yield f"{path}.{key}", invalid(given, "must not be greater than 100%")
        if amounts["maxUnavailable"] == amounts["maxSurge"] == 0:
            given = (rolling or {})["maxUnavailable"]
            yield f"{path}.maxUnavailable", invalid(given, "may not be 0 when `maxSurge` is 0")


def _share(given: int | str) -> int | None:
    if isinstance(given, int):
        return given
    return int(given[:-1]) if re.fullmatch("[0-9]+%", given) else None


def _selector(spec: Spec) -> Iterator[Refused]:
    selector: Spec | None = spec.get("selector")
    labels: dict[str, str] | None = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    wanted: dict[str, str] = (selector or {}).get("matchLabels") or {}
    expressions: list[Spec] = (selector or {}).get("matchExpressions") or []
    yield from _parts(selector)
    if selector is None:
        yield "spec.selector", REQUIRED
    elif not wanted and not expressions:
        yield "spec.selector", "Invalid value: {}: empty selector is invalid for deployment"
    elif _is_wrong(selector):
        yield "spec.selector", f"Invalid value: {_compact(selector)}: invalid label selector"
        return
    has = labels or {}
    if selector is None or not (
        all(has.get(key) == value for key, value in wanted.items()) and all(_fits(one, has) for one in expressions)
    ):
        words = f"Invalid value: {_compact(labels)}: `selector` does not match template `labels`"
        yield "spec.template.metadata.labels", words


def _parts(selector: Spec | None) -> Iterator[Refused]:
    for words in label_pairs((selector or {}).get("matchLabels") or {}):
        yield "spec.selector.matchLabels", words
    for number, one in enumerate((selector or {}).get("matchExpressions") or ()):
        for key, words in _expression(one):
            yield f"spec.selector.matchExpressions[{number}].{key}", words


def _is_wrong(selector: Spec | None) -> bool:
    """Whether it selects nothing: then the API server does not look at the pods."""
    return any(True for _ in _parts(selector))


def _compact(value: object, *, as_it_is: bool = False) -> str:
    return json.dumps(value, sort_keys=not as_it_is, separators=(",", ":"), ensure_ascii=False)


def _expression(one: Spec) -> Iterator[Refused]:
    kind, values = one.get("operator") or "", one.get("values") or ()
    if kind in ("In", "NotIn"):
        if not values:
            yield "values", f"{REQUIRED}: must be specified when `operator` is 'In' or 'NotIn'"
    elif kind in ("Exists", "DoesNotExist"):
        if values:
            yield "values", "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
    else:
        yield "operator", invalid(kind, "not a valid selector operator")
    yield from (("key", invalid(one.get("key") or "", words)) for words in qualified(one.get("key") or ""))
    for number, value in enumerate(values):
        yield from ((f"values[{number}]", words) for words in label_value(value))


def _fits(one: Spec, labels: Mapping[str, str]) -> bool:
    key, kind, values = one.get("key"), one.get("operator"), one.get("values") or ()
    if kind == "In":
        return labels.get(str(key)) in values
    if kind == "NotIn":
        return labels.get(str(key)) not in values
    return (key in labels) == (kind == "Exists")


def refused_pods(spec: Spec, path: str, *, is_pod: bool) -> Iterator[Refused]:
    """Of a pod's spec, which is at `path`; `is_pod`: it is a Pod's own."""
    if not spec.get("containers"):
        yield f"{path}.containers", REQUIRED
    for key, words in (*_volumes(spec.get("volumes") or ()), *_of_pod(spec, is_pod=is_pod)):
        yield f"{path}.{key}", words
    volumes = {one.get("name", "") for one in spec.get("volumes") or () if one.get("name")}
    grace = spec.get("terminationGracePeriodSeconds")
    within = InPod(volumes, 30 if grace is None else grace, is_pod)
    for group in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(group) or ()):
            where = f"{path}.{group}[{number}]"
            if group == "initContainers":  # they run by turns, and may have the same port
                within.host_ports.clear()
            found = [] if group == "containers" else [*_init_container(container)]
            looked_at = {key: value for key, value in container.items() if (key, _INIT) not in found}
            for key, words in (*refused_container(looked_at, within), *found):
                yield f"{where}.{key}", words


def _init_container(container: Spec) -> Iterator[Refused]:
    policy = container.get("restartPolicy")
    if policy == "Always":
        return
    if policy is not None and policy not in _RESTARTS:
        yield "restartPolicy", unsupported(policy, sorted(_RESTARTS))
    for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            yield key, _INIT


def _of_pod(spec: Spec, *, is_pod: bool) -> Iterator[Refused]:
    restarts = spec.get("restartPolicy")
    if restarts and restarts not in _RESTARTS:
        yield "restartPolicy", unsupported(restarts, _RESTARTS)
    if spec.get("dnsPolicy") and spec["dnsPolicy"] not in _DNS:
        yield "dnsPolicy", unsupported(spec["dnsPolicy"], _DNS)
    elif spec.get("dnsPolicy") == "None" and not spec.get("dnsConfig"):
        yield "dnsConfig", f"{REQUIRED}: must provide `dnsConfig` when `dnsPolicy` is None"
    for key in ("serviceAccountName", "priorityClassName", "nodeName"):
        if name := spec.get(key):
            yield from ((key, invalid(name, words)) for words in dns1123_subdomain(name))
    if spec.get("hostname"):
        yield from (("hostname", invalid(spec["hostname"], words)) for words in dns1123_label(spec["hostname"]))
    yield from (("nodeSelector", words) for words in label_pairs(spec.get("nodeSelector") or {}))
    for number, one in enumerate(spec.get("tolerations") or ()):
        yield from ((f"tolerations[{number}].{key}", words) for key, words in _toleration(one))
    if is_pod and spec.get("activeDeadlineSeconds") is not None and spec["activeDeadlineSeconds"] < 1:
        words = "must be between 1 and 2147483647, inclusive"
        yield "activeDeadlineSeconds", invalid(spec["activeDeadlineSeconds"], words)
    yield from refused_users(spec.get("securityContext") or {})


def _toleration(one: Spec) -> Iterator[Refused]:
    key, kind, effect = one.get("key") or "", one.get("operator") or "", one.get("effect") or ""
    if key:
        yield from (("key", invalid(key, words)) for words in qualified(key))
    elif kind != "Exists":
        words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield "operator", invalid(kind, words)
    if kind not in ("", "Equal", "Exists"):
        yield "operator", unsupported(kind, ("Equal", "Exists"))
    elif kind == "Exists" and one.get("value"):
        yield "operator", invalid(one["value"], "value must be empty when `operator` is 'Exists'")
    if effect and effect not in _EFFECTS:
        yield "effect", unsupported(effect, _EFFECTS)


def _volumes(volumes: Sequence[Spec]) -> Iterator[Refused]:
    """Their names and kinds, and the files of ConfigMaps and Secrets."""
    names: set[str] = set()
    for number, volume in enumerate(volumes):
        for key, words in (*_kinds(volume), *_files(volume), *refused_names(volume, names)):
            yield f"volumes[{number}].{key}", words


def _kinds(volume: Spec) -> Iterator[Refused]:
    given = [kind for kind in _VOLUMES if volume.get(kind) is not None]
    for kind in given[1:]:
        yield kind, "Forbidden: may not specify more than 1 volume type"
    source: Spec = volume[given[0]] if given else {}
    if given[:1] == ["emptyDir"] and source.get("sizeLimit") is not None:
        if json_quantity(source["sizeLimit"]).nano < 0:
            yield "emptyDir.sizeLimit", "Forbidden: SizeLimit field must be a valid resource quantity"
    elif given[:1] == ["hostPath"]:
        path = source.get("path") or ""
        if not path:
            yield "hostPath.path", REQUIRED
        elif ".." in path.split("/"):
            yield "hostPath.path", invalid(path, "must not contain '..'")
        if source.get("type") is not None and source["type"] not in _HOST_PATHS:
            yield "hostPath.type", unsupported(source["type"], _HOST_PATHS)
    elif given[:1] == ["persistentVolumeClaim"] and not source.get("claimName"):
        yield "persistentVolumeClaim.claimName", REQUIRED


def _files(volume: Spec) -> Iterator[Refused]:
    sources = [(key, name, volume[key]) for key, name in _OF_FILES if key in volume]
    projected: Spec = volume.get("projected") or {}
    for number, one in enumerate(projected.get("sources") or ()):
        sources += [(f"projected.sources[{number}].{key}", "name", one[key]) for key, _ in _OF_FILES if key in one]
    for path, name, source in sources:
        if not source.get(name):
            yield f"{path}.{name}", REQUIRED
        yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
        for number, item in enumerate(source.get("items") or ()):
            where = f"{path}.items[{number}]"
            if not item.get("key"):
                yield f"{where}.key", REQUIRED
            if wrong := wrong_path(item.get("path", "")):
                yield f"{where}.path", wrong
            yield from _mode(f"{where}.mode", item.get("mode"))
    yield from _mode("projected.defaultMode", projected.get("defaultMode"))


def _mode(path: str, mode: int | None) -> Iterator[Refused]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield path, f"Invalid value: {mode}: must be a number between 0 and 0777 (octal), both inclusive"


def all_refused(kind: str, metadata: Spec, spec: Spec, pods: Spec, way: Sequence[str]) -> Iterator[Refused]:
    """All of a Pod or a Deployment; `pods` is the spec of its pods, at `way`."""
    yield from refused_name(metadata)
    if kind == "Deployment":
        yield from refused_deployment(spec)
        if _is_wrong(spec.get("selector")):
            return
    yield from refused_pods(pods, ".".join(way), is_pod=kind == "Pod")
