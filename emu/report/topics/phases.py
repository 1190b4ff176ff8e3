"""Phases of the load: what clients saw, and what containers held and used, in a window of time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.topics.containers import kill_count
from emu.report.topics.memory import memory_figures
from emu.report.topics.topic import Drawing, Figures, Topic
from emu.study.measures import Window
from emu.study.model.study import Study
from emu.study.pods import named
from emu.study.request_figures import request_figures


def figures(study: Study) -> Figures:
    """`phases` of summary.json, by name."""
    words = named(study)
    return {"phases": {phase.name: _phase(words, phase.name) for phase in study.phases}}


def load_figures(study: Study, warm_up: Collection[str]) -> dict[str, Any] | None:
    """What clients saw, and what the pod held and used, from the begin of the first phase that was no warm-up to the
    end of the last; None without any.
    """
    phases = [phase for phase in study.phases if phase.name not in warm_up]
    if not phases:
        return None
    begin_s, end_s = min(phase.begin_s for phase in phases), max(phase.end_s for phase in phases)
    window = Window(study, begin_s, end_s)
    names = {phase.name for phase in phases}
    mine = None if study.requests is None else [request for request in study.requests if request.phase in names]
    return {
        "begin_s": begin_s,
        "end_s": end_s,
        "requests": request_figures(study, mine, begin_s, study.duration_s),
        "pod": memory_figures(window, study.pod_timelines, study),
        "containers": {name: memory_figures(window, study.timelines_of(name), study) for name in study.containers},
    }


def _phase(study: Study, name: str) -> dict[str, Any]:
    span = next(phase for phase in study.phases if phase.name == name)
    window = Window(study, span.begin_s, span.until_s)
    mine = None if study.requests is None else [request for request in study.requests if request.phase == name]
    containers = {}
    for container in study.containers:
        lines = study.timelines_of(container)
        kills = [kill for kill in study.kills_of(container) if span.begin_s < kill.time_s <= span.until_s]
        keys = [line.owner for line in lines]
        containers[container] = {
            "oom_kills": None if kill_count(study, container) is None else len(kills),
            **memory_figures(window, lines, study),
            "memory_events": window.events(keys),
        }
    requests = request_figures(study, mine, span.begin_s, span.until_s)
    waited = {"until": span.waits_for, "until_met": span.met, "unsent": span.unsent}
    when = {"begin_s": span.begin_s, "end_s": span.end_s, "duration_s": span.end_s - span.begin_s}
    return {**when, **waited, "requests": requests, "containers": containers}


def log(study: Study) -> Iterator[Entry]:
    """When each began."""
    for phase in study.phases:
        yield Entry(phase.begin_s, "emu", f"phase {phase.name} began", {"phase": phase.name})


def panels(drawing: Drawing) -> None:
    """Bands through all panels."""
    drawing.canvas.phases([(phase.begin_s, phase.end_s, phase.name) for phase in drawing.study.phases])


PHASES = Topic("Phases", figures, log=log, panels=panels)
