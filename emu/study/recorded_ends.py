"""What queue-proxy and the activator recorded of requests that they answered themselves, broke off or held.

queue-proxy's record is in its log, the activator's among the events. Until when a record is whole, and of which
instances, decides what may be concluded of a request that is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from emu.files import typed
from emu.files.regular import read_lines
from emu.messages import QUEUE_PROXY, REQUESTS_ENDED, REQUESTS_WAITED
from emu.record.events import Event, RequestsEnded, RequestsWaited
from emu.study.ends import ACTIVATOR, CLIENT_LEFT, NOT_RECORDED, End, Ends, Wait
from emu.study.logs import logged
from emu.study.model.instances import Instance
from emu.study.model.study import Study

LONGEST_WORDS = 500
"""The end of what is longer is left out: an app that sends no HTTP is quoted, with up to a whole head."""
UNWRITTEN_S = 0.5
"""What queue-proxy noted so shortly before it was killed may not have been written."""
_CLOSED = ("EOF", "server closed idle connection", "use of closed network connection")
_RESET = ("connection reset by peer", "broken pipe")
_RESET_STREAM = ("; received from peer", "GOAWAY")
"""In HTTP/2, where a request ends and its connection does not, or stays open for others."""
REASONS = (
    "queue-full", "not-resumed", "answer-cut", "protocol", CLIENT_LEFT,
    "response-timeout", "response-start-timeout", "idle-timeout",
)  # fmt: skip
"""Those that are recorded by the name that they keep."""
_KINDS: dict[str, type[Event]] = {REQUESTS_ENDED: RequestsEnded, REQUESTS_WAITED: RequestsWaited}
_MARKS = (f'"{REQUESTS_ENDED}"', f'"{REQUESTS_WAITED}"', '"recordsEnds"')


def read_ends(study: Study, events: list[Event]) -> Ends:
    """The record: queue-proxy's from its log, the activator's from the events."""
    ends: list[End] = []
    waits: list[Wait] = []
    keepers: set[str] = set()
    logged = [("", event) for event in events if isinstance(event, RequestsEnded | RequestsWaited)]
    for pod, event in (*logged, *_logged(study)):
        keepers.add(pod)
        try:
            if isinstance(event, RequestsEnded):
                ends += [replace(one, pod=pod) for one in _ends(event, study.origin)]
            elif isinstance(event, RequestsWaited):
                waits += [Wait(_number(t) - study.origin, _number(waited_s), pod) for t, waited_s in event.each]
        except (TypeError, ValueError):
            continue  # a line of a damaged record
    waits += _other_waits(ends, waits)
    return Ends(
        tuple(sorted(ends, key=lambda one: one.t)),
        tuple(sorted(waits, key=lambda one: one.t)),
        bool(keepers),
        _until(study, study.run.container_logs(QUEUE_PROXY)) if keepers else None,
        frozenset(one.owner for one in study.instances if one.container == QUEUE_PROXY and _keeps(study, one)),
        frozenset(keepers),
        {pod: _until(study, [path for whose, path in _logs(study) if whose == pod]) for pod in keepers},
    )


def _other_waits(ends: list[End], known: list[Wait]) -> Iterator[Wait]:
    """Waits of requests that ended badly and that no line of waits has: they never had a place, or queue-proxy was
    killed before it wrote the line.
    """
    seen = {(wait.pod, round(wait.t * 1e3), round(wait.waited_s * 1e3)) for wait in known}
    for end in ends:
        if end.who != QUEUE_PROXY or end.reason == "queue-full" or end.waited_s <= 0:
            continue
        until = end.begun_s + end.waited_s
        t, waited = round(until * 1e3), round(end.waited_s * 1e3)
        near = ((end.pod, t + a, waited + b) for a in (-1, 0, 1) for b in (-1, 0, 1))
        if end.app_s is None or not any(one in seen for one in near):
            yield Wait(until, end.waited_s, end.pod)


def _logs(study: Study) -> Iterator[tuple[str, Path]]:
    """What each queue-proxy printed, with its pod; empty in runs from before each pod had a folder."""
    for path in study.run.container_logs(QUEUE_PROXY):
        yield "" if path.parent == study.run.logs else path.parent.name, path


def _until(study: Study, logs: Iterable[Path]) -> float:
    """Until when queue-proxy's record is whole: its last line in a run that was cut off, else the run's end."""
    if study.ended:
        return study.duration_s
    lines = (facts.get("t") for path in logs for facts in logged(path, '"event"'))
    return max((t - study.origin for t in lines if isinstance(t, int | float)), default=0.0) - UNWRITTEN_S


def _logged(study: Study) -> Iterator[tuple[str, Event | None]]:
    """What queue-proxy's log holds, with its pod; None for the line that says that it keeps such a record."""
    for pod, path in _logs(study):
        for facts in logged(path, *_MARKS):
            kind = _KINDS.get(str(facts.get("event")))
            try:
                if kind is not None:
                    yield pod, typed.make(kind, {**_known(facts), "who": QUEUE_PROXY})
                elif facts.get("recordsEnds") is True:
                    yield pod, None
            except ValueError:
                continue


def _keeps(study: Study, one: Instance) -> bool:
    """Whether an instance's log says that it keeps such a record, and each line about ends is whole."""
    keeps = False
    try:
        for line in read_lines(study.run.container_log(one.pod, one.container, one.attempt)):
            keeps = keeps or b'"recordsEnds"' in line
            if f'"{REQUESTS_ENDED}"'.encode() in line:
                facts = typed.parse_object(line[max(0, line.find(b"{")) :].decode(errors="replace"))
                _ends(typed.make(RequestsEnded, {**_known(facts), "who": QUEUE_PROXY}), study.origin)
    except (OSError, TypeError, ValueError):
        return False
    return keeps


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _number(value: Any) -> float:
    """A number, as it has to be. ValueError, TypeError."""
    number = float(value)
    if not isfinite(number):
        raise ValueError(value)
    return number


def _ends(event: RequestsEnded, origin: float) -> list[End]:
    """The ends of one line. ValueError, TypeError where it is damaged."""
    why = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(event.why))
    period_s = None if event.period_s is None else _number(event.period_s)
    return [
        End(
            t=_number(t) - origin,
            who=ACTIVATOR if event.who == ACTIVATOR else QUEUE_PROXY,
            status=int(event.status),
            reason=_reason(str(event.reason), why),
            why=why if len(why) <= LONGEST_WORDS else f"{why[: LONGEST_WORDS - 1]}…",
            waited_s=_number(waited_s),
            held_s=_number(held_s),
            app_s=None if app_s is None else _number(app_s),
            inside=int(event.inside),
            waiting=int(event.waiting),
            period_s=period_s,
        )
        for t, waited_s, held_s, app_s in event.each
    ]


def _reason(reason: str, why: str) -> str:
    """What a connection's end means, by Go's words for it."""
    if reason not in ("app-broke", "dial-failed"):
        return reason if reason in REASONS else NOT_RECORDED
    if why.endswith(_CLOSED):
        return "app-closed"
    if why.endswith(_RESET):
        return "app-reset"
    if reason == "app-broke":
        return "app-stream-reset" if any(mark in why for mark in _RESET_STREAM) else "app-malformed"
    return "app-refused" if why.endswith("connection refused") else "app-unreachable"
