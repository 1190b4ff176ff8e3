"""What the record says of each service: its decisions, its pods, the requests that waited in its activator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from emu.messages import SANDBOX
from emu.policy.lifecycle import all_ready
from emu.policy.printing import PENDING, TERMINATING
from emu.policy.routing import Share
from emu.record.events import (
    REMOVED,
    Event,
    MetricRead,
    PodLoad,
    RequestsHeld,
    RequestsWaited,
    ScaleDecided,
    TrafficSplit,
)
from emu.study.ends import ACTIVATOR
from emu.study.model.instances import Instance, container_of
from emu.study.model.requests import Request
from emu.study.model.services import PodLife, Rollout, RolloutStep, Service, Wait
from emu.study.model.study import Study
from emu.study.pods import every_pod, workload
from emu.study.requests import count_in_flight

_GENERATION = re.compile(r"-\d{5}$")
"""A revision's number; a Deployment has none."""


def services(study: Study, events: list[Event]) -> list[Service]:
    """Those that an autoscaler decided for, in order of their first decision."""
    decided: dict[str, list[ScaleDecided]] = {}
    for event in events:
        if isinstance(event, ScaleDecided) and event.revision:
            decided.setdefault(event.revision, []).append(_since_begin(event, study.origin))
    return [
        Service(
            decisions[0].service or _GENERATION.sub("", revision),
            revision,
            tuple(decisions),
            tuple(_lives(study, revision)),
            tuple(_waits(events, study.origin, revision)),
            _most_in_pod(study, events, revision),
            tuple(_metrics(events, revision, study.origin)),
        )
        for revision, decisions in decided.items()
    ]


def rollouts(events: list[Event], origin: float) -> list[Rollout]:
    """Every change of a service's traffic that a phase asked for."""
    found: list[Rollout] = []
    for event in events:
        if not isinstance(event, TrafficSplit):
            continue
        t, traffic = event.t - origin, tuple(Share(*one) for one in event.traffic)
        if not event.reached:
            found.append(Rollout(event.service, t, traffic, tuple(event.waits_for)))
            continue
        goal = tuple(Share(*one) for one in event.toward) or traffic
        mine = [number for number, one in enumerate(found) if one.service == event.service and one.traffic == goal]
        if mine:
            steps = (*found[mine[-1]].steps, RolloutStep(t, traffic, event.why)) if event.why else ()
            found[mine[-1]] = replace(found[mine[-1]], moved_s=None if event.toward else t, steps=steps)
    return found


def _since_begin(event: ScaleDecided, origin: float) -> ScaleDecided:
    until = event.panic_until
    return replace(
        event,
        t=event.t - origin,
        panic_until=None if until is None else until - origin,
        proposals=[(t - origin, number) for t, number in event.proposals],
    )


def _metrics(events: list[Event], revision: str, origin: float) -> Iterator[MetricRead]:
    for event in events:
        if isinstance(event, MetricRead) and event.revision == revision:
            samples = {pod: (value, at - origin, over) for pod, (value, at, over) in event.samples.items()}
            yield replace(event, t=event.t - origin, samples=samples)


def _lives(study: Study, revision: str) -> list[PodLife]:
    names = [pod for pod in every_pod(study) if workload(pod) == revision]
    return sorted((_life(study, name) for name in names), key=lambda one: one.made_s)


def _life(study: Study, pod: str) -> PodLife:
    mine = [one for one in study.instances if one.pod == pod]
    begins = [t for one in mine for t in (one.created_s, one.started_s) if t is not None]
    asked = [one.stop.asked_s for one in mine if one.stop is not None and one.stop.why in REMOVED]
    unplaced = [status.t for status in study.pod_statuses if status.pod == pod and status.text == PENDING]
    placed = min(begins, default=None) if unplaced else 0.0
    seen = [status.t for status in study.pod_statuses if status.pod == pod][:1]
    if not begins:  # it had no node, or its turn to start did not come
        asked = [status.t for status in study.pod_statuses if status.pod == pod and status.text == TERMINATING]
    running = [one for one in mine if container_of(one.container) != SANDBOX and not _is_done(one)]
    last = {one.container: one for one in running}.values()
    ends = [one.exited_s for one in last if one.exited_s is not None and one.asked]
    readiness: list[tuple[float, bool]] = []
    for status in study.pod_statuses:
        if status.pod == pod:
            ready = all_ready(str(status.detail["ready"]))
            if ready != (bool(readiness) and readiness[-1][1]):
                readiness.append((status.t, ready))
    return PodLife(
        pod,
        min([*begins, *unplaced, *seen], default=0.0),
        tuple(readiness),
        min(asked, default=None),
        min(asked, default=None) if not begins else max(ends) if ends and len(ends) == len(last) else None,
        placed,
        bool(begins),
    )


def _is_done(instance: Instance) -> bool:
    """Whether it is an init container that ended by itself: it says nothing of its pod's end."""
    return instance.role == "init" and instance.exited_s is not None and not instance.asked


def _waits(events: list[Event], origin: float, revision: str) -> list[Wait]:
    """Those that waited for the revision's pods; records with only one revision do not name it."""
    found: list[Wait] = []
    for event in events:
        if isinstance(event, RequestsHeld | RequestsWaited) and event.revision not in ("", revision):
            continue
        if isinstance(event, RequestsHeld):
            t = event.t - origin
            found += [Wait(t - waited, t, cold=True) for waited in event.waited_s]
        elif isinstance(event, RequestsWaited) and event.who == ACTIVATOR:
            found += [Wait(t - origin - waited, t - origin, cold=False) for t, waited in event.each]
    return found


def _most_in_pod(study: Study, events: list[Event], revision: str) -> int | None:
    """By the activator's own count, or by that of clients which asked the pods themselves."""
    chosen: dict[str, list[Request]] = {}
    for request in study.requests or []:
        if request.pod and not request.through_activator and workload(request.pod) == revision:
            chosen.setdefault(request.pod, []).append(request)
    counted = [max(count_in_flight(mine).n) for mine in chosen.values()]
    counted += [event.most for event in events if isinstance(event, PodLoad) and workload(event.pod) == revision]
    return max(counted, default=None)
