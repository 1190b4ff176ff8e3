"""Which pod each request got to: by its client's own record, or by what the activator says of those that it sent on.

The activator knows a request by the connection on which it came: its client's port and its own. A connection has one
request at a time, so what was sent on at some time is the one that went out last on it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from emu.messages import QUEUE_PROXY
from emu.record.events import Event, RequestsForwarded
from emu.study.model.instances import Instance
from emu.study.model.requests import InFlight, Request
from emu.study.requests import count_in_flight

ROUNDED_S = 5e-6
"""Times of the record are rounded by less."""
_BROKEN = ("reset", "closed", "short-body", "bad-response")
"""Ends of a connection to an activator that was killed, and so may not have written what it had sent on."""
_OWN_ANSWERS = (400, 504)
"""What the activator itself answers to a request that it sends to no pod."""


def with_pods(
    requests: list[Request] | None, instances: list[Instance], events: list[Event], origin: float, *, scaled: bool
) -> list[Request] | None:
    """The requests, each with its pod as far as that is known. Those whose record says nothing of a pod, in a run
    that had one alone and no autoscaler, went to that one.
    """
    if requests is None:
        return None
    if any(one.through_activator for one in requests):
        requests = _forwarded(requests, events, origin)
    pods = {one.pod for one in instances}
    alone = None if scaled or len(pods) != 1 else next(iter(pods))
    return [_reached(one, alone) for one in requests]


def _reached(request: Request, alone: str | None) -> Request:
    if request.pod:
        return replace(request, reached="pod")
    return request if alone is None or request.through_activator else replace(request, pod=alone, reached="pod")


def _forwarded(requests: list[Request], events: Iterable[Event], origin: float) -> list[Request]:
    """With what the activator says of those that were sent to it."""
    on: dict[tuple[int, ...], list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda one: one.sent_s):
        if request.ports:
            on[request.ports].append(request)
    times = {ports: [one.sent_s for one in some] for ports, some in on.items()}
    found: dict[int, Request] = {}
    for event in events:
        if not isinstance(event, RequestsForwarded):
            continue
        for t, client, cold in event.each:
            ports, at = (client, event.port), t - origin
            before = bisect_right(times.get(ports, []), at + ROUNDED_S)
            if before:
                one = on[ports][before - 1]
                found[one.id] = replace(one, pod=event.pod, container=QUEUE_PROXY, forwarded_s=at, cold=cold)
    return [found.get(one.id) or _not_forwarded(one) for one in requests]


def _not_forwarded(request: Request) -> Request:
    """One that is not among them got to no pod, unless it ended in a way that leaves this open."""
    if not request.through_activator:
        return request
    answered = request.error is None and request.status not in _OWN_ANSWERS
    return request if answered or request.error in _BROKEN else replace(request, reached="none")


def in_flight_by_pod(requests: list[Request]) -> dict[str, InFlight]:
    """The step curve of what each pod had; of none where it is not known of some to which pod they got. Where all
    reached none, an empty one under no name.
    """
    by_pod: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        if request.reached == "unknown":
            return {}
        if request.pod:
            by_pod[request.pod].append(request)
    if requests and all(request.reached == "none" for request in requests):
        return {"": InFlight()}
    return {pod: count_in_flight(some, in_pod=True) for pod, some in by_pod.items()}
