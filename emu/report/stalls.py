"""Stalls: a container that lives, at its limit, and does nothing but read its own executable again.

Anonymous memory cannot go anywhere without swap, so near the limit the kernel drops the pages of the executable
itself, and the process reads each back as it comes to it, at the cost of another. Nothing is killed as long as
there is a page to drop. What tells it from page cache being read again (a large file, by read()) is that the
faults are major ones: it is mapped pages that were missing (memory.stat, pgmajfault and workingset_refault_file).
The rule is one of proportions, for how many pages a second can be read again is the disk's and the CPU's affair.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from statistics import fmean

from emu.report.measures import first
from emu.report.model import POD, Column, Study, Timeline
from emu.report.requests import most_in_flight

QUEUE_PROXY = "queue-proxy"
SECOND = 1.0
TURNOVER = 0.5
"""In a second of thrashing at least this share of the page cache is read again …"""
REFAULTS_PER_FAULT = 500
"""… by major faults: each brings in no more pages than so many (readahead, and those that others map meanwhile)."""
LEAST_FAULTS = 5
"""Fewer major faults than this in a second are nothing."""
AT_LIMIT = 0.9
"""Near the limit is memory.current from this share of memory.max on."""
QUIET_S = 3
"""So many quiet seconds do not end a stall."""
LEAST_S = 5.0
"""Anything shorter is a start or a hiccup."""


@dataclass(frozen=True)
class Stall:
    """One stretch of thrashing. `in_flight`: requests under way when it began; None where none was recorded."""

    container: str
    attempt: int | None
    begin_s: float
    end_s: float
    refaults: int
    major_faults: int
    limit_bytes: int
    in_flight: int | None
    inside: int | None
    """Of queue-proxy: the most requests that it had accepted at one time in it, by the kernel's accept queue."""
    killed: bool
    """The kernel killed it in the end, or within a second after."""

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end_s - self.begin_s


def stalls(study: Study) -> list[Stall]:
    """Every stall of a container in the run, in order of time."""
    found: list[Stall] = []
    for line in study.timelines.values():
        if line.label in study.containers:
            found += _of(study, line)
    return sorted(found, key=lambda stall: stall.begin_s)


def _of(study: Study, line: Timeline) -> list[Stall]:
    limit = first(line.limit)
    if limit is None or len(line.t) < 2:
        return []
    stretches: list[list[float]] = []
    begin = line.t[0]
    while begin < line.t[-1]:
        end = begin + SECOND
        if _thrashes(line, limit, study.machine.page_bytes, begin, end):
            if stretches and begin - stretches[-1][1] <= QUIET_S:
                stretches[-1][1] = end
            else:
                stretches.append([begin, end])
        begin = end
    return [_stall(study, line, limit, at, until) for at, until in stretches if until - at >= LEAST_S]


def _thrashes(line: Timeline, limit: int, page_bytes: int, begin: float, end: float) -> bool:
    faults = _rise(line.t, line.pgmajfault, begin, end)
    refaults = _rise(line.t, line.refaults, begin, end)
    if faults < LEAST_FAULTS or refaults > REFAULTS_PER_FAULT * faults:
        return False
    within = slice(bisect_left(line.t, begin), bisect_left(line.t, end))
    cached = [value for value in line.page_cache[within] if value is not None]
    if not cached or refaults * page_bytes < TURNOVER * fmean(cached):
        return False
    return max((value for value in line.memory_current[within] if value is not None), default=0) >= AT_LIMIT * limit


def _stall(study: Study, line: Timeline, limit: int, begin: float, end: float) -> Stall:
    end = min(end, line.t[-1])
    kills = [kill for kill in study.kills if (kill.container, kill.attempt) == line.key]
    return Stall(
        container=line.label,
        attempt=line.attempt,
        begin_s=begin,
        end_s=end,
        refaults=_rise(line.t, line.refaults, begin, end),
        major_faults=_rise(line.t, line.pgmajfault, begin, end),
        limit_bytes=limit,
        in_flight=most_in_flight(study.in_flight, begin - 0.2, begin) if study.requests is not None else None,
        inside=_inside(study, begin, end) if line.label == QUEUE_PROXY else None,
        killed=any(begin <= kill.time_s <= end + SECOND for kill in kills),
    )


def _inside(study: Study, begin: float, end: float) -> int | None:
    """Requests under way less those whose connection is not accepted yet; None where either is not known."""
    pod = study.timelines.get(POD)
    curve = study.in_flight
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
