"""A HorizontalPodAutoscaler, autoscaling/v2 or v1, as the API server takes it, and what that refuses of it
(pkg/apis/autoscaling/validation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from emu.manifests.decode import Decoded, decode
from emu.manifests.documents import Document
from emu.policy.quantity import parse_amount

Spec = dict[str, Any]
Refused = tuple[str, str]
"""The field's path, and what is wrong with it."""
_SOURCES = ("object", "external", "pods", "resource", "containerResource")
"""In the order in which they are looked at."""
_TO_ZERO = "must specify at least one Object or External metric to support scaling to zero replicas"
_TARGETS = ("Utilization", "Value", "AverageValue")
_SELECTS = ("Max", "Min", "Disabled")


def decode_hpa(document: Document) -> Decoded:
    """One as of autoscaling/v2; v1 has a percentage of cpu in place of metrics."""
    if document.version != "v1":
        return decode(document.node, "HorizontalPodAutoscaler")
    read = decode(document.node, "HorizontalPodAutoscalerV1")
    spec: Spec = dict(read.value.get("spec") or {})
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    return replace(read, value={**read.value, "spec": spec})


def refused(spec: Spec) -> Iterator[Refused]:
    """What the API server refuses of a spec of autoscaling/v2."""
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    metrics: list[Spec] = spec.get("metrics") or []
    if least < 1:
        yield "spec.minReplicas", f"Invalid value: {least}: must be greater than or equal to 1"
    if most == 0:
        yield "spec.maxReplicas", "Required value: must be set and greater than 0"
    if most < 0:
        yield "spec.maxReplicas", f"Invalid value: {most}: must be greater than or equal to 1"
    if most < least:
        yield "spec.maxReplicas", f"Invalid value: {most}: must be greater than or equal to `minReplicas`"
    for path, words in _reference(spec.get("scaleTargetRef") or {}, with_group=True):
        yield f"spec.scaleTargetRef.{path}", words
    for number, metric in enumerate(metrics):
        for path, words in _metric(metric):
            yield f"spec.metrics[{number}].{path}", words
    if least == 0 and not any(one.get("type") in ("Object", "External") for one in metrics):
        yield "spec.metrics", f"Forbidden: {_TO_ZERO}"
    behavior: Spec = spec.get("behavior") or {}
    for key in ("scaleUp", "scaleDown"):
        for path, words in _rules(behavior.get(key) or {}) if key in behavior else ():
            yield f"spec.behavior.{key}.{path}", words


def _reference(target: Spec, *, with_group: bool) -> Iterator[Refused]:
    for key in ("kind", "name"):
        yield from _segment(key, target.get(key, ""), "Required value")
    version = target.get("apiVersion", "")
    group, slash, rest = version.partition("/")
    if "/" in rest and version != "/":
        yield "apiVersion", f'Invalid value: "{version}": unexpected GroupVersion string: {version}'
    elif with_group and not (slash and group) and target.get("kind") != "ReplicationController":
        yield "apiVersion", f'Invalid value: "{version}": apiVersion must specify API group'


def _segment(key: str, name: str, missing: str) -> Iterator[Refused]:
    """A name that has to be one step of a path."""
    if not name:
        yield key, missing
    elif name in (".", ".."):
        yield key, f"Invalid value: \"{name}\": may not be '{name}'"
    else:
        yield from ((key, f"Invalid value: \"{name}\": may not contain '{one}'") for one in "/%" if one in name)


def _metric(metric: Spec) -> Iterator[Refused]:
    kind = str(metric.get("type", ""))
    source = kind[:1].lower() + kind[1:]
    there = [one for one in _SOURCES if one in metric]
    if not kind:
        yield "type", "Required value: must specify a metric source type"
    if source not in _SOURCES or source == kind:
        names = ", ".join(f'"{one[0].upper()}{one[1:]}"' for one in sorted(_SOURCES))
        yield "type", f'Unsupported value: "{kind}": supported values: {names}'
    elif source not in metric:
        yield source, "Required value: must populate information for the given metric source"
    for one in there[:1]:
        yield from _source(one, metric[one])
    if len(there) > 1:
        yield from ((one, "Forbidden: must populate the given metric source only") for one in there if one != source)


