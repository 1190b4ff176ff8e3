"""A HorizontalPodAutoscaler → the autoscaler's keys of a scenario, and a load that it wants some pods for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from emu.manifests.yamltext import Lines, Said
from emu.policy.hpa.form import behavior_of, written
from emu.policy.hpa.keda import ScaledObject, Trigger
from emu.policy.hpa.keda import autoscaler as keda_autoscaler
from emu.policy.hpa.knative import HpaSettings
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, amount, defaulted
from emu.policy.quantity import parse_amount, parse_quantity

RESOURCES = ("cpu", "memory")
APP = "app"
"""What the serving container is called in a scenario."""
_MOST_PODS = 10
_PODS = 3
"""As many as one machine is asked to run for it."""
_SHARE = 0.75
_CPU_S = 0.05
_MOST_MILLICORES = 700
"""Of one CPU, which other things need too."""
_BASE_BYTES = 40 << 20
"""What a pod with the stand-in holds by itself."""
_MOST_BYTES = 600 << 20


def knative_keys(settings: HpaSettings, initial_scale: int) -> Lines:
    """What Knative's class hpa looks at."""
    made: Lines = {"class": "hpa"}
    if settings.min_scale:
        made["minScale"] = settings.min_scale
    made["maxScale"] = settings.max_scale or Said(
        max(_MOST_PODS, settings.min_scale), "Knative: no limit; one machine has to run them all"
    )
    if initial_scale != 1:
        made["initialScale"] = max(1, initial_scale)
    made["metric"] = settings.metric if settings.metric in RESOURCES else "cpu"
    if settings.target is not None:
        unit = "percent of the requests" if settings.metric == "cpu" else "MiB in a pod"
        made["target"] = Said(settings.target, unit)
    if settings.window_s is not None:
        made["window"] = f"{settings.window_s:g}s"
    return made


def standard_keys(spec: HpaSpec, replicas: int, serving: str) -> Lines:
    """The spec as it is, with the serving container's name of a scenario."""
    metrics = tuple(replace(one, container=APP) if one.container == serving else one for one in spec.metrics)
    most = spec.max_replicas if spec.max_replicas <= 1000 else _MOST_PODS
    made: Lines = {"class": "hpa"}
    if replicas > 1:
        made["initialScale"] = replicas
    made["horizontalPodAutoscaler"] = written(replace(spec, metrics=metrics, max_replicas=most))
    return made


def spec_of(spec: Mapping[str, Any]) -> tuple[HpaSpec, list[str]]:
    """A HorizontalPodAutoscaler's spec in a manifest, and the types of the metrics that emu has not."""
    metrics, others = [], []
    for one in spec.get("metrics") or ():
        metric = _metric(one)
        if metric is None:
            others.append(str(one.get("type", "?")))
        else:
            metrics.append(metric)
    least = spec.get("minReplicas")
    behavior = behavior_of(spec["behavior"]) if "behavior" in spec else None
    return HpaSpec(
        int(spec.get("maxReplicas", 0)), 1 if least is None else int(least), tuple(metrics), behavior
    ), others


def without_tolerance(behavior: Behavior) -> Behavior:
    """It with the controller's tolerance alone, which is all that emu's autoscaler has."""
    up, down = (None if one is None else replace(one, tolerance=None) for one in (behavior.up, behavior.down))
    return replace(behavior, up=up, down=down)


def tolerant(spec: HpaSpec) -> tuple[HpaSpec, list[str]]:
    """It without a tolerance of its own, and what that leaves out."""
    behavior = None if spec.behavior is None else without_tolerance(spec.behavior)
    return replace(spec, behavior=behavior), [] if behavior == spec.behavior else [TOLERANCE]


TOLERANCE = "the tolerance of its behavior: the controller's own counts"


def of_scaled_object(spec: Mapping[str, Any]) -> HpaSpec | None:
    """The HorizontalPodAutoscaler that KEDA makes of a ScaledObject; None where it has other triggers than cpu and
    memory. Those are always active, so it is never scaled to zero.
    """
    triggers = []
    for one in spec.get("triggers") or ():
        try:
            metric = _metric(_resource(one)) if one.get("type") in RESOURCES else None
        except ValueError:  # KEDA takes the object, and makes nothing of it
            return None
        if metric is None:
            return None
        triggers.append(Trigger(one["type"], metric))
    advanced = (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}
    behavior = behavior_of(advanced.get("behavior"))
    scaled = ScaledObject(
        tuple(triggers), spec.get("minReplicaCount"), spec.get("maxReplicaCount"), behavior=behavior
    )
    return keda_autoscaler(scaled) if triggers else None


