"""requests.jsonl → what became of each request, and how many were under way at any time."""

from __future__ import annotations

import json
from bisect import bisect_right
from math import inf
from pathlib import Path
from typing import Any

from emu.messages import DONE, SENT
from emu.report.model import InFlight, Request

IDLE_S = 1.0
"""A pod that had nothing under way for so long was idle."""
UNANSWERED = "unanswered"


def read_requests(path: Path, origin: float) -> list[Request] | None:
    """Every request in order of sending; None where no request was ever recorded. Torn lines are passed over."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            records = [record for line in lines if (record := _record(line)) is not None]
    except OSError:
        return None
    done = {record["id"]: record for record in records if record.get("e") == DONE}
    sent = (record for record in records if record.get("e") == SENT)
    return sorted((_request(record, done.get(record["id"]), origin) for record in sent), key=lambda one: one.sent_s)


def count_in_flight(requests: list[Request]) -> InFlight:
    """The step curve of requests sent and not yet done."""
    steps = [(request.sent_s, 1) for request in requests]
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


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(record, dict):
        return None
    needed = ("id", "phase", "due", "sent") if record.get("e") == SENT else ("id", "done")
    return record if all(name in record for name in needed) else None


def _request(sent: dict[str, Any], done: dict[str, Any] | None, origin: float) -> Request:
    begun = sent.get("begun")
    base = {"id": sent["id"], "phase": sent["phase"], "due_s": sent["due"] - origin, "sent_s": sent["sent"] - origin}
    base["begun_s"] = None if begun is None else begun - origin
    if done is None:
        return Request(**base, first_byte_s=None, done_s=None, status=None, error=UNANSWERED)
    first = done.get("first_byte")
    return Request(
        **base,
        first_byte_s=None if first is None else first - origin,
        done_s=done["done"] - origin,
        status=done.get("status"),
        error=done.get("error"),
        bytes=done.get("bytes", 0),
    )
