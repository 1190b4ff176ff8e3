"""Why requests were not answered well, and how long they waited for a place, in numbers for summary.json."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from typing import Any

from emu.study.ends import Ends, Wait
from emu.study.measures import percentile, spread
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.pods import workload
from emu.study.reasons import DOWN, fate_of_app

APART_S = 1.0
"""Requests that ended badly, alike and within this, are one burst."""


def outcome(request: Request) -> str:
    """A request's status, or the name of its error."""
    return request.error or str(request.status)


def count_reasons(requests: list[Request]) -> dict[str, dict[str, int]]:
    """Of each status or error, how many have which reason."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for request in requests:
        if request.reason is not None:
            counts[outcome(request)][request.reason] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def waited(ends: Ends, begin_s: float, until_s: float, over_s: float) -> dict[str, Any] | None:
    """Who waited for a place in a stretch of time; None where nothing recorded it. No request waits longer than it
    lasts: a wait that only the pod's end ended counts until the load was over (`over_s`).
    """
    if not ends.recorded:
        return None
    mine = [_until(wait, over_s) for wait in ends.waits if begin_s < wait.t <= until_s]
    steps = sorted([(wait.t - wait.waited_s, 1) for wait in mine] + [(wait.t, -1) for wait in mine])
    most = max(accumulate(step for _, step in steps), default=0)
    return {
        "count": len(mine),
        "most": most,
        "ms": spread(wait.waited_s * 1e3 for wait in mine),
    }


def _until(wait: Wait, over_s: float) -> Wait:
    late = wait.t - over_s
    return wait if late <= 0 else replace(wait, t=over_s, waited_s=max(wait.waited_s - late, 0.0))


def failures(study: Study) -> list[dict[str, Any]] | None:
    """Requests that ended badly, alike and close together, in order of time."""
    if study.requests is None:
        return None
    bursts = [
        _burst(study, name, reason, part)
        for (name, reason, *_), some in _alike(study).items()
        for part in _parts(study, some)
    ]
    return sorted(bursts, key=lambda burst: float(burst["first_s"]))


def failure_kinds(study: Study) -> list[dict[str, Any]] | None:
    """The same, all that ended alike as one, the most frequent first."""
    if study.requests is None:
        return None
    kinds = [
        _burst(study, name, reason, sorted(some, key=lambda one: _done(study, one)))
        for (name, reason, *_), some in _alike(study).items()
    ]
    return sorted(kinds, key=lambda kind: (-int(kind["count"]), float(kind["first_s"])))


def _alike(study: Study) -> dict[tuple[str, str, str, str], list[Request]]:
    """Those that ended with the same outcome for the same reason, in pods of the same workload."""
    alike: dict[tuple[str, str, str, str], list[Request]] = defaultdict(list)
    for request in study.requests or ():
        if request.reason is not None:
            alike[outcome(request), request.reason, workload(request.pod), request.container].append(request)
    return alike


def _parts(study: Study, requests: list[Request]) -> Iterable[list[Request]]:
    parts: list[list[Request]] = []
    for request in sorted(requests, key=lambda one: _done(study, one)):
        if not parts or _done(study, request) - _done(study, parts[-1][-1]) > APART_S:
            parts.append([])
        parts[-1].append(request)
    return parts


def _done(study: Study, request: Request) -> float:
    """When it ended; where no end of it is on record, when the record ends."""
    return study.duration_s if request.done_s is None else request.done_s


def _burst(study: Study, name: str, reason: str, requests: list[Request]) -> dict[str, Any]:
    ends = [request.end for request in requests if request.end is not None]
    first = ends[0] if ends else None
    return {
        "outcome": name,
        "reason": reason,
        "by": first.who if first else None,
        "pod": _only(request.pod for request in requests),
        "container": _only(request.container for request in requests),
        "first_s": _done(study, requests[0]),
        "last_s": _done(study, requests[-1]),
        "count": len(requests),
        "why": first.why if first else "",
        "app": _fate(study, reason, requests),
        "period_s": first.period_s if first else None,
        "inside": first.inside if first else None,
        "waiting": max((end.waiting for end in ends), default=None),
        "never_in": sum(end.app_s is None for end in ends),
        "waited_ms": _spread(end.waited_s for end in ends),
        "held_ms": _spread(end.held_s for end in ends),
        "app_ms": _spread(end.app_s for end in ends if end.app_s is not None),
    }


def _spread(seconds: Iterable[float]) -> dict[str, float | None]:
    times = sorted(one * 1e3 for one in seconds)
    return {"min": times[0] if times else None, "p50": percentile(times, 0.5), "max": percentile(times, 1.0)}


def _only(names: Iterable[str]) -> str | None:
    """What all of them are called; None where that differs, or is not known."""
    found = set(names)
    return (found.pop() or None) if len(found) == 1 else None


def _fate(study: Study, reason: str, requests: list[Request]) -> str | None:
    """What became of the app as these ended: `down` where it was away or not ready each time, but not for the same
    reason; None where it was there for one of them.
    """
    moments = {(one.pod, round(_done(study, one), 1)): _done(study, one) for one in requests}
    fates = {fate_of_app(study, reason, t, pod) for (pod, _), t in moments.items()}
    if len(fates) == 1:
        return fates.pop()
    return None if None in fates else DOWN
