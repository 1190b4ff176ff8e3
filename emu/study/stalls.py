"""Stalls: a container that lives, and of which requests or probes get no answer, or a late one.

That is what a stall is; why is another matter, and it is asked only where something was seen. Three things make a
container stall without an end, and each has its counters:

- files: near the limit the kernel drops the pages of files that the process has mapped (its executable, libraries,
  data), and the process reads each back as it comes to it, at the cost of another. It differs from a large file
  that is read() again in that the faults are major ones (memory.stat, pgmajfault and workingset_refault_file).
- swap: the same with anonymous memory (workingset_refault_anon).
- memory.high: each task that takes memory above it is made to sleep (memory.events, high).

The rules are of proportions, for how many pages a second can be read again is the disk's and the CPU's affair. A
stretch in which nothing was seen is `thrashing` and no stall.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from emu.messages import APP, QUEUE_PROXY
from emu.record.events import Owner
from emu.study.measures import first
from emu.study.model.instances import container_of
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.model.timeline import Column, Timeline
from emu.study.requests import most_in_flight
from emu.study.restraints import OVER_BYTES

SERVING = (QUEUE_PROXY, APP)
"""What each request goes through. A sidecar's state only its probes show."""
SECOND = 1.0
TURNOVER = 0.5
"""In a second of thrashing at least this share of the page cache is read again …"""
SWAP_TURNOVER = 0.1
"""… or this share of the anonymous memory: a process needs but a part of it each second …"""
REFAULTS_PER_FAULT = 500
"""… by major faults: each brings in no more pages than so many (readahead, and those that others map meanwhile)."""
LEAST_FAULTS = 5
"""Fewer major faults than this in a second are nothing."""
AT_LIMIT = 0.9
"""Near the limit is memory.current from this share of it on."""
QUIET_S = 3
"""So many quiet seconds do not end a stall."""
LEAST_S = 5.0
"""Anything shorter is a start or a hiccup."""
SLOW_FACTOR, SLOW_S = 3.0, 1.0
"""Slow is an answer that takes so many times as long as the phase's quickest, and so much more."""
SEEN = 0.25
"""A stall is seen when this share of the requests that were under way in it were slow or failed."""
TIMED_OUT = 504
Why = Literal["files", "swap", "memory.high"]


@dataclass(frozen=True)
class Stall:
    """One stretch at a limit. `in_flight`: requests under way when it began; None where none was recorded."""

    container: str
    attempt: int | None
    begin_s: float
    end_s: float
    refaults: int
    """Pages of mapped files that were read again."""
    major_faults: int
    limit_bytes: int
    """memory.max, or memory.high where that is what held it."""
    in_flight: int | None
    inside: int | None
    """Of queue-proxy: the most requests that it had accepted at one time in it, by the kernel's accept queue."""
    killed: bool
    """The kernel killed it in the end, or within a second after."""
    why: Why = "files"
    swap_refaults: int = 0
    """Pages that were brought back from swap."""
    high_events: int = 0
    """How often memory.events counted `high`."""
    requests: int | None = None
    """Requests under way at any time in it; None where they do not go through this container, or none was sent."""
    hindered: int | None = None
    """Of these, how many failed or were slow."""
    failed_probes: int = 0
    """Failures of the container's own probes in it."""

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end_s - self.begin_s

    @property
    def seen(self) -> bool:
        """Whether requests or probes met it."""
        return self.failed_probes > 0 or (self.hindered or 0) > SEEN * (self.requests or 0)

    derived_from: str = ""
    """Where `why` is memory.high: how the kubelet's Memory QoS came to it; empty where it did not set it."""
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def owner(self) -> Owner:
        """In which container."""
        return Owner(self.pod, self.container, self.attempt)


def stalls(study: Study) -> list[Stall]:
    """Every stall of a container in the run, in order of time."""
    return [stall for stall in stretches(study) if stall.seen]


def thrashing(study: Study) -> list[Stall]:
    """The stretches that neither requests nor probes saw anything of."""
    return [stall for stall in stretches(study) if not stall.seen]


def stretches(study: Study) -> list[Stall]:
    """Every stretch in which a container lived at its limit by reading pages again, or was throttled there."""
    found: list[Stall] = []
    for line in study.timelines.values():
        if line.label in study.containers:
            found += _of(study, line)
    return sorted(found, key=lambda stall: stall.begin_s)


def _of(study: Study, line: Timeline) -> list[Stall]:
    if len(line.t) < 2:
        return []
    parts: list[tuple[float, float, list[Why]]] = []
    begin = line.t[0]
    while begin < line.t[-1]:
        end = begin + SECOND
        why = _why(line, study.machine.page_bytes, begin, end)
        if why is not None:
            if parts and begin - parts[-1][1] <= QUIET_S:
                parts[-1] = (parts[-1][0], end, [*parts[-1][2], why])
            else:
                parts.append((begin, end, [why]))
        begin = end
    return [_stall(study, line, at, until, whys) for at, until, whys in parts if until - at >= LEAST_S]


def _bound(line: Timeline, column: Column, begin: float, end: float) -> int | None:
    within = column[bisect_left(line.t, begin) : bisect_left(line.t, end)]
    return first(within)


