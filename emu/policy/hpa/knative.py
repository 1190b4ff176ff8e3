"""The HorizontalPodAutoscaler that Knative writes for a revision of class hpa (knative/serving v1.23,
pkg/reconciler/autoscaling/hpa/resources/hpa.go). Pure: the settings come in as they were read from the annotations
and from config-autoscaler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emu.policy.autoscaling.numbers import INT32_MAX, ceil, int32, int64, wrapped
from emu.policy.autoscaling.settings import Annotations, ClusterConfig, settings_for
from emu.policy.golang import parse_float, parse_seconds
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, ScalingRules

_MIB = 2**20


@dataclass(frozen=True)
class HpaSettings:
    """What a revision's annotations say to the class hpa. Nothing else of them has an effect there."""

    metric: str = "cpu"
    target: float | None = None
    """The annotation; without it there is no metric at all, whatever `metric` says."""
    min_scale: int = 0
    """Annotation, else config-autoscaler; 0 where the revision is unreachable."""
    max_scale: int = 0
    """0: no limit."""
    window_s: float | None = None
    """The annotation only."""


def settings_of(annotations: Mapping[str, str], config: ClusterConfig, reachability: str = "") -> HpaSettings:
    """A revision's settings of this class; what does not parse counts as absent."""
    notes = Annotations(annotations)
    bounds = settings_for(annotations, config, 0, reachability)
    return HpaSettings(
        notes.metric(),
        notes.get(parse_float, "target"),
        bounds.min_scale,
        bounds.max_scale,
        notes.get(parse_seconds, "window"),
    )


def autoscaler(settings: HpaSettings) -> HpaSpec:
    """cpu is rounded up to a percentage; memory is cut off to whole MiB, any other metric to a whole number."""
    behavior = None
    if settings.window_s is not None:
        rules = ScalingRules(window_s=float(int32(settings.window_s)))
        behavior = Behavior(rules, rules)
    metrics = () if settings.target is None else (_metric(settings.metric, settings.target),)
    least = settings.min_scale if settings.min_scale > 0 else None
    return HpaSpec(settings.max_scale or INT32_MAX, least, metrics, behavior)


def _metric(name: str, target: float) -> Metric:
    if name == "cpu":
        return Metric("cpu", target=int32(ceil(target)))
    if name == "memory":
        return Metric(
            "memory", type="AverageValue", target=wrapped(int64(target) * _MIB, 64) * 1000, notation="binary"
        )
    return Metric(name, "Pods", "AverageValue", int64(target) * 1000)
