"""Freezes as the freezer daemon reported them, joined with what the samples say of memory then.

The daemon writes its events once the kernel has confirmed what it did, so between a pause and the resume the
container was frozen. Whether a request was forwarded meanwhile is for another witness: queue-proxy's own log has,
for each stretch between two pauses, when the first and the last request went to the app.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from emu.messages import APP, MAYBE_PAUSED, NO_MORE_FREEZES, PAUSED, QUEUE_PROXY
from emu.record.events import (
    CgroupGone,
    ContainerExited,
    ContainerPaused,
    ContainerResumed,
    DockerEvent,
    Event,
    FreezerFailed,
    MemoryEventsRose,
    MemoryPrefetched,
    MemoryReclaimed,
    Owner,
)
from emu.study.counters import value_at
from emu.study.logs import logged_events, time_in
from emu.study.measures import Window
from emu.study.model.freezes import Freeze, FreezerUse, FrozenMemory, Wake, frozen_span
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline

_ENDING = ("kill", "unpause", "stop", "die")
DYING_S = 0.5
"""A container that ended while frozen, and of which the engine says nothing, is looked at so long before."""
LAG_S = 0.05
"""The engine's word may come so much later than its deed."""
_LOOK_AHEAD = 256
"""So many of the requests that end after a thaw are looked at for the one that waited longest."""


def recorded_freezes(study: Study, events: list[Event]) -> list[Freeze]:
    """Every freeze that the daemon reported, in order of time; one that the container did not outlive ends there."""
    found: list[Freeze] = []
    open_now: dict[str, Freeze] = {}
    died: dict[str, float] = {}
    """When something first reported its death, since it was frozen: it is found ended only later."""
    for event in events:
        t = event.t - study.origin
        if isinstance(event, ContainerPaused):
            died.pop(event.id, None)
            open_now[event.id] = Freeze(
                event.container, event.attempt, t, freeze_ms=event.took_s * 1e3, method=event.method, pod=event.pod
            )
        elif isinstance(event, ContainerResumed) and event.id in open_now:
            found.append(replace(open_now.pop(event.id), thawed_at_s=t, thaw_ms=event.took_s * 1e3))
        elif isinstance(event, ContainerExited) and event.id in open_now:
            found.append(replace(open_now.pop(event.id), thawed_at_s=died.get(event.id, t)))
        else:
            for ident in _deaths(event, open_now):
                died.setdefault(ident, t)
    return sorted([*found, *open_now.values()], key=lambda freeze: freeze.frozen_at_s)


def _deaths(event: Event, frozen: Iterable[str]) -> Iterator[str]:
    """The frozen containers whose death an event shows: a kill, the kernel's count, the cgroup's end."""
    if isinstance(event, DockerEvent) and event.action in ("kill", "oom", "die"):
        yield from (ident for ident in frozen if ident == event.id)
    elif isinstance(event, CgroupGone) or (isinstance(event, MemoryEventsRose) and "oom_kill" in event.delta):
        yield from (ident for ident in frozen if ident in event.path)


def pauses(study: Study) -> list[Freeze]:
    """Freezes as Docker reported them, where cgroup.events was not recorded. What each cost is not known then."""
    found: list[Freeze] = []
    open_at: dict[str, float] = {}
    mine = {one.id: one for one in study.instances}
    for event in study.docker_events:
        ident = str(event.detail.get("id", ""))
        if ident not in mine:
            continue
        if event.text == "pause":
            open_at[ident] = event.t
        elif event.text in ("unpause", "die") and ident in open_at:
            found.append(frozen_span(mine[ident].owner, open_at.pop(ident), event.t))
    found += [frozen_span(mine[ident].owner, t) for ident, t in open_at.items()]
    return sorted(found, key=lambda freeze: freeze.frozen_at_s)


def measure_freezes(study: Study, events: list[Event]) -> list[Freeze]:
    """The same freezes with what each kept, gave back, and cost to end."""
    reclaims = [event for event in events if isinstance(event, MemoryReclaimed)]
    ended = sorted((one for one in study.requests or () if one.done_s is not None), key=lambda one: one.done_s or 0.0)
    done = [one.done_s or 0.0 for one in ended]
    ahead = [event for event in events if isinstance(event, MemoryPrefetched)]
    nexts = _nexts(study)
    return [
        replace(
            freeze,
            memory=_memory(study, freeze, until, reclaims),
            wake=replace(_wake(study, freeze, until, ended, done), **_prefetched(study, freeze, ahead)),
        )
        for freeze, until in zip(study.freezes, nexts, strict=True)
    ]


def freezer_use(study: Study, events: list[Event]) -> FreezerUse | None:
    """What the daemon did; None where no daemon reported anything."""
    pauses = [event.took_s * 1e3 for event in events if isinstance(event, ContainerPaused)]
    resumes = [event.took_s * 1e3 for event in events if isinstance(event, ContainerResumed)]
    failed = [event.why for event in events if isinstance(event, FreezerFailed)]
    if not pauses and not resumes and not failed:
        return None
    return FreezerUse(tuple(pauses), tuple(resumes), tuple(failed), _served_frozen(study))


def _nexts(study: Study) -> list[float]:
    """When each container was frozen the next time, or the run's end."""
    ahead: dict[Owner, float] = {}
    found = []
    for freeze in reversed(study.freezes):
        key = freeze.owner
        found.append(ahead.get(key, study.duration_s))
        ahead[key] = freeze.frozen_at_s
    return found[::-1]


