"""Phases that wait for what cannot happen: more answers than they send requests, more pods than there may be, a READY
or STATUS column that no pod of theirs has.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

from emu.spec.container import InitContainerSpec
from emu.spec.load import PhaseModel, UntilModel
from emu.spec.pod import PodSpec
from emu.spec.values import SpecError

_SCALED_TO_ZERO, _BACK_OFF = "ScaledToZero", "CrashLoopBackOff"
STATUSES = (
    "Pending", "ContainerCreating", "PodInitializing", "Running", "Completed", "Succeeded", "Failed", "Error",
    "OOMKilled", "StartError", "ContainerCannotRun", _BACK_OFF, "CreateContainerConfigError", "CreateContainerError",
    "RunContainerError", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "NotReady",
    "Terminating", "Evicted", "Preempted", "Unknown", _SCALED_TO_ZERO,
)  # fmt: skip
"""What the column may show, beside `Init:…`, `ExitCode:…` and `Signal:…`."""
_OPEN = ("Init:", "ExitCode:", "Signal:")


def check(
    phases: Sequence[PhaseModel], looked_at: Sequence[Sequence[str]], each: Mapping[str, PodSpec], time_scale: float
) -> None:
    """SpecError where a condition of a phase can never be met. `looked_at`: for each phase the names of the pods that
    it is about, in `each` of which they have their templates; one for each revision.
    """
    for index, (phase, names) in enumerate(zip(phases, looked_at, strict=True)):
        if phase.until is None or not names:
            continue
        resized = any(one.resize and set(names) & set(whose) for one, whose in zip(phases, looked_at, strict=True))
        wrong = _wrong(phase, phase.until, [each[name] for name in names], time_scale, resizes=resized)
        if wrong is not None:
            wrong.at = ("load", "phases", index, "until", *wrong.at)
            raise wrong


def _wrong(
    phase: PhaseModel, until: UntilModel, pods: Sequence[PodSpec], time_scale: float, *, resizes: bool
) -> SpecError | None:
    wrong = (
        _of_answers(phase, until)
        or _of_ready_pods(until, pods)
        or _of_ready(until, pods)
        or _of_status(until, pods, phase.duration * time_scale)
        or _of_restarts(until, pods)
    )
    if wrong is None and until.resizes is not None and not resizes:
        wrong = SpecError(
            "no phase resizes a container",
            why="the number of resizes stays 0",
            fix="add `resize` to a phase, or wait for something else",
            at=("resizes",),
        )
    return wrong


def _of_answers(phase: PhaseModel, until: UntilModel) -> SpecError | None:
    most = _most_requests(phase)
    if until.answered is None or most is None or until.answered <= most:
        return None
    sent = "no request" if not most else "1 request at most" if most == 1 else f"{most:,} requests at most"
    return SpecError(
        f"{until.answered:,} answers can never come",
        why=f"the phase sends {sent}, and answers to those of other phases do not count",
        fix="lower `answered`, or let the phase send more",
        at=("answered",),
    )


def _most_requests(phase: PhaseModel) -> int | None:
    """How many a phase sends at most; None where that is not fixed."""
    if phase.type == "pause":
        return 0
    planned: float
    if phase.type == "burst":
        planned = phase.size * max(1, math.ceil(phase.rate * phase.duration))
    elif phase.type in ("constant", "ramp", "steps"):
        planned = math.ceil(max(phase.rate, phase.rate_to, *phase.rates, 0.0) * phase.duration) + 1
    else:
        return phase.count
    return int(planned) if phase.count is None else min(phase.count, int(planned))


def _of_ready_pods(until: UntilModel, pods: Sequence[PodSpec]) -> SpecError | None:
    each = [_most_pods(one) for one in pods]
    if until.ready_pods is None or None in each:
        return None
    most = sum(one for one in each if one is not None)
    if until.ready_pods <= most:
        return None
    scaled = any(one.autoscaling is not None for one in pods)
    return SpecError(
        f"{until.ready_pods} pods are never ready",
        why=f"there are {most} at most" if scaled else "there is one, as the pod has no `autoscaling`",
        fix="lower `readyPods`, or raise the most that there may be" if scaled else "lower `readyPods`",
        at=("readyPods",),
    )


def _most_pods(pod: PodSpec) -> int | None:
    """Of one revision; None: no limit."""
    scaling = pod.autoscaling
    if scaling is None:
        return 1
    return max(scaling.most, scaling.initial_scale) if scaling.most else None


def _of_ready(until: UntilModel, pods: Sequence[PodSpec]) -> SpecError | None:
    if until.ready is None:
        return None
    ready, _, total = until.ready.partition("/")
    totals = {_shown_containers(one) for one in pods}
    scaled = any(one.autoscaling is not None for one in pods)
    if (int(total) in totals and int(ready) <= int(total)) or (scaled and until.ready == "0/0"):
        return None
    known = " or ".join(str(one) for one in sorted(totals))
    return SpecError(
        f"the READY column never shows {until.ready}",
        why=f"the pod has {known} containers, and the column shows how many of them are ready",
        fix=f"write {max(totals)}/{max(totals)}, or another number of {known}",
        at=("ready",),
    )


def _shown_containers(pod: PodSpec) -> int:
    """Those of the READY column: sidecars among the init containers count."""
    return sum(not isinstance(one, InitContainerSpec) or one.is_sidecar for one in pod.containers.values())


def _of_status(until: UntilModel, pods: Sequence[PodSpec], within_s: float) -> SpecError | None:
    """`within_s`: how long the phase is for the control plane."""
    status = until.status
    if status is None:
        return None
    if status not in STATUSES and not status.startswith(_OPEN):
        meant = difflib.get_close_matches(status, STATUSES, n=1, cutoff=0.6)
        return SpecError(
            f"the STATUS column never shows {status!r}",
            why=f"it shows {', '.join(STATUSES)}, or one that begins with {' or '.join(_OPEN)}",
            fix=f"did you mean {meant[0]}?" if meant else "write one of them",
            at=("status",),
        )
    replaced = until.revision is not None  # one without traffic goes to zero, whatever its minScale
    if status == _SCALED_TO_ZERO and not any(_goes_to_zero(one, within_s, replaced=replaced) for one in pods):
        return SpecError(
            "the pod is never scaled to zero",
            why=_why_not_to_zero(pods[0]),
            fix="add `autoscaling: {}` with `minScale: 0`, or wait for something else",
            at=("status",),
        )
    if status == _BACK_OFF and not any(_restarts(one) for one in pods):
        return _never_restarts("status")
    return None


def _goes_to_zero(pod: PodSpec, within_s: float, *, replaced: bool) -> bool:
    """Whether it may have no pod: with minScale only one that was never ready in its progress deadline."""
    scaling = pod.autoscaling
    if scaling is None or scaling.class_ == "hpa":
        return False
    if scaling.scaled_object is not None:
        idle = scaling.scaled_object.idle_replica_count
        return scaling.scaled_object.min_replica_count == 0 or idle == 0
    kept = scaling.min_scale and not replaced and within_s < scaling.progress_deadline
    return scaling.enable_scale_to_zero and not kept


def _why_not_to_zero(pod: PodSpec) -> str:
    scaling = pod.autoscaling
    if scaling is None:
        return "without `autoscaling` a pod stays for the whole run"
    if scaling.class_ == "hpa":
        return "a HorizontalPodAutoscaler keeps one pod at least"
    if scaling.scaled_object is not None:
        return f"minReplicaCount is {scaling.scaled_object.min_replica_count}"
    return f"minScale is {scaling.min_scale}" if scaling.min_scale else "enableScaleToZero is false"


def _of_restarts(until: UntilModel, pods: Sequence[PodSpec]) -> SpecError | None:
    if until.restarts is None or any(_restarts(one) for one in pods):
        return None
    return _never_restarts("restarts")


def _restarts(pod: PodSpec) -> bool:
    """Whether a container of it may be started again: a sidecar always is."""
    sidecars = any(isinstance(one, InitContainerSpec) and one.is_sidecar for one in pod.containers.values())
    return pod.restart_policy != "Never" or sidecars


def _never_restarts(key: str) -> SpecError:
    return SpecError(
        "no container is ever restarted",
        why="the pod has `restartPolicy: Never`",
        fix="wait for `exits`, or remove `restartPolicy`",
        at=(key,),
    )
