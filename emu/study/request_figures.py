"""What clients saw, in numbers: how requests ended, how long each kind of end took, and how late they went out.

Latency counts from when the load generator took a request up (`Request.begin_s`) to its end. How late it was with
that is its own affair, and has figures of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from emu.study.measures import SHARES, spread
from emu.study.model.requests import OK, Request
from emu.study.model.study import Study
from emu.study.pods import asked_of, workload
from emu.study.reasons_summary import count_reasons, waited
from emu.study.requests import after_idle, most_in_flight

LATE_S = 0.1
"""A request that was taken up so long after it was due was not sent in time."""
Figures = dict[str, Any]
_COUNTS = ("sent", "answered", "reached_no_pod", "by_status", "errors", "late", "in_flight_peak", "reasons", "waited")
_NOTHING = {"n": None, **dict.fromkeys(SHARES)}


def request_figures(study: Study, requests: list[Request] | None, begin_s: float, until_s: float) -> Figures:
    """Of the run, or of a part of it: these requests, and this stretch for those in flight."""
    if requests is None:
        idle = {"sent": None, "latency_ms": _NOTHING, "asleep": None}
        times = {"latency_ms": _NOTHING, "first_byte_ms": _NOTHING, "lateness_ms": _NOTHING}
        return {**dict.fromkeys(_COUNTS), **times, "latency_ms_by_outcome": None, "after_idle": idle}
    study = asked_of(study, _as_asked(study, requests)) if requests else study
    answered = [request for request in requests if request.answered]
    first_bytes = (one.first_byte_s - one.begin_s for one in requests if one.first_byte_s is not None)
    late = [one.late_s for one in requests if one.late_s is not None]
    return {
        "sent": len(requests),
        "answered": len(answered),
        "reached_no_pod": _reached_none(requests),
        "by_status": _counted(str(request.status) for request in answered),
        "errors": _counted(request.error for request in requests if request.error is not None),
        "latency_ms": _latency(answered),
        "latency_ms_by_outcome": _by_outcome(requests),
        "first_byte_ms": _ms(first_bytes),
        "after_idle": _after_idle(study, requests),
        "late": sum(seconds >= LATE_S for seconds in late) if late or not requests else None,
        "lateness_ms": _ms(late),
        "in_flight_peak": most_in_flight(study.in_flight, begin_s, until_s) or 0,
        "reasons": count_reasons(requests),
        "waited": waited(study.ends, begin_s, until_s, _over_s(study)),
    }


def _over_s(study: Study) -> float:
    """When the last request had ended: what still waited then was never served."""
    return max((one.done_s for one in study.requests or [] if one.done_s is not None), default=study.duration_s)


def _reached_none(requests: list[Request]) -> int | None:
    """How many an activator never sent on; None where that is not known of some."""
    if any(one.reached == "unknown" for one in requests):
        return None
    return sum(one.reached == "none" for one in requests)


def _as_asked(study: Study, requests: list[Request]) -> set[str]:
    """The pods behind what these requests asked: all those of a service, and none for what its activator kept."""
    asked = {workload(request.pod) for request in requests}
    return {"", *(pod.pod for pod in study.pods if workload(pod.pod) in asked)}


def _latency(requests: list[Request]) -> Figures:
    return _ms(request.latency_s for request in requests if request.latency_s is not None)


def _by_outcome(requests: list[Request]) -> dict[str, Figures]:
    """How long each kind of end took, success first: an answer of 503 given at once says nothing of the others."""
    took: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        if request.took_s is not None:
            took[request.outcome].append(request.took_s)
    return {name: _ms(took[name]) for name in sorted(took, key=lambda name: (name != OK, name))}


def _after_idle(study: Study, requests: list[Request]) -> Figures:
    mine = {request.id for request in requests}
    woken = [request for request in after_idle(study.requests or []) if request.id in mine]
    return {"sent": len(woken), "latency_ms": _latency(woken), "asleep": _asleep(study, woken)}


def _asleep(study: Study, woken: list[Request]) -> Figures | None:
    """Of those that came first after idleness, those that found the pod frozen or gone: a policy may have left it
    alone. None where nothing is done to an idle pod.
    """
    if study.freezer is None and study.scaling is None:
        return None
    end = study.duration_s
    spans = [(one.frozen_at_s, end if one.thawed_at_s is None else one.thawed_at_s) for one in study.freezes]
    if study.scaling is not None:
        spans += [(one.decided_s, end if one.ready_s is None else one.ready_s) for one in study.scaling.absences]
    found = [one for one in woken if any(since <= one.begin_s < until for since, until in spans)]
    return {"sent": len(found), "latency_ms": _latency(found)}


def _ms(seconds: Iterable[float]) -> Figures:
    return spread(one * 1e3 for one in seconds)


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
