"""requests.jsonl → what became of each request, and how many were under way at any time."""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from pathlib import Path

from emu.files import typed
from emu.files.regular import read_lines
from emu.messages.requests import SENT, RequestDone, RequestSent
from emu.record.events import LONGEST_RUN_S, Damage
from emu.study.model.requests import InFlight, Request

IDLE_S = 1.0
"""A pod that had nothing under way for so long was idle."""
UNANSWERED = "unanswered"


def read_requests(path: Path, origin: float, damage: Damage | None = None) -> list[Request] | None:
    """Every request in order of sending; None where no request was ever recorded. A line that makes no sense is left
    out, and counted in `damage`.
    """
    damage = Damage() if damage is None else damage
    sent: dict[int, RequestSent] = {}
    done: dict[int, RequestDone] = {}
    try:
        for line in read_lines(path):
            try:
                record = _record(line, origin)
            except ValueError:
                damage.lines += line.endswith(b"\n")
                continue
            if isinstance(record, RequestSent):
                sent.setdefault(record.id, record)
            else:
                done[record.id] = record
    except OSError:
        return None
    found = (_request(record, done.get(record.id), origin) for record in sent.values())
    return sorted(found, key=lambda one: one.sent_s)


def count_in_flight(requests: list[Request], *, in_pod: bool = False) -> InFlight:
    """The step curve of requests sent and not yet done; `in_pod`: of those that the pod had."""
    steps = [(request.in_pod_s if in_pod else request.sent_s, 1) for request in requests]
    steps += [(request.done_s, -1) for request in requests if request.done_s is not None]
    curve, n = InFlight(), 0
    for t, step in sorted(steps):
        n += step
        if curve.t and curve.t[-1] == t:
            curve.n[-1] = n
        else:
            curve.t.append(t)
            curve.n.append(n)
    return curve


def most_in_flight(curve: InFlight, begin_s: float, end_s: float) -> int | None:
    """The most requests under way at once in a stretch of time; None where none was ever recorded."""
    if not curve.t:
        return None
    first = max(0, bisect_right(curve.t, begin_s) - 1)
    last = bisect_right(curve.t, end_s)
    within = curve.n[first:last]
    return max(within) if within and curve.t[0] <= end_s else 0


def after_idle(requests: list[Request]) -> list[Request]:
    """The requests that came first after idleness: none was under way when they began, nor in the `IDLE_S` before.
    The very first one is none of them: what it meets is a pod that was just started.
    """
    found: list[Request] = []
    busy_until: float | None = None
    for request in sorted(requests, key=lambda one: (one.begin_s, one.id)):
        if busy_until is not None and request.begin_s - busy_until >= IDLE_S:
            found.append(request)
        end = inf if request.done_s is None else request.done_s
        busy_until = end if busy_until is None else max(busy_until, end)
    return found


def _record(line: bytes, origin: float) -> RequestSent | RequestDone:
    data = typed.parse_object(line)
    if data.get("e") == SENT:
        sent = typed.make(RequestSent, data)
        _check(origin, sent.due, sent.sent, sent.due if sent.begun is None else sent.begun)
        return sent
    done = typed.make(RequestDone, {"first_byte": None, "status": None, "error": None, "bytes": 0, **data})
    _check(origin, done.done, done.done if done.first_byte is None else done.first_byte)
    return done


def _check(origin: float, *times: float) -> None:
    if any(abs(t - origin) > LONGEST_RUN_S for t in times):
        raise ValueError("no time of this run")


def _request(sent: RequestSent, done: RequestDone | None, origin: float) -> Request:
    return Request(
        sent.id,
        sent.phase,
        sent.due - origin,
        sent.sent - origin,
        done.first_byte - origin if done is not None and done.first_byte is not None else None,
        done.done - origin if done is not None else None,
        done.status if done is not None else None,
        done.error if done is not None else UNANSWERED,
        bytes=done.bytes if done is not None else 0,
        begun_s=None if sent.begun is None else sent.begun - origin,
        pod=sent.pod,
        container=sent.container,
        revision=sent.revision,
        ports=None if sent.ports is None else tuple(sent.ports),
    )