def _source(kind: str, source: Spec) -> Iterator[Refused]:
    target: Spec = source.get("target") or {}
    if kind in ("resource", "containerResource"):
        if not source.get("name"):
            yield f"{kind}.name", "Required value: must specify a resource name"
        if kind == "containerResource" and not source.get("container"):
            yield f"{kind}.container", "Required value: must specify a container"
    else:
        name = (source.get("metric") or {}).get("name", "")
        yield from _segment(f"{kind}.metric.name", name, "Required value: must specify a metric name")
    if kind == "object":
        for path, words in _reference(source.get("describedObject") or {}, with_group=False):
            yield f"object.describedObject.{path}", words
    for path, words in (*_target(target), *_amounts(kind, target)):
        yield f"{kind}.target.{path}", words


def _amounts(kind: str, target: Spec) -> Iterator[Refused]:
    """Which of its amounts a target of this kind has."""
    share, average, value = (target.get(key) for key in ("averageUtilization", "averageValue", "value"))
    if kind in ("resource", "containerResource"):
        if share is None and average is None:
            yield "averageUtilization", "Required value: must set either a target raw value or a target utilization"
        if share is not None and average is not None:
            yield "averageValue", "Forbidden: may not set both a target raw value and a target utilization"
    elif average is None and kind == "pods":
        yield "averageValue", "Required value: must specify a positive target averageValue"
    elif average is None and value is None:
        either = "value or averageValue" if kind == "object" else "value for metric or a per-pod target"
        yield "averageValue", f"Required value: must set either a target {either}"
    elif kind == "external" and average is not None and value is not None:
        yield "value", "Forbidden: may not set both a target value for metric and a per-pod target"


def _target(target: Spec) -> Iterator[Refused]:
    kind = target.get("type", "")
    if not kind:
        yield "type", "Required value: must specify a metric target type"
    if kind not in _TARGETS:
        yield "type", f'Invalid value: "{kind}": must be either Utilization, Value, or AverageValue'
    for key in ("value", "averageValue"):
        if key in target and parse_amount(str(target[key])) <= 0:
            yield key, f'Invalid value: "{target[key]}": must be positive'
    if target.get("averageUtilization") is not None and target["averageUtilization"] < 1:
        yield "averageUtilization", f"Invalid value: {target['averageUtilization']}: must be greater than 0"


def _rules(rules: Spec) -> Iterator[Refused]:
    window, select, policies = (
        rules.get("stabilizationWindowSeconds"),
        rules.get("selectPolicy"),
        rules.get("policies"),
    )
    if window is not None and window < 0:
        yield "stabilizationWindowSeconds", f"Invalid value: {window}: must be greater than or equal to zero"
    if window is not None and window > 3600:
        yield "stabilizationWindowSeconds", f"Invalid value: {window}: must be less than or equal to 3600"
    if select is not None and select not in _SELECTS:
        names = ", ".join(f'"{one}"' for one in sorted(_SELECTS))
        yield "selectPolicy", f'Unsupported value: "{select}": supported values: {names}'
    if policies is not None and not policies:
        yield "policies", "Required value: must specify at least one Policy"
    for number, policy in enumerate(policies or ()):
        path, kind = f"policies[{number}]", policy.get("type", "")
        if kind not in ("Pods", "Percent"):
            yield f"{path}.type", f'Unsupported value: "{kind}": supported values: "Percent", "Pods"'
        value, period = policy.get("value", 0), policy.get("periodSeconds", 0)
        if value <= 0:
            yield f"{path}.value", f"Invalid value: {value}: must be greater than zero"
        if period <= 0:
            yield f"{path}.periodSeconds", f"Invalid value: {period}: must be greater than zero"
        if period > 1800:
            yield f"{path}.periodSeconds", f"Invalid value: {period}: must be less than or equal to 1800"
