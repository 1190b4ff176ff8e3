"""Instances of containers, from the events that speak of them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from emu.messages import SANDBOX
from emu.record.events import (
    ContainerCreated,
    ContainerExited,
    ContainerReady,
    ContainerStarted,
    ContainerStopping,
    Event,
    Owner,
)
from emu.study.model.instances import Instance, Stop
from emu.study.model.study import Study

GOING_S = 2.0
"""An engine that stops signals all containers at the same time; it took half a second on a busy machine."""
_SIGTERM, _SIGKILL = "15", "9"
_OF_INSTANCES = ContainerCreated | ContainerStarted | ContainerReady | ContainerStopping | ContainerExited


def read_instances(events: list[Event], origin: float) -> list[Instance]:
    """Every attempt of every container, in the order in which they were made; `origin` is the run's begin."""
    found: dict[Owner, Instance] = {}
    for event in events:
        if not isinstance(event, _OF_INSTANCES):
            continue
        t = event.t - origin
        entry = found.get(event.owner) or Instance(event.container, event.attempt, pod=event.pod)
        if isinstance(event, ContainerCreated):
            names = (
                "id",
                "name",
                "image",
                "stands_in_for",
                "memory_max",
                "memory_high",
                "memory_high_from",
                "swap_max",
                "oom_score_adj",
                "role",
                "shm_bytes",
                "pod_memory_request",
            )
            probes = None if event.probes is None else tuple(event.probes)
            known = {name: getattr(event, name) for name in names}
            entry = replace(entry, created_s=t, probes=probes, io_max=tuple(event.io_max), **known)
        elif isinstance(event, ContainerStarted):
            entry = replace(entry, id=event.id, started_s=t, pid=event.pid, cgroup=event.cgroup)
        elif isinstance(event, ContainerReady):
            if event.ready and entry.ready_s is None:
                entry = replace(entry, ready_s=t)
            if entry.stop is None or not (entry.stop.with_pod or entry.stop.why == "run"):
                entry = replace(entry, ready=event.ready)
        elif isinstance(event, ContainerStopping):
            cut = entry.stop is not None and event.why == "run"
            stop = replace(entry.stop, cut_s=t) if entry.stop is not None and cut else entry.stop
            entry = replace(entry, stop=stop or Stop(event.why, t, event.grace_s))
        else:
            entry = replace(
                entry,
                id=event.id,
                exited_s=t,
                exit_code=event.exit_code,
                docker_oom_killed=event.docker_oom_killed,
                asked=event.asked,
                killed_for=event.killed_for,
            )
            if entry.completed:
                entry = replace(entry, ready_s=t, ready=True)
        found[event.owner] = entry
    return _cut_with_their_pod(list(found.values()))


def _cut_with_their_pod(instances: list[Instance]) -> list[Instance]:
    """A pod is there until its last container has ended: what the run's end did to that one, it did to the pod."""
    cuts: dict[str, float] = {}
    for one in instances:
        if one.stop is not None and one.stop.cut_s is not None:
            cuts[one.pod] = min(one.stop.cut_s, cuts.get(one.pod, inf))
    return [
        replace(one, stop=replace(one.stop, cut_s=cuts[one.pod])) if one.stop is not None and one.pod in cuts else one
        for one in instances
    ]


def owner_of(study: Study, owner: Owner) -> Owner:
    """Whose a cgroup is. One that the recorder saw before its name is labelled with its directory's name, which
    holds the container's id under both of Docker's cgroup drivers.
    """
    if owner.attempt is not None:
        return owner
    return next((one.owner for one in study.instances if one.id and one.id in owner.container), owner)


def with_signals(study: Study, entry: Instance) -> Instance:
    """With the signals that Docker sent to end it, less those with which the run cut that short."""
    if entry.stop is None:
        return entry
    until = inf if entry.stop.cut_s is None else entry.stop.cut_s
    sent: dict[str, float] = {}
    for event in study.docker_events:
        if event.text == "kill" and event.detail.get("id") == entry.id and entry.stop.asked_s <= event.t < until:
            sent.setdefault(str(event.detail.get("signal")), event.t)
    stop = replace(entry.stop, sigterm_s=sent.get(_SIGTERM), sigkill_s=sent.get(_SIGKILL))
    return replace(entry, stop=stop)


def with_the_engine(study: Study) -> list[Instance]:
    """The instances, with those marked that an engine ended on its own way out: it signals every container, the
    pause container too, which nothing else does.
    """
    signalled = {event.detail["id"]: event.t for event in reversed(study.docker_events) if event.text == "kill"}
    sandbox = next((one.id for one in reversed(study.instances) if one.container == SANDBOX), "")
    going = signalled.get(sandbox)
    if going is None or study.failed is None:
        return study.instances
    return [
        replace(one, with_engine=True) if one.id in signalled and _ended_after(one, going - GOING_S) else one
        for one in study.instances
    ]


def _ended_after(one: Instance, t: float) -> bool:
    return one.exited_s is not None and not one.asked and one.exited_s >= t
