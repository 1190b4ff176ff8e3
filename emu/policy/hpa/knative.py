"""The HorizontalPodAutoscaler that Knative writes for a revision of class hpa (knative/serving v1.23,
pkg/reconciler/autoscaling/hpa/resources/hpa.go). Pure: the settings come in as they were read from the annotations
and from config-autoscaler.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from emu.policy.hpa.spec import INT32_MAX, Behavior, HpaSpec, Metric, ScalingRules

_MIB = 2**20


@dataclass(frozen=True)
class HpaSettings:
    """What a revision's annotations say to the HPA class. Nothing else of them has an effect there."""

    metric: str = "cpu"
    target: float | None = None
    """The annotation; without it there is no metric at all, whatever `metric` says."""
    min_scale: int = 0
    """Annotation, else config-autoscaler; 0 where the revision is unreachable."""
    max_scale: int = 0
    """0: no limit."""
    window_s: float | None = None
    """The annotation only."""


def autoscaler(settings: HpaSettings) -> HpaSpec:
    """cpu is rounded up to a percentage; memory is cut off to whole MiB, any other metric to a whole number."""
    behavior = None
    if settings.window_s is not None:
        rules = ScalingRules(window_s=float(int(settings.window_s)))
        behavior = Behavior(rules, rules)
    metrics = () if settings.target is None else (_metric(settings.metric, settings.target),)
    least = settings.min_scale if settings.min_scale > 0 else None
    return HpaSpec(settings.max_scale or INT32_MAX, least, metrics, behavior)


def _metric(name: str, target: float) -> Metric:
    if name == "cpu":
        return Metric("cpu", target=math.ceil(target))
    if name == "memory":
        return Metric("memory", type="AverageValue", target=int(target) * _MIB * 1000)
    return Metric(name, "Pods", "AverageValue", int(target) * 1000)
