"""Containers: how each began, was restarted, asked to stop, and ended."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from emu.record.events import EVICTED, PREEMPTED, REMOVED, SCALE_DOWN
from emu.report.describe import age_s, describe, gone_as, is_completed_init, still_there
from emu.report.entry import Entry
from emu.report.page.areas import draw_marks
from emu.report.page.canvas import safe
from emu.report.topics.churn import swap_event_figures
from emu.report.topics.ends import end_sentences
from emu.report.topics.memory import end_figures, last_alive, memory_figures
from emu.report.topics.topic import Cell, Column, Figures, Listing, MemoryPanel, Name, Part, Topic, View, pod_section
from emu.report.words import moment
from emu.study.measures import Window, limit_at_peak, startup_s
from emu.study.model.instances import Instance, Stop
from emu.study.model.study import Study
from emu.study.pods import named
from emu.study.restraints import held_back
from emu.units import format_bytes, format_seconds

_WHY = {
    "pod": "the pod was to end",
    EVICTED: "evicted",
    PREEMPTED: "preempted",
    "liveness": "liveness probe failed",
    "startup": "startup probe failed",
}


def figures(study: Study) -> Figures:
    """`containers`: each, over all its instances. Where there are several workloads it is `workload/container`."""
    words = named(study)
    return {"containers": {name: container_figures(words, name) for name in words.containers}}


def container_figures(study: Study, name: str) -> dict[str, Any]:
    """All that summary.json has of one; the study has the pods that count."""
    instances, lines = study.instances_of(name), study.timelines_of(name)
    newest = still_there(instances)[-1] if instances else None
    ended = [entry for entry in instances if entry.exit_code is not None and entry.is_finding]
    figures = memory_figures(Window(study), lines, study)
    peaks = [line.memory_peak for line in lines if line.memory_peak is not None]
    return {
        "oom_kills": kill_count(study, name),
        "restarts": study.restarts_of(name),
        "exits": [_exit_figures(entry) for entry in ended],
        "final_reason": ended[-1].reason if ended else None,
        "back_offs": [
            {"pod": wait.pod or None, "time_s": wait.t, "delay_s": wait.detail["delay_s"]}
            for wait in study.back_offs
            if wait.subject == name
        ],
        "stops": [_stop_figures(entry) for entry in instances if entry.stop is not None and entry.stop.why != "run"],
        **_described(study, name),
        "events": _events(study, name),
        "age_s": age_s(study, name),
        "ready": None if newest is None else _is_ready(newest),
        "ready_s": next((entry.ready_s for entry in instances if entry.ready_s is not None), None),
        "startup_s": startup_s(study, [name]),
        "image": newest.image or None if newest else None,
        "stands_in_for": newest.stands_in_for or None if newest else None,
        "memory_limit_bytes": _limit(study, newest),
        "memory_limit_at_peak_bytes": limit_at_peak(lines, _limit(study, newest)),
        "memory_high_bytes": newest.memory_high if newest else None,
        "swap_limit_bytes": newest.swap_max if newest else None,
        "held_back": [asdict(one) for one in held_back(study, name)],
        "swap_events": swap_event_figures(Window(study), lines),
        **figures,
        "memory_peak_bytes": max(peaks, default=None),
        **end_figures(study, lines, last_alive(study, newest)),
        "memory_events": Window(study).events([line.owner for line in lines] or [entry.owner for entry in instances]),
    }


def kill_count(study: Study, name: str) -> int | None:
    """How many OOM kills it suffered; None where neither memory.events nor the kernel's log could be read."""
    kills = len(study.kills_of(name))
    watched = study.memory_marks or any(line.events or line.events_all for line in study.timelines.values())
    return kills if kills or watched or study.kernel_lines else None


def _exit_figures(entry: Instance) -> dict[str, Any]:
    return {
        "pod": entry.pod or None,
        "attempt": entry.attempt,
        "time_s": entry.exited_s,
        "exit_code": entry.exit_code,
        "reason": entry.reason,
        "docker_oom_killed": entry.docker_oom_killed,
        "killed_for": entry.killed_for,
        "with_engine": entry.with_engine,
    }


