"""What KServe makes of a component's autoscaling fields: annotations for Knative, a HorizontalPodAutoscaler, or
KEDA's ScaledObject (pkg/controller: v1alpha1/utils/utils.go, v1beta1/inferenceservice/reconcilers/{hpa,keda}).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from emu.manifests.kserve.keys import (
    CLASS,
    DISALLOWED,
    INITIAL_SCALE,
    KPA,
    MAX_SCALE,
    METRIC,
    MIN_SCALE,
    TARGET,
    ClusterConfig,
    Yaml,
    items,
    mapping,
)
from emu.policy.hpa.spec import CPU_UTILIZATION, Behavior, HpaSpec, Metric
from emu.policy.quantity import parse_amount

_ATOI = re.compile(r"[+-]?[0-9]+")


def filtered(annotations: Mapping[str, str]) -> dict[str, str]:
    """Those that may reach a pod template: not the bounds in their kebab spelling, which the fields give."""
    return {key: value for key, value in annotations.items() if key not in DISALLOWED}


def knative_annotations(
    component: Yaml, annotations: Mapping[str, str], allow_zero_initial_scale: bool = False
) -> dict[str, str]:
    """The revision template's annotations: those that were given and may stay, and what the fields say over them."""
    made = dict(annotations)
    initial = made.get(INITIAL_SCALE)
    if initial is not None and not _initial_scale_stays(initial, allow_zero_initial_scale):
        del made[INITIAL_SCALE]
    made.setdefault(CLASS, KPA)
    least, most = component.get("minReplicas"), component.get("maxReplicas") or 0
    for key, value in ((TARGET, component.get("scaleTarget")), (METRIC, component.get("scaleMetric"))):
        if value is not None:
            made[key] = str(value)
    made[MIN_SCALE] = str(1 if least is None else least)
    if most:
        made[MAX_SCALE] = str(most)
    return made


def _initial_scale_stays(text: str, allow_zero: bool) -> bool:
    """It does not where it is no integer of 64 bits, or 0 that the cluster forbids; only a log says so."""
    if not _ATOI.fullmatch(text) or len(text) > 100 or not -(2**63) <= int(text) < 2**63:
        return False
    return allow_zero or int(text) != 0


def autoscaler(component: Yaml) -> HpaSpec:
    """The HorizontalPodAutoscaler of Standard mode. minReplicas is at least 1, maxReplicas at least that;
    `autoScaling` replaces scaleMetric altogether; `behavior` is written empty, whatever was asked for.
    """
    least = max(1, component.get("minReplicas") or 1)
    most = max(component.get("maxReplicas") or 0, least)
    return HpaSpec(most, least, tuple(_metrics(component)), Behavior())


def _metrics(component: Yaml) -> list[Metric]:
    if component.get("autoScaling") is not None:
        specs = items(mapping(component["autoScaling"]).get("metrics"))
        made = [_from_spec(mapping(one["resource"])) for one in specs if one.get("resource") is not None]
        return [metric for metric in made if metric is not None]
    name, target = component.get("scaleMetric"), component.get("scaleTarget")
    if name is None or name == "cpu":
        return [Metric("cpu", target=CPU_UTILIZATION if target is None else target)]
    if name == "memory" and target is not None:
        return [Metric("memory", target=target)]
    return []


def _from_spec(resource: Yaml) -> Metric | None:
    name, target = resource.get("name"), mapping(resource.get("target"))
    percent, value = target.get("averageUtilization"), target.get("averageValue")
    if name == "cpu":
        return Metric("cpu", target=CPU_UTILIZATION if percent is None else percent)
    if name != "memory":
        return None
    if target.get("type") == "AverageValue":
        thousandths = None if value is None else int(parse_amount(str(value)) * 1000)
        return Metric("memory", type="AverageValue", target=thousandths, notation=_notation(str(value)))
    if target.get("type") == "Utilization":
        return Metric("memory", target=percent)
    return Metric("memory", type="")  # Value is dropped; Kubernetes refuses what is left


