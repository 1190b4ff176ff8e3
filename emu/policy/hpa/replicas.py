"""What one metric makes of the pods: how many there should be (Kubernetes 1.28,
pkg/controller/podautoscaler/replica_calculator.go), and what several metrics propose together (horizontal.go).

Amounts are whole thousandths, as the controller reads them: of a CPU, of a byte, of a metric's unit. Averages and
percentages are whole numbers, cut off, before they are compared with the target.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from emu.policy.autoscaling.numbers import ceil, int32, quotient
from emu.policy.hpa.spec import Metric, amount

TOLERANCE = 0.1
"""--horizontal-pod-autoscaler-tolerance."""
CPU_INITIALIZATION_S = 300.0
"""--horizontal-pod-autoscaler-cpu-initialization-period."""
INITIAL_READINESS_S = 30.0
"""--horizontal-pod-autoscaler-initial-readiness-delay."""
SYNC_S = 15.0
"""--horizontal-pod-autoscaler-sync-period."""


@dataclass(frozen=True)
class Sample:
    """A pod's usage of one resource or metric."""

    value: int
    at_s: float
    """When it was taken."""
    window_s: float
    """Over how long."""


@dataclass(frozen=True)
class HpaPod:
    """A pod as the controller's lister has it."""

    name: str
    requests: Mapping[str, int | None] = field(default_factory=dict)
    """Each container's request of the resource; None where it has none."""
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"] = "Running"
    deleted: bool = False
    """It has a deletion timestamp."""
    ready: Literal["True", "False", "Unknown"] | None = "True"
    """The condition Ready; None without one."""
    ready_changed_s: float = 0.0
    """That condition's last transition."""
    started_s: float | None = 0.0
    """status.startTime."""


@dataclass(frozen=True)
class Timing:
    """The controller's flags that say what counts."""

    tolerance_up: float = TOLERANCE
    tolerance_down: float = TOLERANCE
    cpu_initialization_s: float = CPU_INITIALIZATION_S
    initial_readiness_s: float = INITIAL_READINESS_S

    def near(self, ratio: float) -> bool:
        """Whether the change would be too small."""
        return abs(1.0 - ratio) <= (self.tolerance_down if ratio < 1.0 else self.tolerance_up)


@dataclass(frozen=True)
class Proposal:
    """How many pods one metric asks for. Without any, `error` says why."""

    replicas: int | None
    sentence: str
    utilization: int | None = None
    """Percent of the requests."""
    average: int | None = None
    """Thousandths a pod."""
    error: str = ""


NO_PODS = "no pods returned by selector while calculating replica count"
NO_METRICS = "did not receive metrics for targeted pods (pods might be unready)"
NO_MATCH = "no metrics returned matched known pods"


@dataclass(frozen=True)
class _Groups:
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def propose(
    metric: Metric, pods: Sequence[HpaPod], samples: Mapping[str, Sample], current: int, now: float, timing: Timing
) -> Proposal:
    """One metric of the pods themselves. `samples` are by a pod's name; a pod without one has no sample."""
    if not pods:
        return _failed(metric, NO_PODS)
    groups = _grouped(metric, pods, samples, now, timing)
    counted = {name: sample.value for name, sample in samples.items() if name not in groups.ignored | groups.unready}
    if not counted:
        return _failed(metric, NO_METRICS)
    requests: dict[str, int] | None = None
    if metric.type == "Utilization":
        try:
            requests = _requests(metric, pods)
        except ValueError as error:
            return _failed(metric, str(error))
    first = _measure(metric, counted, requests)
    if first is None:
        return _failed(metric, NO_MATCH)
    wanted, why = _decided(metric, counted, requests, groups, first[0], current, timing)
    utilization, average = (first[1], first[2]) if requests is not None else (None, first[1])
    return Proposal(wanted, _sentence(metric, utilization, average, why), utilization, average)