def _stop_figures(entry: Instance) -> dict[str, Any]:
    """How it was stopped, and how it ended; `took_s` is from the first signal or hook to its end."""
    assert entry.stop is not None
    took_s = None if entry.exited_s is None else entry.exited_s - entry.stop.asked_s
    return {
        "pod": entry.pod or None,
        "attempt": entry.attempt,
        **asdict(entry.stop),
        "took_s": took_s,
        "exit_code": entry.exit_code,
    }


def _described(study: Study, name: str) -> dict[str, Any]:
    """`state` and `last_state` in kubectl's words."""
    described = describe(study, name)
    if described is None:
        return {"state": None, "last_state": None}
    return {
        "state": asdict(described.state),
        "last_state": asdict(described.last_state) if described.last_state else None,
    }


def _limit(study: Study, newest: Instance | None) -> int | None:
    """Its memory limit at the end: as it was made, or as it was resized last."""
    if newest is None:
        return None
    mine = (newest.pod, newest.container.rpartition("/")[2])
    done = [one for one in study.resizes if (one.pod, one.subject.rpartition("/")[2]) == mine]
    limits: list[int | None] = [one.detail["memory_max"] for one in done if one.detail["outcome"] == "completed"]
    return limits[-1] if limits else newest.memory_max


def _events(study: Study, name: str) -> dict[str, int]:
    """How many events of each reason the kubelet recorded of a container."""
    counts: Counter[str] = Counter()
    for event in study.pod_events:
        if event.container == name:
            counts[event.reason] += event.count
    return dict(sorted(counts.items()))


def parts(view: View) -> Iterator[Part]:
    """A row for each instance, and for each stop that was asked for during the run."""
    if not view.study.instances:
        return
    heads = ("container", "attempt", "started", "ready", "ended", "exit code", Column("reason", number=False),
             Column("Docker's OOMKilled", number=False), Column("image", number=False))  # fmt: skip
    rows = tuple(map(_instance_row, view.each.instances))
    yield Listing(heads, rows, title="Container instances", place="page", whole=True)
    yield _stop_table(view.each)


def _instance_row(entry: Instance) -> tuple[Cell, ...]:
    return (
        Name(entry.container),
        entry.attempt,
        moment(entry.started_s),
        moment(entry.ready_s) or "never",
        moment(entry.exited_s),
        entry.exit_code,
        _reason(entry),
        entry.docker_oom_killed,
        f"{entry.image} (for {entry.stands_in_for})" if entry.stands_in_for else entry.image or None,
    )


def _reason(entry: Instance) -> str | None:
    scaled = entry.stop is not None and entry.stop.why in REMOVED and not entry.cut_short
    why = _why(entry.stop) if entry.stop is not None and scaled else "ended by the run"
    return f"{entry.reason or ''} ({why})".strip() if entry.asked else entry.reason


def _is_ready(newest: Instance) -> bool:
    """It was so when the run ended it; one that is gone with its pod is not. An init container that completed is."""
    if gone_as(newest) is not None:
        return False
    return is_completed_init(newest) or (bool(newest.ready) and (newest.exited_s is None or newest.asked))


def _why(stop: Stop) -> str:
    if stop.why == SCALE_DOWN:
        return "scaled to zero" if stop.to_zero else "scaled down"
    return _WHY.get(stop.why, stop.why)


def _stop_table(study: Study) -> Listing:
    heads = ("container", Column("attempt", number=False), Column("why", number=False), "asked", "grace", "SIGTERM",
             "SIGKILL", "ended", "exit code")  # fmt: skip
    stops = [(entry, entry.stop) for entry in study.instances if entry.stop is not None and entry.stop.why != "run"]
    rows = tuple(_stop_row(entry, stop) for entry, stop in stops)
    return Listing(heads, rows, title="Stops", place="page", whole=True)


def _stop_row(entry: Instance, stop: Stop) -> tuple[Cell, ...]:
    return (
        Name(entry.container),
        entry.attempt,
        _why(stop),
        moment(stop.asked_s),
        format_seconds(stop.grace_s),
        moment(stop.sigterm_s),
        moment(stop.sigkill_s),
        moment(entry.exited_s),
        entry.exit_code,
    )