def _why(line: Timeline, page_bytes: int, begin: float, end: float) -> Why | None:
    """What kept it busy in a second; None where nothing did."""
    within = slice(bisect_left(line.t, begin), bisect_left(line.t, end))
    most = max((value for value in line.memory_current[within] if value is not None), default=0)
    limit, high = _bound(line, line.memory_max, begin, end), _bound(line, line.memory_high, begin, end)
    counted = line.events_all.get("high") or line.events.get("high") or []
    if high is not None and most > high + OVER_BYTES and _rise(line.t, counted, begin, end) > 0:
        return "memory.high"
    limits = [value for value in (limit, high) if value is not None]
    faults = _rise(line.t, line.pgmajfault, begin, end)
    if not limits or most < AT_LIMIT * min(limits) or faults < LEAST_FAULTS:
        return None
    files, swapped = (_rise(line.t, column, begin, end) for column in (line.refaults, line.refaults_anon))
    if _turned_over(line.page_cache[within], files, faults, page_bytes, TURNOVER):
        return "files"
    return "swap" if _turned_over(line.anon[within], swapped, faults, page_bytes, SWAP_TURNOVER) else None


def _turned_over(held: Column, again: int, faults: int, page_bytes: int, share: float) -> bool:
    """Whether so large a share of what was held was read again, by major faults."""
    known = [value for value in held if value is not None]
    if not known or not 0 < again <= REFAULTS_PER_FAULT * faults:
        return False
    return again * page_bytes >= share * fmean(known)


def _stall(study: Study, line: Timeline, begin: float, end: float, whys: list[Why]) -> Stall:
    end = min(end, line.t[-1])
    why = max(dict.fromkeys(whys), key=whys.count)
    kills = [kill for kill in study.kills if kill.owner == line.owner]
    bounds = [_bound(line, column, begin, end) for column in (line.memory_max, line.memory_high)]
    known = [value for value in bounds if value is not None]
    met, curve = _met(study, line.owner, begin, end), study.in_flight_to(line.owner.pod)
    counted = line.events_all.get("high") or line.events.get("high") or []
    return Stall(
        container=line.label,
        attempt=line.owner.attempt,
        begin_s=begin,
        end_s=end,
        refaults=_rise(line.t, line.refaults, begin, end),
        major_faults=_rise(line.t, line.pgmajfault, begin, end),
        limit_bytes=min(known),
        in_flight=most_in_flight(curve, begin - 0.2, begin) if study.requests is not None else None,
        inside=_inside(study, line.owner, begin, end) if container_of(line.label) == QUEUE_PROXY else None,
        killed=any(begin <= kill.time_s <= end + SECOND for kill in kills),
        why=why,
        derived_from=_high_from(study, line.owner) if why == "memory.high" else "",
        swap_refaults=_rise(line.t, line.refaults_anon, begin, end),
        high_events=_rise(line.t, counted, begin, end),
        requests=None if met is None else len(met),
        hindered=None if met is None else sum(_hindered(study, met)),
        failed_probes=sum(
            (one.subject, one.pod) == (line.label, line.owner.pod) and begin - SECOND <= one.t <= end + SECOND
            for one in study.failed_probes
        ),
        pod=line.owner.pod,
    )


def _high_from(study: Study, owner: Owner) -> str:
    return next((one.memory_high_from for one in study.instances if one.owner == owner), "")


def _met(study: Study, owner: Owner, begin: float, end: float) -> list[Request] | None:
    """The requests that were under way in a stretch; None where requests do not show it."""
    mine = [one for one in study.requests or () if one.pod in ("", owner.pod) and _goes_through(one, owner.label)]
    if not mine:
        return None
    return [one for one in mine if one.sent_s <= end and (one.done_s is None or one.done_s >= begin)]


def _goes_through(request: Request, label: str) -> bool:
    server, name = container_of(request.container) or QUEUE_PROXY, container_of(label)
    return name in SERVING if server == QUEUE_PROXY else name == server


def _hindered(study: Study, met: list[Request]) -> list[bool]:
    """Of each, whether it failed, or took far longer than its phase's quickest: all of a phase ask the same."""
    quickest: dict[str, float] = defaultdict(float)
    for one in study.requests or []:
        if one.latency_s is not None and (one.status or 0) < 400:
            quickest[one.phase] = min(quickest.get(one.phase, one.latency_s), one.latency_s)
    return [
        one.latency_s is None or one.status == TIMED_OUT or one.latency_s > SLOW_FACTOR * quickest[one.phase] + SLOW_S
        for one in met
    ]


def _inside(study: Study, owner: Owner, begin: float, end: float) -> int | None:
    """Requests under way less those whose connection is not accepted yet; None where either is not known."""
    pod = study.timelines.get(owner.whole_pod)
    curve = study.in_flight_to(owner.pod)
    if pod is None or study.requests is None or not curve.t:
        return None
    within = slice(bisect_left(pod.t, begin), bisect_left(pod.t, end))
    queued = (
        (t, waiting) for t, waiting in zip(pod.t[within], pod.backlog[within], strict=True) if waiting is not None
    )
    return max((curve.n[max(0, bisect_right(curve.t, t) - 1)] - waiting for t, waiting in queued), default=None)


def _rise(t: list[float], column: Column, begin: float, end: float) -> int:
    """How much a counter rose between two moments; 0 where it was not measured."""
    values = column[max(0, bisect_left(t, begin) - 1) : bisect_left(t, end)]
    known = [value for value in values if value is not None]
    return known[-1] - known[0] if known else 0
