"""What metrics-server serves of a pod, made of its containers' cgroup figures (metrics-server pkg/storage/pod.go and
types.go): cpu between the last two scrapes, memory's working set at the last one. Pure.

A container needs two points of one life. A new one has a first point at its start, with no CPU used, if its age at
the scrape is at least 10 s and less than the resolution. A pod is served only when each of its containers has both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from emu.policy.hpa.replicas import Sample

RESOLUTION_S = 15.0
"""--metric-resolution: from one scrape to the next, as it is deployed."""
FRESH_LEAST_S = 10.0


@dataclass(frozen=True)
class Point:
    """One container at one scrape."""

    started_s: float
    at_s: float
    cpu_usec: int
    """cpu.stat's usage_usec, since its start."""
    working_set_bytes: int


@dataclass(frozen=True)
class Points:
    """A pod's last scrape and the one before, by container."""

    last: Mapping[str, Point] = field(default_factory=dict)
    before: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerUsage:
    """A container's usage in thousandths, rounded up as a quantity's milli-value is."""

    cpu: int
    memory: int
    at_s: float
    window_s: float


def working_set(current_bytes: int, inactive_file_bytes: int) -> int:
    """memory.current less the page cache that has not been used lately (inactive_file of memory.stat)."""
    return max(0, current_bytes - inactive_file_bytes)


def scraped(
    known: Points,
    new: Mapping[str, Point],
    resolution_s: float = RESOLUTION_S,
    fresh_least_s: float = FRESH_LEAST_S,
) -> Points:
    """With a new scrape; a container that is not in it is forgotten."""
    before = {}
    for name, point in new.items():
        first = _before(known, name, point, fresh_least_s, resolution_s)
        if first is not None:
            before[name] = first
    return Points(dict(new), before)


def _before(known: Points, name: str, point: Point, fresh_least_s: float, resolution_s: float) -> Point | None:
    age_s = point.at_s - point.started_s
    if fresh_least_s <= age_s < resolution_s:
        return Point(point.started_s, point.started_s, 0, point.working_set_bytes)
    last = known.last.get(name)
    if last is None or not point.started_s < last.at_s:  # it is new, or it has restarted
        return None
    if point.at_s > last.at_s:
        return last
    earlier = known.before.get(name)
    return earlier if earlier is not None and earlier.at_s < point.at_s else None


def usage(points: Points) -> dict[str, ContainerUsage] | None:
    """Each container's usage; None where the pod is not served yet."""
    if not points.last or points.last.keys() - points.before.keys():
        return None
    served = {}
    for name, last in points.last.items():
        first = points.before[name]
        window_s = last.at_s - first.at_s
        if last.started_s < first.started_s or last.cpu_usec < first.cpu_usec or window_s <= 0:
            continue
        nanocores = int((last.cpu_usec - first.cpu_usec) * 1000 / window_s)
        served[name] = ContainerUsage(
            math.ceil(nanocores / 1_000_000), last.working_set_bytes * 1000, last.at_s, window_s
        )
    return served


def sample(points: Points, resource: str, container: str = "") -> Sample | None:
    """The sample that the autoscaler gets of a pod: the sum over its containers, or that of one of them."""
    served = usage(points)
    if not served or (container and container not in served):
        return None
    chosen = {container: served[container]} if container else served
    earliest = min(served.values(), key=lambda one: one.at_s)
    total = sum(one.cpu if resource == "cpu" else one.memory for one in chosen.values())
    return Sample(total, earliest.at_s, earliest.window_s)