def _resource(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """A trigger as a metric of autoscaling/v2."""
    kind, value = trigger.get("metricType") or "Utilization", (trigger.get("metadata") or {}).get("value")
    key = "averageUtilization" if kind == "Utilization" else "averageValue"
    return {"type": "Resource", "resource": {"name": trigger["type"], "target": {"type": kind, key: value}}}


def _metric(given: Mapping[str, Any]) -> Metric | None:
    kind = given.get("type")
    if kind == "Resource":
        source: Mapping[str, Any] = given.get("resource") or {}
    elif kind == "ContainerResource":
        source = given.get("containerResource") or {}
    else:
        return None
    target: Mapping[str, Any] = source.get("target") or {}
    name, container = str(source.get("name", "")), str(source.get("container", ""))
    if name not in RESOURCES:
        return None
    if target.get("averageUtilization") is not None:
        return Metric(name, kind, target=int(target["averageUtilization"]), container=container)
    if target.get("averageValue") is None:
        return None
    value = parse_quantity(str(target["averageValue"]))
    return Metric(name, kind, "AverageValue", value.milli, value.form, container)


def load_for(spec: HpaSpec, containers: Sequence[Mapping[str, Any]], limit_bytes: int | None) -> list[Lines]:
    """Phases for the first metric that can be read: CPU to burn, or memory to hold, that up to three pods are wanted
    for. `containers` have the resources that count; `limit_bytes` is the serving container's limit.
    """
    spec = defaulted(spec)
    pods = min(spec.max_replicas, _PODS)
    metric = next((one for one in spec.metrics if _in_a_pod(one, containers)), spec.metrics[0])
    in_a_pod = _in_a_pod(metric, containers)
    if metric.name == "memory":
        return _memory_phases(metric, in_a_pod, pods, limit_bytes)
    wanted = in_a_pod * (pods - 1 + _SHARE)
    millicores = max(20.0, min(_MOST_MILLICORES, wanted or 200.0))
    rate = max(1.0, float(round(millicores / 1000 / _CPU_S)))
    burned = rate * _CPU_S * 1000
    return [_steady(rate, f"{burned:.0f}m of CPU; {_aim(metric, in_a_pod, burned)}")]


def plain_load(serving: Mapping[str, Any]) -> list[Lines]:
    """For pods that nothing scales: at most half of the CPU that the serving container may have."""
    limit = ((serving.get("resources") or {}).get("limits") or {}).get("cpu")
    most = 4.0 if limit is None else float(parse_amount(str(limit))) / 2 / _CPU_S
    rate = max(0.2, min(4.0, float(f"{most:.1g}")))
    return [_steady(rate, f"{rate * _CPU_S * 1000:.0f}m of CPU; nothing scales the pod")]


def _steady(rate: float, comment: str) -> Lines:
    return {
        "name": "steady",
        "type": "constant",
        "rate": Said(rate, comment),
        "duration": "90s",
        "request": {"do": {"cpu": f"{_CPU_S * 1000:.0f}ms"}},
    }


def _memory_phases(metric: Metric, in_a_pod: float, pods: int, limit_bytes: int | None) -> list[Lines]:
    wanted = in_a_pod / 1000 * (pods - 1 + _SHARE) - _BASE_BYTES * pods
    most = _MOST_BYTES if limit_bytes is None else min(_MOST_BYTES, int(limit_bytes * 0.8) - _BASE_BYTES)
    hold = max(1 << 20, min(most, int(wanted)))
    comment = f"held for good; {_aim(metric, in_a_pod, (hold + _BASE_BYTES) * 1000)}"
    return [
        {
            "name": "more-memory",
            "type": "constant",
            "rate": 1,
            "count": 1,
            "duration": "2s",
            "request": {"do": {"hold": Said(f"{hold >> 20}Mi", comment), "holdFor": "forever"}},
        },
        {"name": "look", "type": "pause", "duration": "75s"},
    ]


def _in_a_pod(metric: Metric, containers: Sequence[Mapping[str, Any]]) -> float:
    """What one pod is to have, in thousandths of a CPU or of a byte; 0 where a container has no request."""
    if metric.type != "Utilization":
        return float(metric.target or 0)
    counting = [one for one in containers if metric.container in ("", one.get("name"))]
    asked = []
    for one in counting:
        resources: Mapping[str, Any] = one.get("resources") or {}
        text = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.get(metric.name)
        if text is None:
            return 0.0
        asked.append(float(parse_amount(str(text))) * 1000)
    return sum(asked) * (metric.target or 0) / 100


def _aim(metric: Metric, in_a_pod: float, got: float) -> str:
    if not in_a_pod:
        return f"a container has no request of {metric.name}, so its share cannot be read"
    wanted = math.ceil(got / in_a_pod)
    pods = "1 pod" if wanted == 1 else f"{wanted} pods"
    share = f"{metric.target} % of the requests, " if metric.type == "Utilization" else ""
    return f"at {share}{amount(metric.name, int(in_a_pod))}, in each pod that is {pods}"


def counting(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The containers of a pod whose requests and usage count: of its init containers the sidecars."""
    inits: Sequence[Mapping[str, Any]] = spec.get("initContainers") or ()
    return [*(spec.get("containers") or ()), *(one for one in inits if one.get("restartPolicy") == "Always")]


def requested_by(container: Mapping[str, Any]) -> set[str]:
    """The resources that a container requests, or a pod itself; a limit without a request is one."""
    resources: Mapping[str, Any] = container.get("resources") or {}
    return {name for kind in ("requests", "limits") for name in resources.get(kind) or {}}
