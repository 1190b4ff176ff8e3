"""The pods of a run: which are of one workload, what is of which, and how a reader distinguishes them.

A workload is what a scenario asks for: a pod by itself, or a revision, whose pods come and go and may be several at
once. All figures of a container are over the pods of its workload, as they are over its instances.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from emu.messages import SANDBOX
from emu.policy.printing import PENDING
from emu.record.events import Owner
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.requests import count_in_flight

_OF_DEPLOYMENT = re.compile(r"(?P<revision>.+)-deployment-[a-z0-9]+-(?P<suffix>[a-z0-9]{5})")
"""How Kubernetes names the pods of a deployment, which is what a revision has."""


def workload(pod: str) -> str:
    """Whose pod it is: the revision's name, or its own."""
    found = _OF_DEPLOYMENT.fullmatch(pod)
    return found["revision"] if found else pod


def every_pod(study: Study) -> list[str]:
    """The names of all pods, also of those that never had a node, and so no container."""
    known = [*(one.pod for one in study.pods), *(one.pod for one in study.pod_statuses)]
    return list(dict.fromkeys(known))


def pending(study: Study) -> list[tuple[str, float]]:
    """The pods that had no node when the run ended, each with when it was made."""
    begins: dict[str, float] = {}
    for status in study.pod_statuses:
        if status.text == PENDING:
            begins.setdefault(status.pod, status.t)
        else:
            begins.pop(status.pod, None)
    return list(begins.items())


def workloads(study: Study) -> dict[str, list[str]]:
    """Each workload with its pods, in order of their first containers."""
    found: dict[str, list[str]] = {}
    for pod in study.pods:
        found.setdefault(workload(pod.pod), []).append(pod.pod)
    return found


def of_pods(study: Study, pods: Collection[str]) -> Study:
    """A study narrowed to some pods. What the machine did is the run's, and stays."""
    instances = [one for one in study.instances if one.pod in pods]
    ids = {one.id for one in instances if one.id}
    return replace(
        asked_of(study, pods),
        instances=instances,
        timelines={owner: line for owner, line in study.timelines.items() if owner.pod in pods},
        memory_marks=[one for one in study.memory_marks if one.owner.pod in pods],
        kills=[one for one in study.kills if one.pod in pods],
        docker_events=[one for one in study.docker_events if one.detail.get("id") in ids],
        pod_statuses=[one for one in study.pod_statuses if one.pod in pods],
        back_offs=[one for one in study.back_offs if one.pod in pods],
        evictions=[one for one in study.evictions if one.pod in pods],
        preemptions=[one for one in study.preemptions if one.pod in pods],
        pod_events=[one for one in study.pod_events if one.pod in pods],
        freezes=[one for one in study.freezes if one.pod in pods],
        commands=[one for one in study.commands if one.pod in pods],
        failed_probes=[one for one in study.failed_probes if one.pod in pods],
    )


def asked_of(study: Study, pods: Collection[str]) -> Study:
    """The same, with what clients saw of some pods alone; of all where it is not known to which pod requests went. An
    empty name stands for requests that reached no pod.
    """
    if study.requests is None or not study.in_flight_by_pod:
        return study
    # What an activator recorded is its service's: which pod a request that waited there went to is no part of it.
    own = "" not in pods and any(one.through_activator for one in study.requests)
    ends = study.ends.of(pods, own=own)
    if {one.pod for one in study.requests} <= set(pods):
        return replace(study, ends=ends) if own else study
    mine = [one for one in study.requests if one.pod in pods]
    curves = {pod: curve for pod, curve in study.in_flight_by_pod.items() if pod in pods}
    curve = next(iter(curves.values())) if len(curves) == 1 and "" not in pods else count_in_flight(mine)
    return replace(study, requests=mine, ends=ends, in_flight=curve, in_flight_by_pod=curves or {"": curve})


def counting(study: Study, measured: Callable[[Timeline], bool]) -> list[Timeline]:
    """Whose counters together are all pods': each pod's own, which know of its containers, else theirs."""
    known = {line.owner for line in study.pod_timelines if measured(line)}
    return [
        line
        for owner, line in study.timelines.items()
        if measured(line) and (owner in known or owner.whole_pod not in known)
    ]


def requests_known_by_pod(study: Study) -> bool:
    """Whether it is known of each request to which pod it went, or that it reached none."""
    return study.requests is not None and all(one.reached != "unknown" for one in study.requests)


