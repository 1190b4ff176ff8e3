"""What KEDA makes of a ScaledObject: a HorizontalPodAutoscaler for one pod and more, and its own rule for none
(controllers/keda/hpa.go, pkg/scaling/executor/scale_scaledobjects.go, pkg/scaling/scale_handler.go,
pkg/fallback/fallback.go, pkg/scalers/{cpu_memory,prometheus}_scaler.go). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from emu.policy.golang import format_float
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric

POLLING_S = 30.0
"""spec.pollingInterval."""
COOLDOWN_S = 300.0
"""spec.cooldownPeriod."""
MAX_REPLICAS = 100

TriggerType = Literal["cpu", "memory", "prometheus", "graphite", "external"]
FallbackBehavior = Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
REQUIRED: dict[str, tuple[str, ...]] = {
    "prometheus": ("serverAddress", "query", "threshold"),
    "cpu": ("value",),
    "memory": ("value",),
}
"""Of a trigger's metadata, by its type."""


def missing(key: str) -> str:
    """How KEDA refuses a trigger whose metadata lacks a required key (pkg/scalers/scalersconfig/typed_config.go)."""
    return f'missing required parameter "{key}" in [triggerMetadata]'


def refused_bounds(least: int, most: int, idle: int | None) -> Iterator[tuple[str, str]]:
    """How KEDA refuses numbers of pods that contradict each other, and the key of each
    (apis/keda/v1alpha1/scaledobject_types.go: CheckReplicaCountBoundsAreValid).
    """
    if least > most:
        yield f"MinReplicaCount={least} must be less than MaxReplicaCount={most}", "minReplicaCount"
    if idle is not None and idle >= least:
        yield f"IdleReplicaCount={idle} must be less than MinReplicaCount={least}", "idleReplicaCount"


@dataclass(frozen=True)
class Trigger:
    """One of a ScaledObject's spec.triggers."""

    type: TriggerType
    metric: Metric
    """What the autoscaler gets of it; other than cpu and memory it is an external metric."""
    activation: float = 0.0
    """activationThreshold: above it the trigger is active."""
    query: str = ""
    """Of a prometheus trigger."""
    ignore_nulls: bool = True
    """ignoreNullValues: a query without a result is 0, and no failure."""

    @property
    def is_resource(self) -> bool:
        """It is metrics-server's; KEDA reads nothing for it."""
        return self.type in ("cpu", "memory")


@dataclass(frozen=True)
class Fallback:
    """A ScaledObject's spec.fallback: how many replicas while a trigger cannot be asked."""

    failures: int
    """failureThreshold: it takes one more in a row."""
    replicas: int
    behavior: FallbackBehavior = "static"


@dataclass(frozen=True)
class ScaledObject:
    """A ScaledObject's spec, without what it scales."""

    triggers: tuple[Trigger, ...]
    min_replicas: int | None = None
    max_replicas: int | None = None
    cooldown_s: float = COOLDOWN_S
    polling_s: float = POLLING_S
    behavior: Behavior | None = None
    idle_replicas: int | None = None
    initial_cooldown_s: float = 0.0
    fallback: Fallback | None = None


@dataclass(frozen=True)
class Reading:
    """What a trigger's query came to."""

    value: float | None
    """None: it failed."""
    said: str = ""
    """Why it failed, or what is odd about it."""
    fell_back: bool = False
    """The value is what `fallback` makes of failures."""


@dataclass(frozen=True)
class Activity:
    """What a poll decides: another number of replicas, or None, and when a trigger was last active."""

    replicas: int | None
    last_active_s: float | None
    sentence: str
    is_active: bool = False
    """A trigger is."""


def autoscaler(scaled: ScaledObject) -> HpaSpec:
    """The HorizontalPodAutoscaler `keda-hpa-NAME`. Its metrics stand in the order of their types."""
    least = scaled.min_replicas if scaled.min_replicas and scaled.min_replicas > 0 else 1
    most = MAX_REPLICAS if scaled.max_replicas is None else scaled.max_replicas
    metrics = sorted((trigger.metric for trigger in scaled.triggers), key=lambda metric: metric.source)
    return HpaSpec(most, least, tuple(metrics), scaled.behavior)


def external_metric(index: int, threshold: float, by_value: bool = False) -> Metric:
    """The metric of a trigger by its place among them."""
    kind: Literal["Value", "AverageValue"] = "Value" if by_value else "AverageValue"
    return Metric(f"s{index}-prometheus", "External", kind, thousandths(threshold))


def thousandths(value: float) -> int:
    """As KEDA hands a value on: three decimals; what is none, or negative, is 0."""
    return int(f"{value:.3f}".replace(".", "")) if math.isfinite(value) and value > 0 else 0


def read(trigger: Trigger, found: Sequence[float]) -> Reading:
    """What KEDA makes of a query's result: it wants one series."""
    if len(found) > 1:
        return Reading(None, f"prometheus query {trigger.query} returned multiple elements")
    if not found:
        if trigger.ignore_nulls:
            return Reading(0.0, "the query's result is empty, which counts as 0")
        return Reading(None, "prometheus metrics 'prometheus' target may be lost, the result is empty")
    if not math.isfinite(found[0]):
        if trigger.ignore_nulls:
            return Reading(0.0, f"the query's result is {found[0]}, which counts as 0")
        return Reading(None, f"prometheus query returns {format_float(found[0])}")
    return Reading(found[0])


