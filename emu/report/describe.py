"""A container as `kubectl describe pod` words it: State, Last State, Ready, Restart Count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from emu.messages import SANDBOX
from emu.record.events import REMOVED
from emu.study.model.instances import Instance, container_of
from emu.study.model.study import Study


@dataclass(frozen=True)
class State:
    """A container's state, with what kubectl shows below it."""

    state: Literal["Waiting", "Running", "Terminated", "Gone"]
    """Gone is emu's: there is no pod."""
    reason: str | None = None
    """Waiting: ContainerCreating, PodInitializing, CrashLoopBackOff. Terminated: Completed, Error, OOMKilled,
    StartError. Gone: ScaledToZero, ScaledDown, Preempted.
    """
    exit_code: int | None = None
    started_s: float | None = None
    finished_s: float | None = None


@dataclass(frozen=True)
class Described:
    """One container, as it stood before the run ended it; for a pod that was stopped, after its end."""

    state: State
    last_state: State | None
    ready: bool | None
    restart_count: int


def describe(study: Study, container: str) -> Described | None:
    """None where no instance of the container was made."""
    instances = still_there(study.instances_of(container))
    if not instances:
        return None
    gone = gone_as(instances[-1])
    if gone is not None:
        return Described(State("Gone", gone, finished_s=instances[-1].exited_s), None, False, 0)
    instances = _of_this_pod(instances)
    newest, ended = instances[-1], [entry for entry in instances if _has_ended(entry)]
    restarts = len(instances) - 1
    if newest not in ended:
        last = _terminated(ended[-1]) if ended else None
        return Described(_alive(study, newest), last, newest.ready, restarts)
    if _waits(study, newest):
        return Described(State("Waiting", "CrashLoopBackOff"), _terminated(newest), False, restarts)
    last = _terminated(ended[-2]) if len(ended) > 1 else None
    return Described(_terminated(newest), last, is_completed_init(newest), restarts)


def is_completed_init(newest: Instance) -> bool:
    """The kubelet calls an init container ready that has ended with 0, and no other container that has ended."""
    return newest.role == "init" and newest.exit_code == 0


def age_s(study: Study, container: str) -> float | None:
    """Since its newest instance was started; None where there is none any more."""
    instances = still_there(study.instances_of(container))
    if not instances or _is_scaled_down(instances[-1]):
        return None
    begun = [one.started_s for one in instances if one.started_s is not None]
    return study.duration_s - begun[-1] if begun else None


def pod_age_s(study: Study) -> float | None:
    """Since the pod was made, the last time if it was scaled away and made again; None where it is gone."""
    every = {name: still_there(study.instances_of(name)) for name in (*study.containers, *_sandboxes(study))}
    mine = [every[name] for name in study.containers if every[name]]
    if not mine or all(_is_scaled_down(instances[-1]) for instances in mine):
        return None
    firsts = [_of_this_pod(instances)[:1] for instances in every.values() if instances]
    made = [one.created_s for found in firsts for one in found if one.created_s is not None]
    return study.duration_s - min(made) if made else None


def _sandboxes(study: Study) -> list[str]:
    return list(dict.fromkeys(one.container for one in study.instances if container_of(one.container) == SANDBOX))


def _has_ended(entry: Instance) -> bool:
    """Not by the run's own end, which is no part of the story, nor as it came, while a probe's kill was under way."""
    by_the_run = entry.asked and (entry.stop is None or not entry.stop.with_pod or entry.cut_short)
    return entry.exited_s is not None and not by_the_run


def still_there(instances: list[Instance]) -> list[Instance]:
    """Those of pods that were not scaled away; all where no such pod is left. A pod that was made later may have gone
    before.
    """
    last = {one.pod: one for one in instances}
    there = {pod for pod, one in last.items() if not _is_scaled_down(one)}
    return [one for one in instances if one.pod in there] or instances


def gone_as(entry: Instance) -> str | None:
    """The status of its pod that was scaled away or preempted; None where it was not, or had not gone by the run's
    end.
    """
    stop = entry.stop
    if entry.exited_s is None or stop is None or stop.why not in REMOVED or stop.cut_s is not None:
        return None
    return stop.gone


def _is_scaled_down(entry: Instance) -> bool:
    return gone_as(entry) is not None


def _of_this_pod(instances: list[Instance]) -> list[Instance]:
    """Those of the newest pod; in runs from before pods had names, those since it was last scaled up."""
    instances = [entry for entry in instances if entry.pod == instances[-1].pod]
    begin = max((at + 1 for at, entry in enumerate(instances) if _is_scaled_down(entry)), default=0)
    return instances[begin:]


def _alive(study: Study, entry: Instance) -> State:
    if entry.started_s is None:
        inits = any(one.pod == entry.pod and one.role != "container" for one in study.instances)
        return State("Waiting", "PodInitializing" if inits else "ContainerCreating")
    return State("Running", started_s=entry.started_s)


def _terminated(entry: Instance) -> State:
    return State("Terminated", entry.reason, entry.exit_code, entry.started_s, entry.exited_s)


def _waits(study: Study, entry: Instance) -> bool:
    """Whether it was to start again, after a while."""
    mine = (one for one in study.back_offs if (one.subject, one.pod) == (entry.container, entry.pod))
    waits = [one for one in mine if one.detail["delay_s"] > 0]
    return bool(waits) and entry.exited_s is not None and waits[-1].t >= entry.exited_s - 0.001
