"""Revisions none of whose pods was ever ready, and what Knative says of such a one (revision_lifecycle.go)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from emu.messages import APP, QUEUE_PROXY
from emu.policy.autoscaling.timing import Timing
from emu.policy.kubelet.environment import CONFIG_ERROR
from emu.policy.scaling import NEVER_ACHIEVED
from emu.study.model.instances import Instance, container_of
from emu.study.model.services import Service
from emu.study.model.study import Study
from emu.units import format_seconds, often

_MOST_WORDS = 300
_BUFFER_S = Timing().activation_buffer_s
_TAIL_BYTES = 4096


def never_ready(study: Study) -> Iterator[Service]:
    """Those that had a pod, with a node or without, and never a ready one."""
    for one in study.services:
        if one.pods and not any(ready for pod in one.pods for _, ready in pod.readiness):
            yield one


def headlines(study: Study) -> list[str]:
    """A headline for each revision that was never ready, with its cause."""
    return [f"{one.title} was never ready, {_cause(study, one)[0]}" for one in never_ready(study)]


def sentences(study: Study) -> list[str]:
    """What Knative's status of the revision would be, after how long."""
    return [f"{one.title} was never ready, {'; '.join(_cause(study, one))}." for one in never_ready(study)]


def _cause(study: Study, service: Service) -> list[str]:
    """What happened, and Knative's words for it where the revision is Knative's."""
    mine = [one for one in study.instances if one.pod in {pod.pod for pod in service.pods}]
    app = [one for one in mine if container_of(one.container) == APP]
    said, words = _of_pending(study, service) or _of_refused(study, service, mine) or _of_app(study, service, app)
    known = any(one.progress_deadline_s is not None for one in service.decisions)
    return [said, words] if known or any(container_of(one.container) == QUEUE_PROXY for one in mine) else [said]


def _of_pending(study: Study, service: Service) -> tuple[str, str] | None:
    """Of one whose pods never had a node; None where one had."""
    if any(pod.placed_s is not None for pod in service.pods):
        return None
    mine = {pod.pod for pod in service.pods}
    failed = [one.message for one in study.pod_events if one.reason == "FailedScheduling" and one.pod in mine]
    why = failed[0] if failed else "it waits for the scheduler"
    pods = "its pod was" if len(mine) == 1 else "its pods were"
    said = f"because {pods} Pending: {why.partition('. ')[0].rstrip('.')}"
    status = f"Knative's status of it would be ResourcesAvailable False, Unschedulable: {why}"
    return said, _given_up(study, service) or status


def _given_up(study: Study, service: Service) -> str:
    """What becomes of one that the autoscaler has given up; empty where it has not."""
    found = next((one for one in service.decisions if one.given_up), None)
    if found is None:
        return ""
    spare = format_seconds(_BUFFER_S / study.time_scale)
    within = f"the progress deadline of {format_seconds(found.progress_deadline_s or 0.0)} and a buffer of {spare}"
    what = f"the autoscaler gave up on it at {format_seconds(found.t)}, after {within}"
    return f"{what}; Knative's status of it is {NEVER_ACHIEVED}"


def _afterwards(service: Service) -> str:
    """From when on a status is."""
    found = next((one.progress_deadline_s for one in service.decisions if one.progress_deadline_s is not None), 600.0)
    return f"after {'10 minutes' if found == 600.0 else format_seconds(found)} Knative's status of it would be"


def _of_refused(study: Study, service: Service, mine: list[Instance]) -> tuple[str, str] | None:
    """Of a container that could not even be made; None where there is none. Knative has its reason in the status once
    the deadline is over (reconcile_resources.go).
    """
    found = cannot_be_made(study, {pod.pod for pod in service.pods}, mine)
    if found is None:
        return None
    container, why = found
    words = _given_up(study, service) or f"{_afterwards(service)} ResourcesAvailable False, {why}"
    return f"because the container {container} cannot be made ({why})", words


def cannot_be_made(study: Study, pods: Collection[str], mine: Iterable[Instance]) -> tuple[str, str] | None:
    """The container of these pods that could not even be made, and why; `mine` are those that were."""
    made = {(one.pod, container_of(one.container)) for one in mine}
    for event in study.pod_events:
        if event.reason == "Failed" and event.pod in pods and (event.pod, event.container) not in made:
            return event.container, f"{CONFIG_ERROR}: {event.message.removeprefix('Error: ')}"
    return None


def _of_app(study: Study, service: Service, instances: list[Instance]) -> tuple[str, str]:
    ended = [one for one in instances if one.exit_code is not None and not one.asked]
    if ended:
        last = ended[-1]
        message = _message(study, last)
        words = f"ContainerHealthy False, ExitCode{last.exit_code}"
        words += f": Container failed with: {message}" if message else " with an empty message"
        return f"because its app {_ends(ended)}", f"Knative's status of it would be {words}"
    if not any(one.started_s is not None for one in instances):
        words = f"{_afterwards(service)} ResourcesAvailable False, PodInitializing"
        return "because its app was never started", _given_up(study, service) or words
    since = min((one.started_s for one in instances if one.started_s is not None), default=study.duration_s)
    until = max((one.exited_s or study.duration_s for one in instances), default=study.duration_s)
    ran = format_seconds(until - since)
    return f"though its app ran for {ran}", _given_up(study, service) or f"{_afterwards(service)} {NEVER_ACHIEVED}"


def _ends(ended: list[Instance]) -> str:
    last = ended[-1]
    if all(one.started_s is None for one in ended):
        return f"could not be started (exit code {last.exit_code})"
    if len(ended) == 1:
        return f"ended with exit code {last.exit_code}"
    return f"ended {often(len(ended))}, with exit code {last.exit_code} in the end"


def _message(study: Study, ended: Instance) -> str:
    """Why it could not be started, else the end of what it printed, as Knative has the kubelet take it."""
    failed = [one.message for one in study.pod_events if one.pod == ended.pod and one.reason == "Failed"]
    if failed and ended.started_s is None:
        return failed[-1][:_MOST_WORDS]
    path = study.run.container_log(ended.pod, container_of(ended.container), ended.attempt)
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[-_MOST_WORDS:]