def active(scaled: ScaledObject, readings: Mapping[str, Reading]) -> list[str]:
    """The metrics of the triggers that ask for pods; `readings` are by their metrics' names. cpu and memory do not
    ask, unless there is nothing else: then they always do.
    """
    if all(one.is_resource for one in scaled.triggers):
        return [one.metric.name for one in scaled.triggers]
    asking = []
    for one in scaled.triggers:
        found = Reading(None) if one.is_resource else readings[one.metric.name]
        if found.value is not None and (found.fell_back or found.value > one.activation):
            asking.append(one.metric.name)
    return asking


def polled(
    scaled: ScaledObject,
    asking: Sequence[str],
    current: int,
    last_active_s: float | None,
    now: float,
    *,
    failed: bool = False,
    created_s: float = 0.0,
    second_s: float = 1.0,
) -> Activity:
    """One poll: from none to the first pods, and from the last pods to none after the cooldown. Between them the
    autoscaler decides. `asking` are the triggers that are active, `failed` says that the query of one failed.
    Kubernetes keeps the times that periods count from in whole seconds, of `second_s` here.
    """
    least, idle = scaled.min_replicas or 0, scaled.idle_replicas
    if asking:
        who = f"{', '.join(asking)} {'is' if len(asking) == 1 else 'are'} active"
        if current == 0 or (idle is not None and current < least):
            first = max(least, 1)
            return Activity(first, now, f"{who}: from {current} to {first}", is_active=True)
        return Activity(None, last_active_s if failed else now, who, is_active=True)
    if failed and (scaled.fallback is None or scaled.fallback.replicas):
        return Activity(None, last_active_s, "no trigger is active, and one failed: KEDA changes nothing")
    if (current > 0 and least == 0) if idle is None else current > idle:
        return _cooled(scaled, idle or 0, last_active_s, now, created_s, second_s)
    if idle is None and current < least:
        return Activity(least, last_active_s, f"{current} is below minReplicaCount {least}: to {least}")
    return Activity(None, last_active_s, "no trigger is active: no change")


def _cooled(
    scaled: ScaledObject, to: int, last_active_s: float | None, now: float, created_s: float, second_s: float
) -> Activity:
    if last_active_s is None:
        rest_s = _whole(created_s, second_s) + scaled.initial_cooldown_s - now
        if rest_s < 0:
            return Activity(to, None, f"no trigger is active, and none has been: to {to}")
        return Activity(None, None, f"no trigger is active: initialCooldownPeriod lasts another {rest_s:.3g} s")
    rest_s = _whole(last_active_s, second_s) + scaled.cooldown_s - now
    if rest_s < 0:
        why = (
            f"no trigger was active for {now - last_active_s:.3g} s, and cooldownPeriod "
            f"({scaled.cooldown_s:g} s) is over: to {to}"
        )
        return Activity(to, last_active_s, why)
    return Activity(None, last_active_s, f"no trigger is active: cooling down for another {rest_s:.3g} s")


def _whole(at_s: float, second_s: float) -> float:
    return math.floor(at_s / second_s) * second_s


def fallen_back(fallback: Fallback, metric: Metric, current: int, ready: int) -> float | None:
    """What stands for a metric that failed more often than failureThreshold: as much as leads to the pods of
    `fallback`, cut off to thousandths. None where none can.
    """
    pods = float(
        {
            "static": fallback.replicas,
            "currentReplicas": current,
            "currentReplicasIfHigher": max(current, fallback.replicas),
            "currentReplicasIfLower": min(current, fallback.replicas),
        }[fallback.behavior]
    )
    if metric.type == "Value":
        if ready == 0:
            return None
        pods /= ready
    return math.trunc((metric.target or 0) * pods) / 1000


class Keda:
    """One ScaledObject from its creation on. It polls when `next_poll_s` has come."""

    def __init__(self, scaled: ScaledObject, now: float, time_scale: float = 1.0) -> None:
        """`scaled` has its times divided by the time scale already."""
        self.scaled = scaled
        self._second_s = 1.0 / time_scale
        self._created_s = now
        self._last_active_s: float | None = None
        self._failures = dict.fromkeys((one.metric.name for one in scaled.triggers), 0)
        self.next_poll_s = now

    def readings(self, results: Mapping[str, Sequence[float]], current: int, ready: int) -> dict[str, Reading]:
        """What the queries came to, by the metrics' names; asked at each poll and at each sync of the autoscaler.
        `current` is how many pods there are to be.
        """
        found = {}
        for one in self.scaled.triggers:
            name = one.metric.name
            if not one.is_resource:
                reading = read(one, results[name])
                self._failures[name] = self._failures[name] + 1 if reading.value is None else 0
                found[name] = self._or_fallback(one, reading, current, ready)
        return found

    def _or_fallback(self, trigger: Trigger, reading: Reading, current: int, ready: int) -> Reading:
        fallback, failures = self.scaled.fallback, self._failures[trigger.metric.name]
        if reading.value is not None or fallback is None or failures <= fallback.failures:
            return reading
        value = fallen_back(fallback, trigger.metric, current, ready)
        said = f"more than {fallback.failures} failures in a row, so fallback takes its place: {reading.said}"
        return Reading(value, said, fell_back=value is not None)

    def poll(self, now: float, readings: Mapping[str, Reading], current: int) -> Activity:
        """One poll; the next comes a polling interval later."""
        failed = any(one.value is None for one in readings.values())
        asking = active(self.scaled, readings)
        made = polled(
            self.scaled,
            asking,
            current,
            self._last_active_s,
            now,
            failed=failed,
            created_s=self._created_s,
            second_s=self._second_s,
        )
        self._last_active_s = made.last_active_s
        while self.next_poll_s <= now:
            self.next_poll_s += self.scaled.polling_s
        return made