def named(study: Study, *, by_pod: bool = False) -> Study:
    """The study as a report words it: where there are several workloads, a container's name is `workload/container`,
    so that no sentence, table or panel leaves open whose it is. `by_pod`: where there are several pods, it is
    `pod/container`, for what is a single instance's.
    """
    if len(study.pods if by_pod else workloads(study)) < 2:
        return study

    def name(pod: str, container: str) -> str:
        return f"{pod if by_pod else workload(pod)}/{container}" if container else ""

    def own(owner: Owner) -> Owner:
        return owner._replace(container=name(owner.pod, owner.container))

    return replace(
        study,
        instances=[replace(one, container=name(one.pod, one.container)) for one in study.instances],
        timelines={own(owner): replace(line, owner=own(owner)) for owner, line in study.timelines.items()},
        memory_marks=[replace(one, owner=own(one.owner)) for one in study.memory_marks],
        kills=[
            replace(
                one,
                container=name(one.pod, one.container),
                candidates=tuple(replace(each, container=name(each.pod, each.container)) for each in one.candidates),
            )
            for one in study.kills
        ],
        docker_events=[replace(one, subject=name(one.pod, one.subject)) for one in study.docker_events],
        back_offs=[replace(one, subject=name(one.pod, one.subject)) for one in study.back_offs],
        failed_probes=[replace(one, subject=name(one.pod, one.subject)) for one in study.failed_probes],
        pod_events=[
            replace(one, container=name(one.pod, one.container) or (one.pod if by_pod else workload(one.pod)))
            for one in study.pod_events
        ],
        freezes=[replace(one, container=name(one.pod, one.container)) for one in study.freezes],
        commands=[replace(one, container=name(one.pod, one.container)) for one in study.commands],
        requests=None
        if study.requests is None
        else [replace(one, container=name(one.pod, one.container)) for one in study.requests],
        pids={pid: own(owner) for pid, owner in study.pids.items()},
    )


@dataclass(frozen=True)
class Lane:
    """Pods of a workload that were one after another, and so can share a panel. A run with three pods at once has
    three lanes.
    """

    name: str
    """What distinguishes it from the others; empty where it is the only one."""
    pods: tuple[str, ...]
    study: Study
    """What is known of these pods, `named`."""


def lanes(study: Study) -> list[Lane]:
    """The lanes of all workloads, each pod in exactly one."""
    shown, several = named(study), len(workloads(study)) > 1
    found = [(load, lane) for load, pods in workloads(study).items() for lane in _apart(study, pods)]
    return [
        Lane(_name(load, lane, several=several) if len(found) > 1 else "", tuple(lane), of_pods(shown, lane))
        for load, lane in found
    ]


def _name(load: str, lane: list[str], *, several: bool) -> str:
    """The workload's name where there are others, the pods' own where it has more than one of them at once."""
    own = [(found := _OF_DEPLOYMENT.fullmatch(pod)) and found["suffix"] for pod in lane]
    pods = ", ".join(suffix for suffix in own[:3] if suffix) + (" …" if len(own) > 3 else "")
    return load if several and not pods else f"{load} {pods}" if several else pods or load


def _apart(study: Study, pods: list[str]) -> Iterator[list[str]]:
    """The pods in as few rows as can be, so that those in a row do not overlap in time."""
    rows: list[tuple[float, list[str]]] = []
    for begin, end, pod in sorted((*_span(study, pod), pod) for pod in pods):
        free = next((number for number, (until, _) in enumerate(rows) if until <= begin), None)
        if free is None:
            rows.append((end, [pod]))
        else:
            rows[free] = (end, [*rows[free][1], pod])
    yield from (row for _, row in rows)


def _span(study: Study, pod: str) -> tuple[float, float]:
    """When a pod had containers."""
    mine = [one for one in study.instances if one.pod == pod and one.container != SANDBOX]
    begins = [t for one in mine for t in (one.created_s, one.started_s) if t is not None]
    ends = [study.duration_s if one.exited_s is None else one.exited_s for one in mine]
    if not begins or not ends:
        times = [t for owner, line in study.timelines.items() if owner.pod == pod for t in (line.t[:1] + line.t[-1:])]
        begins, ends = begins or times, ends or times
    return min(begins, default=0.0), max(ends, default=study.duration_s)
