"""Why requests were not answered well, in words: for the verdict, the journal and the report."""

from __future__ import annotations

from typing import Any

from emu.report.ends import ACTIVATOR, BY_APP, CLIENT_LEFT, NOT_RECORDED
from emu.report.words import count
from emu.units import format_seconds

AT_ONCE_MS = 100.0
MOST_SENTENCES = 6
_SELF_SAID = {"502", "503", "504"}
_ERRORS = {
    "refused": "refused a connection",
    "reset": "reset",
    "closed": "closed without a byte of answer",
    "short-body": "cut off in the middle of the answer",
    "timeout": "given up by the client",
    "unanswered": "not answered before the run ended",
}
_PROXY = {
    "queue-proxy-oom-killed": "as queue-proxy was OOM-killed",
    "queue-proxy-killed-for-liveness": "as queue-proxy was killed for its failing liveness probe",
    "queue-proxy-killed-for-startup": "as queue-proxy was killed for its failing startup probe",
    "queue-proxy-exited": "as queue-proxy ended",
    "queue-proxy-stopped": "as queue-proxy was stopped",
    "queue-proxy-draining": "while queue-proxy was stopping",
    "queue-proxy-not-started": "before queue-proxy had started",
    "queue-proxy-restarting": "while queue-proxy was down or starting again",
    "queue-proxy-not-listening": "while queue-proxy ran and did not listen",
    "run-over": "when the run ended",
    f"{CLIENT_LEFT}-in-app": "while it was in the app",
    f"{CLIENT_LEFT}-waiting": "while it waited for a place in queue-proxy",
    f"{CLIENT_LEFT}-frozen": "while it waited for the app to be resumed",
    f"{ACTIVATOR}-{CLIENT_LEFT}": "while it was in the activator",
}
"""What goes with an error that a client saw."""
_APP = {
    "oom-killed": ", as the app was OOM-killed",
    "killed-for-liveness": ", as the app was killed for its failing liveness probe",
    "killed-for-startup": ", as the app was killed for its failing startup probe",
    "stopped": ", as the app was stopped",
    "exited": ", as the app ended",
    "not-ready": ", as the app was not ready",
}


def reason_words(burst: dict[str, Any]) -> str:
    """`answered 503 by queue-proxy at once: …`, of one of `requests.failures` or of their kinds."""
    name, reason = str(burst["outcome"]), str(burst["reason"])
    if burst["by"] is None or reason in _PROXY:
        return _seen(name, reason)
    after = reason.removeprefix(f"{ACTIVATOR}-")
    here, there = ("the activator", "queue-proxy") if burst["by"] == ACTIVATOR else ("queue-proxy", "the app")
    took = _took(burst)
    if name == "short-body" or name not in _SELF_SAID:
        said = f"{_ERRORS.get(name, f'answered {name}, cut short by {here}')}"
    else:
        at_once = " at once" if after == "queue-full" else ""
        said = f"answered {name} by {here}{at_once}"
    return f"{said}: {_cause(after, burst, there, took)}{_APP.get(burst['app'] or '', '')}"


def _seen(name: str, reason: str) -> str:
    if name in _ERRORS:
        return f"{_ERRORS[name]} {_PROXY[reason]}" if reason in _PROXY else _ERRORS[name]
    if reason == BY_APP:
        return f"answered {name} by the app itself"
    return f"answered {name}; why is not on record" if reason == NOT_RECORDED else f"answered {name}: {reason}"


def _cause(reason: str, burst: dict[str, Any], there: str, took: str) -> str:
    why = f" ({burst['why']})" if burst["why"] else ""
    match reason:
        case "queue-full":
            return f"its queue was full ({burst['inside']:,} in {there}, {burst['waiting']:,} waiting)"
        case "app-closed":
            return f"{there} closed the connection without a whole answer{why}{took}"
        case "app-reset":
            return f"{there} reset the connection{why}{took}"
        case "app-malformed":
            return f"what {there} said is no HTTP answer{why}{took}"
        case "app-refused":
            return f"{there} refused the connection{why}"
        case "app-unreachable":
            return f"no connection to {there} could be made{why}"
        case "answer-cut":
            return f"{there} broke off in the middle of its answer{why}{took}"
        case "not-resumed":
            return f"the app was frozen and was not resumed in time{why}"
        case _ if reason in _COUNTED:
            return _timer(reason, burst, there)
    return f"{reason.replace('-', ' ')}{why}"


