"""Services: how many pods the autoscaler wanted, how many there were, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from emu.policy.routing import in_words, weights
from emu.record.events import POD_LABEL
from emu.report.entry import Entry
from emu.report.page.canvas import SCALING_LEGEND, Canvas, safe
from emu.report.reaction import reaction_s
from emu.report.reaction import sentence as reaction_sentence
from emu.report.topics.inits import waits
from emu.report.topics.topic import Column, Figures, Listing, Part, Topic, View
from emu.report.why_hpa import CLASS as HPA
from emu.report.words import count, listed, metric_name
from emu.study.measures import Window
from emu.study.model.instances import PodEvent
from emu.study.model.services import Rollout, Service, State, by_service, together
from emu.study.model.study import Study
from emu.study.pods import requests_known_by_pod
from emu.units import format_seconds, often

_STATES: tuple[tuple[State, str], ...] = (
    ("ready", "var(--ok)"),
    ("starting", "var(--event-high)"),
    ("pending", "var(--muted)"),
    ("terminating", "var(--redirect)"),
)


def figures(study: Study) -> Figures:
    """`services`, by name."""
    return {"services": {name: _of_service(study, revisions) for name, revisions in _each(study)}}


def _each(study: Study) -> Iterable[tuple[str, list[Service]]]:
    return by_service(study.services).items()


def _of_service(study: Study, revisions: list[Service]) -> Figures:
    """All its revisions together, and each."""
    each = {one.revision: {**_figures(study, one), **_requests(study, one)} for one in revisions}
    rollouts = [_rollout(one) for one in study.rollouts if one.service == revisions[0].name]
    return {**_figures(study, together(revisions)), "revisions": each, "rollouts": rollouts}


def _requests(study: Study, revision: Service) -> Figures:
    """Null where it is not on record which revision each request went to."""
    requests = study.requests or []
    mine = [one for one in requests if one.revision == revision.revision]
    known = any(one.revision for one in requests) or not requests
    return {"requests_sent": len(mine) if known else None}


def _rollout(one: Rollout) -> Figures:
    return {
        "asked_s": one.asked_s,
        "moved_s": one.moved_s,
        "waited_for": ", ".join(one.waits_for) or None,
        "traffic": weights(one.traffic),
    }


def _figures(study: Study, service: Service) -> Figures:
    made, wanted = service.made, service.wanted
    steps = [states for _, states in service.steps]
    mine = {pod.pod for pod in service.pods}
    asked = [request for request in study.requests or [] if request.pod in mine]
    lines = [line for line in study.timelines.values() if line.label == POD_LABEL and line.owner.pod in mine]
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
        "pods_started": sum(pod.placed_s is not None for pod in service.pods),
        "pods_pending_max": max((states["pending"] for states in steps), default=0),
        "pending_s": sum(pod.pending_s(study.duration_s) for pod in service.pods),
        "pending_why": next((event.message for event in _unscheduled(study) if event.pod in mine), None),
        "panics": len(service.panics),
        "cold_requests": sum(one.cold for one in service.waits),
        "requests": len(asked) if requests_known_by_pod(study) else None,
        "direct_requests": sum(not request.through_activator for request in asked),
        "max_concurrency_per_pod": service.most_in_pod,
        "pod_seconds": sum(pod.seconds(study.duration_s) for pod in service.pods),
        "idle_pod_seconds": _idle(study, service),
        "memory_gib_seconds": Window(study).held(lines, "memory_current"),
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
    """How far it was scaled; nothing for one that never had two pods."""
    scaled = [_how_far(name, one) for name, one in summary["services"].items() if one["pods_desired_max"] > 1]
    return [*scaled, *waits(study)] if len(scaled) == 1 else scaled


def _how_far(name: str, service: dict[str, Any]) -> str:
    ready, wanted = service["pods_ready_max"], service["pods_desired_max"]
    said = f"{name} had up to {count(ready, 'pod')}"
    if ready < wanted:
        said = f"{name} had up to {ready} of the {wanted} pods that the autoscaler wanted"
    if service["pods_pending_max"]:
        said += f", because the node had no room ({service['pending_why'].partition('. ')[0]})"
    return said


def sentences(study: Study, summary: Figures) -> list[str]:
    """Nothing for a service that never was to have two pods, and was not rolled out."""
    scaled = {name: one for name, one in summary["services"].items() if one["pods_desired_max"] > 1}
    pending = [_pending(name, one) for name, one in scaled.items() if one["pods_pending_max"]]
    reaction = reaction_sentence(study, study.services[0]) if scaled and len(study.services) == 1 else None
    said = [*(_sentence(name, one) for name, one in scaled.items()), *([reaction] if reaction else [])]
    return [*said, *pending, *map(_rolled_out, study.rollouts)]


def _rolled_out(one: Rollout) -> str:
    traffic = in_words(one.traffic)
    ready = listed(list(one.waits_for))
    if one.moved_s is None:
        asked = f"A rollout of {one.service} was asked for at {one.asked_s:.3f} s ({traffic})"
        return f"{asked}, and {ready} did not become ready."
    if not ready:
        return f"A rollout of {one.service} took effect at once, at {one.moved_s:.3f} s: {traffic}."
    took = format_seconds(one.moved_s - one.asked_s)
    return f"A rollout of {one.service} waited {took} for {ready} to be ready, until {one.moved_s:.3f} s: {traffic}."


def _pending(name: str, service: dict[str, Any]) -> str:
    pods = count(service["pods_pending_max"], "pod")
    return (
        f"Of {name}, {pods} at most {'was' if service['pods_pending_max'] == 1 else 'were'} Pending, for "
        f"{format_seconds(service['pending_s'])} in all: {service['pending_why']}"
    )


def _sentence(name: str, service: dict[str, Any]) -> str:
    panics = f", and panicked {often(service['panics'])}" if service["panics"] else ""
    changes = service["decisions"]["changes"]
    return (
        f"The autoscaler of {name} changed the number of pods {often(changes)}{panics}: it wanted "
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
    """Each rollout."""
    if view.study.rollouts:
        rows = tuple(
            (
                f"{one.asked_s:.3f} s",
                one.service,
                in_words(one.traffic),
                ", ".join(one.waits_for) or None,
                "not in this run" if one.moved_s is None else f"{one.moved_s:.3f} s",
            )
            for one in view.study.rollouts
        )
        texts = (Column(head, number=False) for head in ("service", "traffic", "not ready then"))
        yield Listing(("asked for at", *texts, "moved at"), rows, title="rollouts")


def panels(canvas: Canvas, study: Study) -> None:
    """A panel of pods and one of the metric for each revision that scaled."""
    for service in _scaled(study):
        name = service.name if len(by_service(study.services)[service.name]) == 1 else service.revision
        _pods(canvas, service, name)
        draw = _readings if service.scaled_by == HPA else _metric
        draw(canvas, service, name)


def _scaled(study: Study) -> list[Service]:
    """The revisions that are worth a picture: of several one for each."""
    several = len(study.services) > 1
    return [one for one in study.services if several or any(pods > 1 for _, pods in one.wanted)]


def _pods(canvas: Canvas, service: Service, name: str) -> None:
    """Pods by state, stacked, under the number that was wanted; bands where it panicked."""
    steps = service.steps
    wanted = service.wanted
    top = max([sum(states.values()) for _, states in steps] + [pods for _, pods in wanted])
    axis = {"range": [0, top * 1.2 or 1], "dtick": max(1, top // 4), "tickformat": ",d"}
    title = f"<b>pods of {safe(name)}</b>" + (" · bands: panic" if service.panics else "")
    panel = canvas.panel(title, 92, **axis)
    for since, until in service.panics:
        canvas.band(panel, since, canvas.end_s if until is None else until, "var(--panic)")
    for state, colour in _STATES:
        numbers = [states[state] + (states["not ready"] if state == "starting" else 0) for _, states in steps]
        if any(numbers):
            canvas.trace(
                panel, SCALING_LEGEND, name=state, x=[*(round(t, 6) for t, _ in steps), canvas.end_s],
                y=[*numbers, numbers[-1]], mode="lines", stackgroup=f"pods {name}",
                line={"width": 0, "shape": "hv", "color": colour}, hovertemplate=f"{state}: %{{y:,d}}<extra></extra>",
                meta={"kind": "pods", "of": state},
            )  # fmt: skip
    canvas.trace(
        panel, SCALING_LEGEND, name="wanted", x=[*(round(t, 6) for t, _ in wanted), canvas.end_s],
        y=[*(pods for _, pods in wanted), wanted[-1][1]], mode="lines",
        line={"width": 1.4, "shape": "hv", "color": "var(--ink)"}, hovertemplate="wanted: %{y:,d}<extra></extra>",
        meta={"kind": "pods", "of": "wanted"},
    )  # fmt: skip


def _metric(canvas: Canvas, service: Service, name: str) -> None:
    """The metric for one ready pod, against its target; who waited; bands where the activator was in the path."""
    made, waiting = service.made, service.waiting
    if not made:
        return
    stable = [(one.stable or 0.0) / max(1, one.ready) for one in made]
    panic = [(one.panic or 0.0) / max(1, one.ready) for one in made]
    target = made[-1].target or 0.0
    top = max([*stable, *panic, target, *(number for _, number in waiting)])
    what = f"{metric_name(made[-1].metric)} of a pod of {safe(name)}"
    title = f"<b>{what}</b> against its target · bands: activator in the path"
    panel = canvas.panel(title, 92, range=[0, top * 1.2 or 1], nticks=4, tickformat=",~g")
    for since, until in service.proxied:
        canvas.band(panel, since, canvas.end_s if until is None else until, "var(--phase)")
    times = [round(one.t, 6) for one in made]
    lines = (("stable window", stable, "var(--traffic)", "solid"), ("panic window", panic, "var(--event-oom)", "dot"))
    for window, values, colour, dash in lines:
        canvas.trace(
            panel, SCALING_LEGEND, name=window, x=times, y=[round(value, 6) for value in values], mode="lines",
            line={"width": 1.3, "color": colour, "dash": dash},
            hovertemplate=f"{window}: %{{y:,.4~r}}<extra></extra>", meta={"kind": "metric", "of": window},
        )  # fmt: skip
    canvas.trace(
        panel, SCALING_LEGEND, name="target", x=[times[0], canvas.end_s], y=[target, target], mode="lines",
        line={"width": 1, "color": "var(--limit)", "dash": "dash"}, hovertemplate="target: %{y:,.4~r}<extra></extra>",
        meta={"kind": "metric", "of": "target"},
    )  # fmt: skip
    if waiting:
        canvas.trace(
            panel, SCALING_LEGEND, name="waiting in the activator", x=[round(t, 6) for t, _ in waiting],
            y=[number for _, number in waiting], mode="lines",
            line={"width": 1, "shape": "hv", "color": "var(--server-error)"},
            hovertemplate="waiting: %{y:,d}<extra></extra>", meta={"kind": "waiting"},
        )  # fmt: skip


def _readings(canvas: Canvas, service: Service, called: str) -> None:
    """Each metric of a HorizontalPodAutoscaler at its syncs, against its target; a point for each pod's sample."""
    for name, container in dict.fromkeys((one.name, one.container) for one in service.metrics):
        mine = [one for one in service.metrics if (one.name, one.container) == (name, container)]
        unit, target = mine[0].unit, mine[0].target or 0.0
        scale, shown = {"bytes": (2.0**20, "MiB"), "cores": (1e-3, "m"), "%": (1.0, "% of the requests")}[unit]
        points = [(one.t, one.value / scale) for one in mine if one.value is not None]
        top = max([target / scale, *(value for _, value in points)])
        whose = f" of {safe(container)}" if container else ""
        title = f"<b>{safe(name)}{whose} of a pod of {safe(called)}</b>, {shown}, at each sync, and its target"
        panel = canvas.panel(title, 92, range=[0, top * 1.2 or 1], nticks=4, tickformat=",~g")
        if points:
            canvas.trace(
                panel, SCALING_LEGEND, name=f"{name} at a sync", x=[round(t, 6) for t, _ in points],
                y=[round(value, 6) for _, value in points], mode="lines+markers",
                line={"width": 1.3, "shape": "hv", "color": "var(--traffic)"}, marker={"size": 5},
                hovertemplate=f"{name}: %{{y:,.4~r}} {shown}<extra></extra>", meta={"kind": "metric", "of": name},
            )  # fmt: skip
        canvas.trace(
            panel, SCALING_LEGEND, name="target", x=[round(mine[0].t, 6), canvas.end_s], y=[target / scale] * 2,
            mode="lines", line={"width": 1, "color": "var(--limit)", "dash": "dash"},
            hovertemplate=f"target: %{{y:,.4~r}} {shown}<extra></extra>", meta={"kind": "metric", "of": "target"},
        )  # fmt: skip


def log(study: Study) -> Iterator[Entry]:
    """Each rollout, and each change of a number of pods but those from and to zero, which are scale to zero's."""
    for one in study.rollouts:
        traffic = {"service": one.service, "traffic": weights(one.traffic)}
        yield Entry(one.asked_s, "route", f"rollout of {one.service}: {in_words(one.traffic)}", traffic)
        if one.moved_s is not None:
            yield Entry(one.moved_s, "route", f"traffic of {one.service}: {in_words(one.traffic)}", traffic)
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
                yield Entry(made.t, "autoscaler", f"from {made.before} to {made.pods} pods: {made.why}", decided)


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