def _memory(study: Study, freeze: Freeze, until: float, reclaims: list[MemoryReclaimed]) -> FrozenMemory:
    line = study.timelines.get(freeze.owner)
    thawed = study.duration_s if freeze.thawed_at_s is None else freeze.thawed_at_s
    still = _touched(study, freeze, thawed) if freeze.thaw_ms is None else thawed - freeze.thaw_ms / 1e3
    moments = {"before": freeze.frozen_at_s, "frozen": _surely_frozen(line, freeze, still), "after": until}
    if freeze.thawed_at_s is None:
        del moments["after"]
    held: dict[str, Any] = {
        f"{name}_{moment}_bytes": _at(line, column, t)
        for name, column in (("anon", "anon"), ("file", "page_cache"), ("swap", "swap"))
        for moment, t in moments.items()
    }
    mine = [one for one in reclaims if _is_of(one, freeze, thawed, study.origin)]
    if not mine:
        return FrozenMemory(**held)
    # One that a resume cut short is looked at when the app runs, and may hold more again than it gave back.
    came = sum(max(0, (one.before.get("current") or 0) - (one.after.get("current") or 0)) for one in mine)
    return FrozenMemory(**held, reclaimed_bytes=came, kept_why=mine[-1].why or None)


def _surely_frozen(line: Timeline | None, freeze: Freeze, still: float) -> float:
    """When the last sample within a freeze was begun that was also read within it. Its files are read a while after
    that, on a busy machine when the container has ended: certain is only the sample before.
    """
    begun = 0 if line is None else bisect_right(line.t, still)
    sure = line.t[begun - 2] if line is not None and begun > 1 else freeze.frozen_at_s
    return sure if sure > freeze.frozen_at_s else max(freeze.frozen_at_s, still)


def _touched(study: Study, freeze: Freeze, thawed: float) -> float:
    """When a freeze that the daemon did not end began to end: when the container was asked to stop, or when the
    engine first reported it.
    """
    mine = next((one for one in study.instances if one.owner == freeze.owner), None)
    if mine is None:
        return thawed - DYING_S - LAG_S
    ends = [one.t for one in study.docker_events if one.detail.get("id") == mine.id and one.text in _ENDING]
    ends += [] if mine.stop is None else [mine.stop.asked_s]
    return min((t for t in ends if freeze.frozen_at_s < t <= thawed), default=thawed - DYING_S) - LAG_S


def _at(line: Timeline | None, column: str, t: float) -> int | None:
    return None if line is None else value_at(line.t, getattr(line, column), t)


def _is_of(event: MemoryReclaimed, freeze: Freeze, thawed: float, origin: float) -> bool:
    """Whether memory was reclaimed in this freeze; a step that the thaw cut short is reported a moment after it."""
    mine = event.owner == freeze.owner
    return mine and freeze.frozen_at_s <= event.t - origin - event.took_s <= thawed


def _wake(study: Study, freeze: Freeze, until: float, ended: list[Request], done: list[float]) -> Wake:
    thawed = freeze.thawed_at_s
    if thawed is None:
        return Wake()
    line = study.timelines.get(freeze.owner)
    lines = [line] if line is not None else []
    window = Window(study, thawed, until)
    first = bisect_left(done, thawed)
    waited = [one for one in ended[first : first + _LOOK_AHEAD] if one.sent_s <= thawed and one.answered]
    waker = min(waited, key=lambda one: one.sent_s, default=None)
    return Wake(
        None if waker is None or waker.latency_s is None else waker.latency_s * 1e3,
        window.counted(lines, "pgmajfault"),
        window.io(lines)["swap_io_read_bytes"],
    )


def _prefetched(study: Study, freeze: Freeze, ahead: list[MemoryPrefetched]) -> dict[str, Any]:
    """The bytes that were read back between the request to thaw and the thaw."""
    thawed = freeze.thawed_at_s
    if thawed is None:
        return {}
    for one in ahead:
        mine = one.owner == freeze.owner
        if mine and freeze.frozen_at_s <= one.t - study.origin <= thawed:
            amounts = {"prefetched_bytes": one.prefetched_bytes, "prefetch_known_bytes": one.known_bytes}
            return {**amounts, "prefetch_ms": one.took_s * 1e3}
    return {}


def _served_frozen(study: Study) -> int | None:
    logs = [(path, spans) for path in study.run.container_logs(QUEUE_PROXY) if (spans := list(_spans(path)))]
    return sum(_met_frozen(study, path, spans) for path, spans in logs) if logs else None


def _met_frozen(study: Study, log: Path, spans: list[tuple[float, float]]) -> int:
    """In how many stretches the app of a queue-proxy's own pod was frozen. Older runs have all logs in one folder."""
    pod = None if log.parent == study.run.logs else log.parent.name
    frozen = [
        (one.frozen_at_s, study.duration_s if one.thawed_at_s is None else one.thawed_at_s)
        for one in study.freezes
        if one.container == APP and pod in (None, one.pod)
    ]
    begins = [since for since, _ in frozen]
    served = 0
    for first, last in spans:
        begin, end = first - study.origin, last - study.origin
        at = max(0, bisect_left(begins, begin) - 1)
        served += any(since < end and begin < until for since, until in frozen[at : bisect_left(begins, end)])
    return served


def _spans(path: Path) -> Iterator[tuple[float, float]]:
    """When the first and the last request went to the app, for each stretch that the log reports."""
    for line in logged_events(path, PAUSED, MAYBE_PAUSED, NO_MORE_FREEZES):
        first, last = time_in(line, "firstAt"), time_in(line, "lastAt")
        if line.get("forwarded") and first is not None and last is not None:
            yield first, last