_COUNTED = {
    "response-timeout": "the response timeout of {0} ran out, counted from the request's arrival in {1}",
    "response-start-timeout": "no byte of an answer within the response start timeout of {0}, counted from the "
    "request's arrival in {1}",
    "idle-timeout": "the idle timeout of {0} ran out, counted from the last byte of the answer, or from the "
    "request's arrival in {1} where there was none",
}


def _timer(reason: str, burst: dict[str, Any], there: str) -> str:
    period = "an unknown length" if burst["period_s"] is None else format_seconds(burst["period_s"])
    by_activator = burst["by"] == ACTIVATOR
    text = _COUNTED[reason].format(period, "the activator" if by_activator else "queue-proxy")
    waited, held = burst["waited_ms"], burst["held_ms"]
    if burst["app_ms"]["max"] is None:
        place = "a pod or a place in it" if by_activator else "a place"
        what = "the app to be resumed" if held["max"] else place
        return f"{text}, all of it waiting for {what}"
    parts = [
        (waited, f"waiting for {'a pod' if by_activator else 'a place'}"),
        (held, "waiting for the app to be resumed"),
    ]
    said = [f"{_half_and_most(ms)} {what}" for ms, what in parts if (ms["max"] or 0.0) >= 1.0]
    return f"{text}; of that {' and '.join(said)}" if said else f"{text}, all of it in {there}"


def _took(burst: dict[str, Any]) -> str:
    return "" if burst["app_ms"]["p50"] is None else f", {_half_and_most(burst['app_ms'])} after it was asked"


def _half_and_most(ms: dict[str, float]) -> str:
    """`3.0 s`, or `3.0 s (median; at most 4.0 s)`; `up to 4.0 s` where it was next to nothing for most."""
    half, most = format_seconds(ms["p50"] / 1e3), format_seconds(ms["max"] / 1e3)
    if ms["p50"] < ms["max"] / 100:
        return f"up to {most}"
    return half if half == most else f"{half} (median; at most {most})"


def reason_sentences(summary: dict[str, Any]) -> list[str]:
    """Why requests were not answered well, the most frequent reasons first; and how long others waited."""
    requests = summary["requests"]
    kinds = [one for one in requests.get("failure_kinds") or [] if one["reason"] != NOT_RECORDED]
    kinds = [one for one in kinds if not _says_itself(one)]
    found = [_sentence(one) for one in kinds[:MOST_SENTENCES]]
    left = sum(int(one["count"]) for one in kinds[MOST_SENTENCES:])
    if left:
        found.append(f"{count(left, 'more request')} ended for {count(len(kinds) - MOST_SENTENCES, 'other reason')}.")
    return [*found, *_waits(requests.get("waited"))]


def _says_itself(kind: dict[str, Any]) -> bool:
    """What the error alone says already."""
    return kind["reason"] in ("run-over", CLIENT_LEFT, BY_APP) and kind["by"] is None


def _sentence(kind: dict[str, Any]) -> str:
    was = "was" if kind["count"] == 1 else "were"
    return f"{kind['count']:,} {was} {reason_words(kind)}."


def _waits(waited: dict[str, Any] | None) -> list[str]:
    if not waited or not waited["count"]:
        return []
    number, times = int(waited["count"]), waited["ms"]
    most = format_seconds(times["max"] / 1e3)
    if number == 1:
        return [f"1 request waited {most} for a place in the app."]
    half = format_seconds(times["p50"] / 1e3)
    long = f"half of them at most {half}, the longest {most}" if half != most else most
    return [f"{number:,} requests waited for a place in the app ({long}), {waited['most']:,} of them at once."]