def _decided(
    metric: Metric,
    counted: dict[str, int],
    requests: Mapping[str, int] | None,
    groups: _Groups,
    ratio: float,
    current: int,
    timing: Timing,
) -> tuple[int, str]:
    """The number, and what led to it."""
    unready = bool(groups.unready) and ratio > 1.0
    if not unready and not groups.missing:
        if timing.near(ratio):
            return current, f"within the tolerance, so it stays at {current}"
        wanted = _rounded_up(ratio * groups.ready)
        return wanted, f"{wanted} = ceil({ratio:.6g} * {groups.ready} ready)"
    filled = counted | _assumed(metric, requests, groups, ratio)
    if unready:
        filled |= dict.fromkeys(groups.unready, 0)
    whom = _guessed(groups, ratio, unready)
    second = _measure(metric, filled, requests)
    if second is None:  # only where what counted had no request
        return current, NO_MATCH
    again = second[0]
    if timing.near(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current, f"{whom} makes the ratio {again:.6g}: it stays at {current}"
    wanted = _rounded_up(again * len(filled))
    if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
        return current, f"{whom} would make it {wanted}, the other way: it stays at {current}"
    return wanted, f"{wanted} = ceil({again:.6g} * {len(filled)} pods), {whom}"


def _grouped(
    metric: Metric, pods: Iterable[HpaPod], samples: Mapping[str, Sample], now: float, timing: Timing
) -> _Groups:
    ready = 0
    unready, missing, ignored = set(), set(), set()
    for pod in pods:
        if pod.deleted or pod.phase == "Failed":
            ignored.add(pod.name)
        elif pod.phase == "Pending":
            unready.add(pod.name)
        elif pod.name not in samples:
            missing.add(pod.name)
        elif metric.name == "cpu" and metric.source != "Pods" and _cpu_unready(pod, samples[pod.name], now, timing):
            unready.add(pod.name)
        else:
            ready += 1
    return _Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _cpu_unready(pod: HpaPod, sample: Sample, now: float, timing: Timing) -> bool:
    """Whether a pod's CPU is that of its start, and so says nothing."""
    if pod.ready is None or pod.started_s is None:
        return True
    if pod.started_s + timing.cpu_initialization_s > now:
        return pod.ready == "False" or sample.at_s < pod.ready_changed_s + sample.window_s
    return pod.ready == "False" and pod.started_s + timing.initial_readiness_s > pod.ready_changed_s


def _requests(metric: Metric, pods: Iterable[HpaPod]) -> dict[str, int]:
    """Each pod's requests; ValueError in the controller's words where a container has none."""
    found = {}
    for pod in pods:
        total = 0
        for container, request in pod.requests.items():
            if metric.container and container != metric.container:
                continue
            if request is None:
                raise ValueError(f"missing request for {metric.name} in container {container} of Pod {pod.name}")
            total += request
        found[pod.name] = total
    return found


def _measure(
    metric: Metric, values: Mapping[str, int], requests: Mapping[str, int] | None
) -> tuple[float, int, int] | None:
    """(ratio, percent or average, average); None where no pod that counts has a request."""
    target = metric.target or 0
    if requests is None:
        average = sum(values.values()) // len(values)
        return quotient(average, target), average, average
    known = [name for name in values if name in requests]
    total, asked = sum(values[name] for name in known), sum(requests[name] for name in known)
    if asked == 0:
        return None
    percent = total * 100 // asked
    return quotient(percent, target), percent, total // len(known)


def _assumed(metric: Metric, requests: Mapping[str, int] | None, groups: _Groups, ratio: float) -> dict[str, int]:
    """What pods without a sample are taken to use: nothing on the way up, all that they may on the way down."""
    target = metric.target or 0
    if ratio > 1.0:
        return dict.fromkeys(groups.missing, 0)
    if not ratio < 1.0:
        return {}
    if requests is None:
        return dict.fromkeys(groups.missing, target)
    return {name: requests[name] * max(100, target) // 100 for name in groups.missing}


def external_per_pod(metric: Metric, total: int, pods: int, timing: Timing) -> Proposal:
    """An external metric by AverageValue, as KEDA's triggers are: the total is spread over the pods (`pods`: those
    in the target's status).
    """
    target = metric.target or 0
    wanted = pods
    if not timing.near(quotient(total, target * pods)):
        wanted = _rounded_up(quotient(total, target))
    average = math.ceil(quotient(total, pods)) if pods else total
    shown = f"{metric.name} is {amount(metric.name, total)}, {amount(metric.name, target)} a pod wanted"
    why = f"within the tolerance, so it stays at {pods}" if wanted == pods else f"{wanted} = ceil(total / target)"
    return Proposal(wanted, f"{shown}: {why}", average=average)


def external_value(metric: Metric, total: int, ready: int, current: int, timing: Timing) -> Proposal:
    """An external metric by Value: the ratio to the target times the ready pods."""
    ratio = quotient(total, metric.target or 0)
    wanted = _rounded_up(ratio if current == 0 else ratio * ready)
    if current != 0 and timing.near(ratio):
        wanted = current
    shown = f"{metric.name} is {amount(metric.name, total)}, {amount(metric.name, metric.target or 0)} wanted"
    return Proposal(wanted, f"{shown}: {wanted} from a ratio of {ratio:.6g}", average=total)


def external_failed(metric: Metric, error: str) -> Proposal:
    """An external metric that could not be had."""
    return _failed(metric, error)


def together(proposals: Sequence[Proposal], current: int) -> Proposal:
    """The largest proposal counts. A metric that fails keeps the pods from becoming fewer, not from becoming more."""
    good = [one for one in proposals if one.replicas is not None]
    failed = [one for one in proposals if one.replicas is None]
    if not good:
        error = failed[0].error if failed else NO_METRICS
        return Proposal(None, f"no metric could be read, so nothing is decided: {error}", error=error)
    best = max(good, key=lambda one: one.replicas or 0)
    if failed and (best.replicas or 0) < current:
        error = failed[0].error
        return Proposal(None, f"{best.sentence}; but a metric failed, so there are no fewer: {error}", error=error)
    return best


def _failed(metric: Metric, error: str) -> Proposal:
    return Proposal(None, f"{metric.name}: {error}", error=error)


def _rounded_up(value: float) -> int:
    return int32(ceil(value))


def _guessed(groups: _Groups, ratio: float, unready: bool) -> str:
    """Which pods were given a figure that was not measured."""
    said = []
    if groups.missing and ratio != 1.0:
        as_what = "all that they may" if ratio < 1.0 else "nothing"
        said.append(f"{len(groups.missing)} without a sample taken to use {as_what}")
    if unready:
        said.append(f"{len(groups.unready)} not ready taken to use nothing")
    return "with " + " and ".join(said) if said else "with no sample of some"


def _sentence(metric: Metric, utilization: int | None, average: int | None, why: str) -> str:
    if utilization is not None:
        return f"{metric.name} is {utilization} % of the requests, {metric.target} % wanted: {why}"
    shown = amount(metric.name, average or 0)
    return f"{metric.name} is {shown} a pod, {amount(metric.name, metric.target or 0)} wanted: {why}"
