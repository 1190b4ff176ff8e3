"""Which metrics of a HorizontalPodAutoscaler its controller can make nothing of, whatever the pods use: a share of
requests that a container does not have, a container that the pods do not have (pkg/controller/podautoscaler/
replica_calculator.go and metrics/client.go). Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from emu.policy.hpa.spec import HpaSpec, Metric, defaulted

_OF_RESOURCES = {"Resource": "FailedGetResourceMetric", "ContainerResource": "FailedGetContainerResourceMetric"}


@dataclass(frozen=True)
class Unmeasurable:
    """A metric without a value."""

    number: int
    """Its place among the metrics."""
    metric: Metric
    containers: tuple[str, ...]
    """Those that lack the request; or the one that is not there."""
    reason: str
    """Of the condition ScalingActive."""
    words: str
    """The controller's, without the pod's name; it ends at the first container."""
    absent: bool = False
    """The pods have no such container."""


def unmeasurable(
    spec: HpaSpec, requested: Mapping[str, Collection[str]], of_pod: Collection[str] = ()
) -> list[Unmeasurable]:
    """Those of its metrics. `requested` has for each container, sidecars among the init containers included, the
    resources that it requests; a limit is a request. `of_pod`: those that the pod itself requests (KEP-2837). Where
    there are any, a share of the whole pod is one of what the pod requests, of whichever level.
    """
    found = []
    for number, metric in enumerate(defaulted(spec).metrics):
        reason = _OF_RESOURCES.get(metric.source)
        if reason is None:
            continue
        if metric.container and metric.container not in requested:
            words = f"container {metric.container} not present in metrics for pod"
            found.append(Unmeasurable(number, metric, (metric.container,), reason, words, absent=True))
        elif metric.type == "Utilization":
            if of_pod and not metric.container and metric.name in {*of_pod}.union(*requested.values()):
                continue
            counting = [one for one in requested if metric.container in ("", one)]
            lacking = tuple(one for one in counting if metric.name not in requested[one])
            if lacking:
                words = f"missing request for {metric.name} in container {lacking[0]}"
                found.append(Unmeasurable(number, metric, lacking, reason, words))
    return found


def stuck(
    spec: HpaSpec, requested: Mapping[str, Collection[str]], of_pod: Collection[str] = ()
) -> Unmeasurable | None:
    """The first metric of one that never scales for want of a value: none of its metrics has one. With another that
    has, it still scales up. None too where the bounds are one number.
    """
    if spec.least >= spec.max_replicas:
        return None
    found = unmeasurable(spec, requested, of_pod)
    return found[0] if len(found) == len(defaulted(spec).metrics) else None
