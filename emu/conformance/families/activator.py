"""The activator's families: what it reports, which pods are its own, and which of them a request goes to."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from emu.conformance.families import UnplayableError
from emu.policy.activation import Reporter
from emu.policy.balancing import MOST_CONCURRENT, Balancer, Load, Slots, assigned, capacity
from emu.policy.stats import RequestStats

_MOST = 100_000
"""Seconds, pods or slots of a case that can be played."""


def _limited(value: float) -> float:
    if not -_MOST <= value <= _MOST:
        raise UnplayableError(f"{value} is too large to be played")
    return value


def activator_report(given: Mapping[str, Any]) -> dict[str, Any]:
    """Requests in and out → what is sent at once, and each second."""
    reporter = Reporter(0.0)
    sent: list[list[Any]] = []
    events = list(given["events"])
    for second in range(1, int(_limited(given["end_s"])) + 1):
        while events and events[0][0] <= second:
            t, what, _ = events.pop(0)
            if what == "in":
                if reporter.arrived(t):
                    sent.append([t, "at once", 1, 1])
            else:
                reporter.left(t)
        if (report := reporter.cut(second)) is not None:
            sent.append([second, "each second", report.average_concurrency, report.request_count])
    return {"sent": sent}


def request_accounting(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arrivals and ends → reports; the counting starts at 0."""
    stats = RequestStats(0.0)
    reports = []
    for t, what in given["events"]:
        proxied = what.startswith("proxied-")
        if what == "report":
            made = stats.report(t)
            reports.append(
                [
                    made.average_concurrency,
                    made.average_proxied_concurrency,
                    made.request_count,
                    made.proxied_request_count,
                ]
            )
        elif what.endswith("in"):
            stats.arrived(t, proxied)
        else:
            stats.left(t, proxied)
    return {"reports": reports}


def activator_subset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Pods by index, and the capacity of the revision's breaker."""
    concurrency, activators = given["containerConcurrency"], given["activators"]
    pods = range(int(_limited(given["healthy_pods_sorted_by_address"])))
    own = assigned(pods, given["own_index"], activators, concurrency)
    slots = capacity(concurrency, len(pods), len(own), activators)
    return {"assigned_pod_indexes": own, "revision_capacity": _of_breaker(concurrency, slots)}


def activator_capacity_cluster_ip(given: Mapping[str, Any]) -> dict[str, Any]:
    """The capacity of the revision's breaker."""
    concurrency = given["containerConcurrency"]
    slots = capacity(concurrency, int(_limited(given["ready_backends"])), 0, given["activators"])
    return {"revision_capacity": _of_breaker(concurrency, slots)}


def _of_breaker(concurrency: int, slots: int) -> int:
    """What Knative's breaker without a limit calls its capacity is 1."""
    return min(slots, 1) if concurrency == 0 else slots


def lb_policy(given: Mapping[str, Any]) -> dict[str, Any]:
    """`take` chooses a pod; a letter is the end of a request there."""
    balancer: Balancer[str] = Balancer(given["containerConcurrency"], Random(0).randrange)
    balancer.update(chr(ord("A") + index) for index in range(int(_limited(given["pods"]))))
    running: dict[str, list[Load[str]]] = {}
    result = []
    for op in given["ops"]:
        if op != "take":
            balancer.release(running[op].pop())
            result.append("freed")
        elif (load := balancer.choose()) is None:
            result.append("none")
        else:
            running.setdefault(load.pod, []).append(load)
            result.append(load.pod)
    return {"result": result}


def breaker(given: Mapping[str, Any]) -> dict[str, Any]:
    """How many reservations succeed, and how many may be inside."""
    slots = Slots(given["initial_capacity"], given["max_concurrency"], given["queue_depth"])
    if slots.capacity > MOST_CONCURRENT:
        raise UnplayableError("the capacity is beyond any breaker's")
    taken = 0
    while taken < _MOST and slots.take():
        taken += 1
    return {
        "capacity": slots.capacity,
        "reservations_that_succeed": taken,
        "slots_running_plus_waiting": slots.most_inside,
    }


FAMILIES = {
    "activator_report": activator_report,
    "request_accounting": request_accounting,
    "activator_subset": activator_subset,
    "activator_capacity_cluster_ip": activator_capacity_cluster_ip,
    "lb_policy": lb_policy,
    "breaker": breaker,
}
