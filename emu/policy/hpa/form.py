"""A HorizontalPodAutoscaler's spec to and from its form in a manifest (autoscaling/v2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, ScalingPolicy, ScalingRules
from emu.policy.quantity import NANO, Quantity, json_quantity


def written(spec: HpaSpec) -> dict[str, Any]:
    """The mapping; what is absent in the spec has no key."""
    found: dict[str, Any] = {"maxReplicas": spec.max_replicas}
    if spec.min_replicas is not None:
        found["minReplicas"] = spec.min_replicas
    if spec.metrics:
        found["metrics"] = [_metric(metric) for metric in spec.metrics]
    if spec.behavior is not None:
        found["behavior"] = written_behavior(spec.behavior)
    return found


def written_behavior(behavior: Behavior) -> dict[str, Any]:
    """A behavior as the field of a HorizontalPodAutoscaler spells it."""
    return {
        key: _rules(rules)
        for key, rules in (("scaleUp", behavior.up), ("scaleDown", behavior.down))
        if rules is not None
    }


def behavior_of(value: Mapping[str, Any] | None) -> Behavior | None:
    """The field `behavior`, as it was checked by Kubernetes; None where it is absent."""
    if value is None:
        return None
    return Behavior(_rules_of(value.get("scaleUp")), _rules_of(value.get("scaleDown")))


def _rules_of(value: Mapping[str, Any] | None) -> ScalingRules | None:
    if value is None:
        return None
    policies = tuple(
        ScalingPolicy(one["type"], int(one["value"]), float(one["periodSeconds"]))
        for one in value.get("policies") or ()
    )
    window, tolerance = value.get("stabilizationWindowSeconds"), value.get("tolerance")
    return ScalingRules(
        policies,
        value.get("selectPolicy") or "Max",
        None if window is None else float(window),
        None if tolerance is None else json_quantity(tolerance).nano / NANO,
    )


def _rules(rules: ScalingRules) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rules.window_s is not None:
        found["stabilizationWindowSeconds"] = int(rules.window_s)
    if rules.policies:
        found["selectPolicy"] = rules.select
        found["policies"] = [
            {"type": one.type, "value": one.value, "periodSeconds": int(one.period_s)} for one in rules.policies
        ]
    if rules.tolerance is not None:
        found["tolerance"] = f"{rules.tolerance:g}"
    return found


def _metric(metric: Metric) -> dict[str, Any]:
    key = metric.source[0].lower() + metric.source[1:]
    target: dict[str, Any] = {"type": metric.type}
    if metric.target is not None:
        if metric.type == "Utilization":
            target["averageUtilization"] = metric.target
        else:
            target[metric.type[0].lower() + metric.type[1:]] = quantity(metric)
    source: dict[str, Any] = {"target": target}
    if metric.source in ("Resource", "ContainerResource"):
        source["name"] = metric.name
        if metric.container:
            source["container"] = metric.container
    else:
        source["metric"] = {"name": metric.name}
    return {"type": metric.source, key: source}


def quantity(metric: Metric) -> str:
    """The target as Kubernetes prints it: `80Mi`, `500m`, `3`, `5k`."""
    return str(Quantity((metric.target or 0) * 10**6, metric.notation))
