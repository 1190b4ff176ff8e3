"""What KEDA makes of a ScaledObject: a HorizontalPodAutoscaler for one pod and more, and its own rule for none
(controllers/keda/hpa.go, pkg/scaling/executor/scale_scaledobjects.go, pkg/scalers/cpu_memory_scaler.go). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emu.policy.hpa.spec import Behavior, HpaSpec, Metric

POLLING_S = 30.0
"""spec.pollingInterval."""
COOLDOWN_S = 300.0
"""spec.cooldownPeriod."""
MAX_REPLICAS = 100

TriggerType = Literal["cpu", "memory", "prometheus", "graphite", "external"]


@dataclass(frozen=True)
class Trigger:
    """One of spec.triggers."""

    type: TriggerType
    metric: Metric
    """What the autoscaler gets of it; other than cpu and memory it is an external metric."""
    activation: float = 0.0
    """activationThreshold: above it the trigger is active. cpu and memory always are."""


@dataclass(frozen=True)
class ScaledObject:
    """A ScaledObject's spec, without what it scales."""

    triggers: tuple[Trigger, ...]
    min_replicas: int | None = None
    max_replicas: int | None = None
    cooldown_s: float = COOLDOWN_S
    polling_s: float = POLLING_S
    behavior: Behavior | None = None


@dataclass(frozen=True)
class Activity:
    """What a poll decides: another number of replicas, or None, and when a trigger was last active."""

    replicas: int | None
    last_active_s: float | None
    sentence: str


def autoscaler(scaled: ScaledObject) -> HpaSpec:
    """The HorizontalPodAutoscaler `keda-hpa-NAME`. Its metrics stand in the order of their types."""
    least = scaled.min_replicas if scaled.min_replicas and scaled.min_replicas > 0 else 1
    most = MAX_REPLICAS if scaled.max_replicas is None else scaled.max_replicas
    metrics = sorted((trigger.metric for trigger in scaled.triggers), key=lambda metric: metric.source)
    return HpaSpec(most, least, tuple(metrics), scaled.behavior)


def active(trigger: Trigger, value: float | None) -> bool:
    """Whether a trigger asks for pods; `value` is None where its query failed."""
    if trigger.type in ("cpu", "memory"):
        return True
    return value is not None and value > trigger.activation


def polled(scaled: ScaledObject, is_active: bool, current: int, last_active_s: float | None, now: float) -> Activity:
    """One poll: from none to the first pods, and from the last pods to none after the cooldown. Between them the
    autoscaler decides.
    """
    least = scaled.min_replicas or 0
    if is_active:
        if current == 0:
            first = max(least, 1)
            return Activity(first, now, f"a trigger is active: from 0 to {first}")
        return Activity(None, now, "a trigger is active")
    if current > 0 and least == 0:
        if last_active_s is None:
            return Activity(0, None, "no trigger is active, and none has been: to 0")
        if last_active_s + scaled.cooldown_s < now:
            quiet_s = now - last_active_s
            said = (
                f"no trigger was active for {quiet_s:g} s, longer than cooldownPeriod {scaled.cooldown_s:g} s: to 0"
            )
            return Activity(0, last_active_s, said)
        rest_s = last_active_s + scaled.cooldown_s - now
        return Activity(None, last_active_s, f"no trigger is active: cooling down for another {rest_s:g} s")
    if current < least:
        return Activity(least, last_active_s, f"{current} is below minReplicaCount {least}: to {least}")
    return Activity(None, last_active_s, "no trigger is active: no change")
