"""Why requests were not answered well, in words: for the verdict, the journal and the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from emu.messages import APP, QUEUE_PROXY
from emu.study.ends import ACTIVATOR, BY_APP, CLIENT_LEFT, NOT_RECORDED
from emu.study.model.instances import container_of
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.reasons import CONTAINER, DOWN, NO_POD
from emu.units import format_seconds

LEAST_MS = 1.0
"""A wait of less is none."""
ASKED_MS = 250.0
"""A connection on this machine is refused in less: one that took longer had been made, and broke."""
ALMOST = 0.95
"""This share of a timer is all of it: its clock begins a moment before the wait."""
MOST_SENTENCES = 6
_SELF_SAID = {"502", "503", "504"}
_ERRORS = {
    "refused": "refused a connection",
    "reset": "reset",
    "closed": "closed without a byte of answer",
    "short-body": "cut off midway",
    "timeout": "given up by the client",
    "unanswered": "still unanswered at the run's end",
}
_FATES = {
    "oom-killed": "as {server} was OOM-killed",
    "child-oom-killed": "as a child process of {server} was OOM-killed",
    "killed-for-liveness": "as {server} was killed for its failing liveness probe",
    "killed-for-startup": "as {server} was killed for its failing startup probe",
    "exited": "as {server} ended",
    "stopped": "as {server} was stopped",
    "draining": "while {server} was stopping",
    "not-started": "before {server} had started",
    "restarting": "while {server} was down or starting again",
    "not-listening": "while {server} ran and did not listen",
}
"""What happened to the container that was asked."""
_ANSWERING = f"{CLIENT_LEFT}-answering"
_IN_APP = f"{CLIENT_LEFT}-in-app"
"""queue-proxy had asked the app: that may have taken it up, be slow to accept, or have answered by now."""
_PROXY = {
    **{f"{who}-{fate}": words for who in (QUEUE_PROXY, CONTAINER) for fate, words in _FATES.items()},
    **{f"{APP}-{fate}": words.replace("{server}", "{app}") for fate, words in _FATES.items()},
    "run-over": "",
    NO_POD: "while there was no pod",
    _IN_APP: "while waiting for the answer of {app}",
    _ANSWERING: "while the answer was being sent",
    f"{CLIENT_LEFT}-waiting": "while waiting for a place in {server}",
    f"{CLIENT_LEFT}-frozen": "while waiting for {app} to be resumed",
    f"{ACTIVATOR}-{CLIENT_LEFT}": "while in the activator",
}
"""What goes with an error that a client saw. `server` is what was asked, `app` what is behind a queue-proxy."""
_APP = {
    "oom-killed": ", as the app was OOM-killed",
    "child-oom-killed": ", as a child process of the app was OOM-killed",
    "killed-for-liveness": ", as the app was killed for its failing liveness probe",
    "killed-for-startup": ", as the app was killed for its failing startup probe",
    "stopped": ", as the app was stopped",
    "exited": ", as the app ended",
    "not-ready": ", as the app was not ready",
    DOWN: ", while the app was down or not ready",
}

_SAID_BY_NONE = (
    "-exited",
    "-stopped",
    "-draining",
    "-liveness",
    "-startup",
    "-not-started",
    "-not-listening",
    NO_POD,
)
"""How the reasons end that a headline of something else has not; that of an OOM kill says what it was."""
_IN_BRIEF = {
    "queue-full": "{who}'s queue was full",
    "response-timeout": "{who}'s response timeout",
    "response-start-timeout": "{who}'s response start timeout",
    "idle-timeout": "{who}'s idle timeout",
    "app-closed": "{there} closed the connection",
    "app-reset": "{there} reset the connection",
    "app-stream-reset": "{there} reset the stream",
    "app-refused": "{there} refused the connection",
    "app-unreachable": "{there} could not be reached",
    "app-malformed": "what {there} sent is not HTTP",
    "answer-cut": "{there} broke off its answer",
    "not-resumed": "{there} was not resumed in time",
    BY_APP: "by {there} itself",
    _IN_APP: "while waiting for the answer of {there}",
    f"{CLIENT_LEFT}-waiting": "while waiting for a place in {who}",
    f"{CLIENT_LEFT}-frozen": "while waiting for {there} to be resumed",
    CLIENT_LEFT: "while in the activator",
}
"""For headlines. `who` is what ended the request, `there` what is behind it; of the activator's own reasons without
its name.
"""

_BRIEF_FATES = {reason: words for reason, words in _PROXY.items() if reason.endswith(_SAID_BY_NONE)}
"""The same of what became of a container."""


def brief(study: Study, alike: Sequence[Request]) -> str:
    """Why most of these, which ended alike, did; empty where that is not known, says nothing more, or is true of no
    more than half of them.
    """
    ((reason, number),) = Counter(one.reason for one in alike).most_common(1) or [(None, 0)]
    if number * 2 <= len(alike):
        return ""
    mine = (reason or "").startswith(f"{ACTIVATOR}-")
    proxied = any(container_of(one.container) == QUEUE_PROXY for one in study.instances)
    known = None if reason == CLIENT_LEFT else _IN_BRIEF.get((reason or "").removeprefix(f"{ACTIVATOR}-"))
    known = _BRIEF_FATES.get(reason or "", known)
    if known is None or (reason == BY_APP and not proxied):
        return ""
    who, there = ("the activator", QUEUE_PROXY) if mine else (QUEUE_PROXY, "the app")
    names = {one.container or QUEUE_PROXY for one in alike if one.reason == reason}
    server = names.pop() if len(names) == 1 else "what was asked"
    ends = [one.end for one in alike if one.reason == reason and one.end is not None]
    timed_out = (reason or "").endswith("-timeout")
    never = f", before {there} had seen {'it' if number == 1 else 'them'}"
    unseen = never if timed_out and ends and all(end.app_s is None for end in ends) else ""
    if alike[0].error == "refused":  # its port is closed when that is over
        known = known.replace("as ", "after ", 1) if known.startswith("as ") else known
    if reason == _IN_APP and sum(end.waited_s for end in ends) > sum(end.app_s or 0.0 for end in ends):
        known = "after a long wait for a place in {there}"
    text = known.format(who=who, there=there, app=there, server=server)
    return f"{'' if number == len(alike) else 'mostly '}{text}{unseen}"


def reason_words(burst: dict[str, Any]) -> str:
    """`answered 503 by queue-proxy at once: …`, of one of `requests.failures` or of their kinds."""
    name, reason = str(burst["outcome"]), str(burst["reason"])
    if burst["by"] is None or reason in _PROXY:
        return f"{_seen(name, reason, *_called(burst))}{_waited_before(reason, burst)}"
    after = reason.removeprefix(f"{ACTIVATOR}-")
    here, there = ("the activator", QUEUE_PROXY) if burst["by"] == ACTIVATOR else _called(burst)
    took = _took(burst)
    if name == "short-body" or name not in _SELF_SAID:
        said = f"{_ERRORS.get(name, f'answered {name}, cut short by {here}')}"
    else:
        at_once = " at once" if after == "queue-full" else ""
        said = f"answered {name} by {here}{at_once}"
    return f"{said}: {_cause(after, burst, there, took)}{_APP.get(burst['app'] or '', '')}"


def _waited_before(reason: str, burst: dict[str, Any]) -> str:
    """How long they had waited for a place, where that was longer than they had it."""
    if reason != _IN_APP or (burst["waited_ms"]["p50"] or 0.0) <= (burst["app_ms"]["p50"] or 0.0):
        return ""
    return f", after a wait of {_range(burst['waited_ms'])} for a place in it"


def _called(burst: dict[str, Any]) -> tuple[str, str]:
    """The container that took the request, and the app behind it: with their pod where there are several."""
    server = str(burst.get("container") or QUEUE_PROXY)
    pod, _, container = server.rpartition("/")
    if container != QUEUE_PROXY:
        return server, server
    return server, f"{pod}/app" if pod else "the app"


def _seen(name: str, reason: str, server: str, app: str) -> str:
    if name in _ERRORS:
        where = _PROXY.get(reason, "").format(server=server, app=app)
        if name == "refused" and where.startswith("as "):  # its port is closed when that is over
            where = f"after {where.removeprefix('as ')}"
        if name == "unanswered" and reason == _ANSWERING:
            return "still being answered at the run's end"
        if name == "unanswered" and reason == _IN_APP:
            return f"still unanswered by {app} at the run's end"
        if name == "unanswered" and where.startswith("while "):
            return f"still unanswered {where.removeprefix('while ')} at the run's end"
        return f"{_ERRORS[name]} {where}".rstrip()
    if reason == BY_APP:
        return f"answered {name} by {app} itself"
    return f"answered {name}; reason not recorded" if reason == NOT_RECORDED else f"answered {name}: {reason}"


def _cause(reason: str, burst: dict[str, Any], there: str, took: str) -> str:
    why = f" ({burst['why']})" if burst["why"] else ""
    match reason:
        case "queue-full":
            return f"its queue was full ({burst['inside']:,} in {there}, {burst['waiting']:,} waiting)"
        case "app-closed":
            return f"{there} closed the connection without a whole answer{why}{took}"
        case "app-reset":
            return f"{there} reset the connection{why}{took}"
        case "app-stream-reset":
            did = "went away before it read the request" if "GOAWAY" in burst["why"] else "reset the request's stream"
            return f"{there} {did}{why}{took}"
        case "app-malformed":
            return f"what {there} sent is not an HTTP answer{why}{took}"
        case "app-refused":
            return f"{there} refused the connection{why}{_asked_before(burst)}"
        case "app-unreachable":
            return f"no connection to {there} could be made{why}"
        case "answer-cut":
            return f"{there} broke off in the middle of its answer{why}{took}"
        case "not-resumed":
            return f"the app was frozen and was not resumed in time{why}"
        case _ if reason in _COUNTED:
            return _timer(reason, burst, there)
    return f"{reason.replace('-', ' ')}{why}"


def _asked_before(burst: dict[str, Any]) -> str:
    """How long a request had been with the app before its connection broke and it was asked again, in vain."""
    most_ms = burst["app_ms"]["max"] or 0.0
    if most_ms < ASKED_MS:
        return ""
    return f", {'' if burst['count'] == 1 else 'up to '}{format_seconds(most_ms / 1e3)} after it was first asked"


_COUNTED = {
    "response-timeout": "the response timeout of {0} ran out, counted from the request's arrival in {1}",
    "response-start-timeout": "no byte of an answer within the response start timeout of {0}, counted from the "
    "request's arrival in {1}",
    "idle-timeout": "the idle timeout of {0} ran out, counted from {2}",
    "websocket": "the response start timeout of {0} ran out, counted from the request's arrival in {1}: what goes "
    "over a websocket does not end it",
}
_IDLE_SINCE = {"short-body": "the last byte of the answer", "504": "the request's arrival in {}"}
"""The idle timer begins again with each byte: where an answer had begun, and where none had."""
_IDLE = "the last byte of the answer, or from the request's arrival in {} where there was none"


def _timer(reason: str, burst: dict[str, Any], there: str) -> str:
    period = "an unknown length" if burst["period_s"] is None else format_seconds(burst["period_s"])
    by_activator = burst["by"] == ACTIVATOR
    here = "the activator" if by_activator else QUEUE_PROXY
    begun = "short-body" if str(burst["outcome"]).isdigit() and burst["outcome"] not in _SELF_SAID else ""
    since = _IDLE_SINCE.get(begun or str(burst["outcome"]), _IDLE).format(here)
    has_begun = begun == "short-body" or str(burst["outcome"]) == "short-body"
    if has_begun and reason == "response-start-timeout":  # it goes on for a websocket alone
        reason = "websocket"
    text = _COUNTED[reason].format(period, here, since)
    if has_begun and reason == "response-timeout":
        text += ", and the answer, which had begun, was not over"
    waited, held, never = burst["waited_ms"], burst["held_ms"], int(burst["never_in"])
    place = "a pod or a place in it" if by_activator else "a place"
    whats = [(waited, place), (held, "the app to be resumed")]
    some = [(ms, what) for ms, what in whats if (ms["max"] or 0.0) >= LEAST_MS]
    if never == burst["count"] and len(some) == 1 and _is_all(some[0][0], burst["period_s"]):
        return f"{text}, all of it waiting for {some[0][1]}"
    said = [f"{_range(ms)} waiting for {what}" for ms, what in some]
    text += (
        f"; of that {' and '.join(said)}"
        if said
        else ""
        if never or (has_begun and reason != "idle-timeout")
        else f", all of it in {there}"
    )
    if not never:
        return text
    return f"{text}; {'it' if burst['count'] == 1 else f'{never:,} of them'} never got to {there}"


def _is_all(ms: dict[str, float], period_s: float | None) -> bool:
    """Each waited as long as the timer runs."""
    return period_s is None or ms["min"] >= ALMOST * period_s * 1e3


def _range(ms: dict[str, float]) -> str:
    """`1.3 s`, or `1.3 s to 6.0 s`: true of each."""
    least, most = format_seconds(ms["min"] / 1e3), format_seconds(ms["max"] / 1e3)
    if least == most:
        return most
    return f"up to {most}" if ms["min"] < LEAST_MS else f"{least} to {most}"


def _took(burst: dict[str, Any]) -> str:
    return "" if burst["app_ms"]["p50"] is None else f", {_half_and_most(burst['app_ms'])} after it was asked"


def _half_and_most(ms: dict[str, float]) -> str:
    """`3.0 s`, or `3.0 s (median; at most 4.0 s)`; `up to 4.0 s` where it was next to nothing for most."""
    half, most = format_seconds(ms["p50"] / 1e3), format_seconds(ms["max"] / 1e3)
    if ms["p50"] < ms["max"] / 100:
        return f"up to {most}"
    return half if half == most else f"{half} (median; at most {most})"


def in_words(kinds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`requests.failures` or their kinds, each with its `words`; those that read the same are one."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for kind in kinds:
        words = reason_words(kind)
        known = found.setdefault((str(kind["outcome"]), words), {**kind, "words": words, "count": 0})
        known["count"] += int(kind["count"])
        known["first_s"] = min(known["first_s"], kind["first_s"])
        known["last_s"] = max(known["last_s"], kind["last_s"])
    return sorted(found.values(), key=lambda one: -int(one["count"]))


def reasons_by_outcome(requests: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    """Of each status or error, how many ended for which reason, in words; the most frequent reasons alone. What the
    error itself says, or nothing recorded, is left out.
    """
    kinds = requests.get("failure_kinds") or []
    often = Counter(str(kind["outcome"]) for kind in kinds)
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for kind in in_words([one for one in kinds if not _says_nothing(one, often)])[:MOST_SENTENCES]:
        found[str(kind["outcome"])].append((int(kind["count"]), kind["words"]))
    return found


def _says_nothing(kind: dict[str, Any], often: Counter[str]) -> bool:
    """Its reason adds nothing to the status or error."""
    if kind["by"] is not None:
        return False
    alone = kind["reason"] == BY_APP and often[str(kind["outcome"])] == 1
    return alone or kind["reason"] in (NOT_RECORDED, "run-over", CLIENT_LEFT)


def wait_sentences(summary: dict[str, Any]) -> list[str]:
    """How many requests waited for a place in the app, and how long."""
    return _waits(summary["requests"].get("waited"))


def _waits(waited: dict[str, Any] | None) -> list[str]:
    if not waited or not waited["count"]:
        return []
    number, times = int(waited["count"]), waited["ms"]
    most = format_seconds(times["max"] / 1e3)
    if number == 1:
        return [f"1 request waited {most} for a place in the app."]
    half = format_seconds(times["p50"] / 1e3)
    long = f"half of them at most {half}, the longest {most}" if half != most else f"median and longest {most}"
    return [f"{number:,} requests waited for a place in the app ({long}), {waited['most']:,} of them at once."]