def _notation(quantity: str) -> Literal["decimal", "binary", "exponent"]:
    if quantity.endswith("i"):
        return "binary"
    return "exponent" if re.search(r"[eE][+-]?[0-9]", quantity) else "decimal"


def scaled_object(name: str, namespace: str, component: Yaml, config: ClusterConfig) -> dict[str, Any]:
    """KEDA's ScaledObject. Its triggers come from `autoScaling.metrics` alone; without any it scales by nothing."""
    least = component.get("minReplicas")
    least = 1 if least is None else least
    scaling = mapping(component.get("autoScaling"))
    asked = mapping(scaling.get("behavior"))
    behavior = {}
    for key, default in (("scaleUp", config.up_window_s), ("scaleDown", config.down_window_s)):
        window = mapping(asked.get(key)).get("stabilizationWindowSeconds")
        if window is None and _ATOI.fullmatch(default):
            window = int(default)
        if window is not None:
            behavior[key] = {"stabilizationWindowSeconds": window}
    triggers = [_trigger(name, namespace, one, config) for one in items(scaling.get("metrics"))]
    spec: dict[str, Any] = {
        "scaleTargetRef": {"name": name},
        "minReplicaCount": least,
        "maxReplicaCount": max(component.get("maxReplicas") or 0, least),
        "triggers": [one for one in triggers if one is not None],
    }
    if behavior:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    return spec


def _trigger(name: str, namespace: str, metric: Yaml, config: ClusterConfig) -> dict[str, Any] | None:
    kind = metric.get("type")
    if kind == "Resource":
        return _resource_trigger(mapping(metric.get("resource")))
    if kind == "External":
        return _external_trigger(mapping(metric.get("external")))
    if kind == "PodMetric":
        return _pod_trigger(name, namespace, mapping(metric.get("podmetric")), config)
    return None


def _resource_trigger(resource: Yaml) -> dict[str, Any]:
    target = mapping(resource.get("target"))
    kind = target.get("type", "")
    key = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}.get(kind, "")
    value = target.get(key)
    if value is None:
        value = CPU_UTILIZATION if kind == "Utilization" and resource.get("name") == "cpu" else 0
    return {"type": resource.get("name", ""), "metadata": {"value": str(value)}, "metricType": kind}


def _external_trigger(external: Yaml) -> dict[str, Any]:
    metric, target = mapping(external.get("metric")), mapping(external.get("target"))
    metadata = {
        "serverAddress": str(metric.get("serverAddress", "")),
        "query": str(metric.get("query", "")),
        "threshold": str(target.get("value", "0")),
    }
    if metric.get("backend") == "prometheus" and metric.get("namespace"):
        metadata["namespace"] = str(metric["namespace"])
    made: dict[str, Any] = {"type": metric.get("backend", ""), "metadata": metadata}
    authentication = mapping(external.get("authenticationRef"))
    if authentication.get("authModes"):
        metadata["authModes"] = str(authentication["authModes"])
    if reference := mapping(authentication.get("authenticationRef")).get("name"):
        made["authenticationRef"] = {"name": reference}
    return made


def _pod_trigger(name: str, namespace: str, pods: Yaml, config: ClusterConfig) -> dict[str, Any]:
    metric, target = mapping(pods.get("metric")), mapping(pods.get("target"))
    if metric.get("backend") != "opentelemetry":
        return {"type": "", "metadata": {}}
    query = metric.get("query", "")
    metadata = {
        "metricQuery": f'sum({query}{{namespace="{namespace}", deployment="{name}"}})',
        "targetValue": str(target.get("value", "0")),
        "scalerAddress": str(metric.get("serverAddress") or config.otel_scaler),
    }
    if metric.get("operationOverTime"):
        metadata["operationOverTime"] = str(metric["operationOverTime"])
    return {"type": "external", "metadata": metadata}
