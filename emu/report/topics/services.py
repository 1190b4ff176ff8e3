"""Services: how many pods the autoscaler wanted, how many there were, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.reaction import reaction_s
from emu.report.reaction import sentence as reaction_sentence
from emu.report.topics import never_ready
from emu.report.topics.inits import waits
from emu.report.topics.rollouts import rollout_figures, rollout_log, rollout_parts, rollout_words
from emu.report.topics.scaling_panels import panels
from emu.report.topics.service_costs import cost_figures, cost_parts
from emu.report.topics.topic import Column, Figures, Listing, Part, Topic, View
from emu.report.words import count
from emu.study.model.instances import PodEvent
from emu.study.model.services import Service, by_service, together
from emu.study.model.study import Study
from emu.study.pods import requests_known_by_pod
from emu.units import format_seconds, often


def figures(study: Study) -> Figures:
    """`services`, by name."""
    return {"services": {name: _of_service(study, revisions) for name, revisions in _each(study)}}


def _each(study: Study) -> Iterable[tuple[str, list[Service]]]:
    return by_service(study.services).items()


def _of_service(study: Study, revisions: list[Service]) -> Figures:
    """All its revisions together, and each."""
    each = {one.revision: {**_figures(study, one), **_requests(study, one)} for one in revisions}
    rollouts = [rollout_figures(one) for one in study.rollouts if one.service == revisions[0].name]
    return {**_figures(study, together(revisions)), "revisions": each, "rollouts": rollouts}


def _requests(study: Study, revision: Service) -> Figures:
    """Null where it is not on record which revision each request went to."""
    requests = study.requests or []
    mine = [one for one in requests if one.revision == revision.revision]
    known = any(one.revision for one in requests) or not requests
    return {"requests_sent": len(mine) if known else None}


def _figures(study: Study, service: Service) -> Figures:
    made, wanted = service.made, service.wanted
    steps = [states for _, states in service.steps]
    mine = {pod.pod for pod in service.pods}
    asked = [request for request in study.requests or [] if request.pod in mine]
    return {
        "class": service.scaled_by,
        "metric": made[-1].metric if made else None,
        "target": made[-1].target if made else None,
        "unit": (made[-1].unit or None) if made else None,
        "pods_ready_max": max((states["ready"] for states in steps), default=0),
        "pods_desired_max": max(pods for _, pods in wanted),
        "pods_final": wanted[-1][1],
        "first_scale_up_s": service.first_scale_up_s,
        "reaction_s": reaction_s(study, service),
        "pods_started": sum(pod.begun for pod in service.pods),
        "pods_pending_max": max((states["pending"] for states in steps), default=0),
        "pending_s": sum(pod.pending_s(study.duration_s) for pod in service.pods),
        "pending_why": next((event.message for event in _unscheduled(study) if event.pod in mine), None),
        "panics": len(service.panics),
        "cold_requests": sum(one.cold for one in service.waits),
        "requests": len(asked) if requests_known_by_pod(study) else None,
        "direct_requests": sum(not request.through_activator for request in asked),
        "max_concurrency_per_pod": service.most_in_pod,
        "idle_pod_seconds": _idle(study, service),
        **cost_figures(study, service),
        "decisions": {
            "count": len(made),
            "changes": sum(one.before != one.pods for one in service.decisions),
        },
    }


def _idle(study: Study, service: Service) -> float | None:
    """How long its pods stayed after the last request of the run; None where none ended."""
    last_s = max((one.done_s for one in study.requests or [] if one.done_s is not None), default=None)
    if last_s is None:
        return None
    return sum(pod.seconds(study.duration_s) - pod.seconds(last_s) for pod in service.pods)


def _unscheduled(study: Study) -> Iterator[PodEvent]:
    return (event for event in study.pod_events if event.reason == "FailedScheduling")


def headline(study: Study, summary: Figures) -> list[str]:
    """Whether it was ever ready, and how far it was scaled; nothing of that for one that never had two pods."""
    scaled = [_how_far(name, one) for name, one in summary["services"].items() if one["pods_desired_max"] > 1]
    never = never_ready.headlines(study)
    return [*never, *scaled, *waits(study)] if len(scaled) == 1 else [*never, *scaled]


def _how_far(name: str, service: dict[str, Any]) -> str:
    ready, wanted = service["pods_ready_max"], service["pods_desired_max"]
    said = f"{name} had up to {count(ready, 'pod')}"
    if ready < wanted:
        said = f"{name} had {f'up to {ready}' if ready else 'none'} of the {wanted} pods that the autoscaler wanted"
    if service["pods_pending_max"]:
        why = service["pending_why"]
        said += f", because the node had no room ({why.partition('. ')[0].rstrip('.')})" if why else ""
    return said


def sentences(study: Study, summary: Figures) -> list[str]:
    """Nothing for a service that never was to have two pods, and was not rolled out."""
    scaled = {name: one for name, one in summary["services"].items() if one["pods_desired_max"] > 1}
    pending = [_pending(name, one) for name, one in summary["services"].items() if one["pods_pending_max"]]
    reaction = reaction_sentence(study, study.services[0]) if scaled and len(study.services) == 1 else None
    said = [*(_sentence(name, one) for name, one in scaled.items()), *([reaction] if reaction else [])]
    return [*never_ready.sentences(study), *said, *pending, *map(rollout_words, study.rollouts)]


def _pending(name: str, service: dict[str, Any]) -> str:
    pods = count(service["pods_pending_max"], "pod")
    why = f": {service['pending_why']}" if service["pending_why"] else "."
    return (
        f"Of {name}, {pods} at most {'was' if service['pods_pending_max'] == 1 else 'were'} Pending, for "
        f"{format_seconds(service['pending_s'])} in all{why}"
    )


def _sentence(name: str, service: dict[str, Any]) -> str:
    panics = f", and panicked {often(service['panics'])}" if service["panics"] else ""
    changes = service["decisions"]["changes"]
    did = (
        f"changed the number of pods {often(changes)}"
        if changes
        else "left each revision as many pods as it began with"
    )
    return (
        f"The autoscaler of {name} {did}{panics}: it wanted "
        f"{service['pods_desired_max']} at most, {service['pods_ready_max']} at most were ready, "
        f"and it ended with {service['pods_final']}. `emu why` lists its decisions."
    )


def listing(study: Study) -> Listing | None:
    """Each change of the number of pods."""
    shown = [one for one in study.services if any(made.pods > 1 for made in one.decisions)]
    if not shown:
        return None
    several = len(study.services) > 1
    rows = tuple(
        (
            f"{one.t:.3f} s",
            service.title if several else None,
            f"{one.before} to {one.pods}",
            one.ready,
            one.waiting or None,
            one.why,
        )
        for service in shown
        for one in service.decisions
        if one.before != one.pods
    )
    heads = (
        "at",
        Column("service", number=False),
        Column("pods", number=False),
        "ready then",
        "waiting in the activator",
        Column("why", number=False),
    )
    return Listing(heads, rows, hints=("`emu why` lists every decision.",))


def more(view: View) -> Iterator[Part]:
    """Each rollout, and what each service cost."""
    yield from rollout_parts(view)
    yield from cost_parts(view)


def log(study: Study) -> Iterator[Entry]:
    """Each rollout, and each change of a number of pods but those from and to zero, which are scale to zero's."""
    yield from rollout_log(study)
    for service in study.services:
        for made in service.decisions:
            if made.before and made.pods and made.before != made.pods:
                decided = {
                    "service": service.name,
                    "revision": service.revision,
                    "before": made.before,
                    "pods": made.pods,
                    "ready": made.ready,
                }
                of = f"{service.revision}: " if len(study.services) > 1 else ""
                words = f"{of}from {made.before} to {count(made.pods, 'pod')}: {made.why}"
                yield Entry(made.t, "autoscaler", words, decided)


SERVICES = Topic(
    "Autoscaling",
    figures,
    headline,
    sentences,
    listing,
    more,
    panels=lambda drawing: panels(drawing.canvas, drawing.study),
    log=log,
)