def log(study: Study) -> Iterator[Entry]:
    """Each start, readiness and end, and the kubelet's back-offs."""
    for one in study.instances:
        name = f"{one.container} (instance {one.attempt})"
        detail = {"container": one.container, "attempt": one.attempt, "id": one.id}
        if one.started_s is not None:
            limit = "no memory limit" if one.memory_max is None else f"memory limit {format_bytes(one.memory_max)}"
            yield Entry(one.started_s, "emu", f"{name} started, {limit}, pid {one.pid}", detail)
        if one.ready_s is not None:
            yield Entry(one.ready_s, "emu", f"{name} is ready", detail)
        if one.exited_s is not None:
            yield Entry(one.exited_s, "emu", f"{name} ended with exit code {one.exit_code}: {_ended_by(one)}", detail)
    for wait in study.back_offs:
        yield Entry(wait.t, "emu", wait.text, wait.detail)


def _ended_by(one: Instance) -> str:
    """In the journal, with what Docker says of it."""
    with_its_pod = one.stop is not None and one.stop.with_pod and not one.cut_short
    why = one.reason if not one.asked else "stopped with its pod" if with_its_pod else "stopped by emu"
    killed = one.docker_oom_killed
    return f"{why}" if killed is None else f"{why}, Docker's OOMKilled {str(killed).lower()}"


def behind(on: MemoryPanel) -> None:
    """A pale band from an exit to the next start, with its length and why: the kubelet's back-off, or that the pod
    was `gone` (of which the length is the pod's, and shown elsewhere).
    """
    canvas, panel, instances = on.canvas, on.panel, on.instances
    for one, after in itertools.zip_longest(instances, instances[1:]):
        scaled = (one.stop is not None and one.stop.why in REMOVED) or (after is not None and after.pod != one.pod)
        if one.exited_s is None or (after is None and not scaled):
            continue
        until = canvas.end_s if after is None else after.started_s
        if until is None or until <= one.exited_s:
            continue
        canvas.band(panel, one.exited_s, until, "var(--gap)")
        if canvas.short_of(0.09, one.exited_s, until):
            continue
        mine = [wait for wait in on.study.back_offs if (wait.subject, wait.pod) == (one.container, one.pod)]
        waited = any(one.exited_s - 1 < wait.t < until for wait in mine)
        length = format_seconds(until - one.exited_s)
        said = on.gone if scaled else f"{'back-off' if waited else 'not running'}<br>{length}"
        canvas.words(panel, (one.exited_s + until) / 2, 0.5, said)


def marks(on: MemoryPanel) -> None:
    """Restarts, and ends without an OOM kill."""
    _restart_marks(on)
    _exit_marks(on)


def _restart_marks(on: MemoryPanel) -> None:
    at = [
        (entry.started_s, f"restart {entry.attempt} of {safe(entry.container)}, {_readiness(entry)}")
        for before, entry in itertools.pairwise(on.instances)
        if entry.started_s is not None and not before.asked and before.pod == entry.pod
    ]
    outline = {"width": 1, "color": "var(--paper)"}
    marker = {"symbol": "triangle-up", "size": 10, "color": "var(--ink)", "line": outline}
    draw_marks(on.canvas, on.panel, "restart", at, on.top * 0.035, marker, "restart")


def _readiness(entry: Instance) -> str:
    return "never ready" if entry.ready_s is None else f"ready at {entry.ready_s:.3f} s"


def _exit_marks(on: MemoryPanel) -> None:
    at = [(t, f"exit {entry.exit_code}, {safe(entry.reason or 'no reason known')}") for t, entry in other_ends(on)]
    marker = {"symbol": "diamond-open", "size": 10, "color": "var(--ink)", "line": {"width": 1.6}}
    draw_marks(on.canvas, on.panel, "exit without OOM", at, on.top * 0.93, marker, "exit")


def other_ends(on: MemoryPanel) -> list[tuple[float, Instance]]:
    """Ends that were not asked for and were no OOM kill."""
    killed = {kill.owner for kill in on.kills if not kill.child}
    return [
        (entry.exited_s, entry)
        for entry in on.instances
        if entry.exited_s is not None and not entry.asked and entry.owner not in killed
    ]


CONTAINERS = Topic(
    "Containers",
    figures,
    sentences=end_sentences,
    more=parts,
    section=pod_section,
    log=log,
    behind=behind,
    marks=marks,
)
