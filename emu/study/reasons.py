"""Joins what queue-proxy and the activator recorded of requests with what clients saw of them.

Nothing numbers requests on their way (a number of its own would make each request another to queue-proxy, and so
slower): a record belongs to the first request with that outcome that ended after it, and was sent before it began.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest

from emu.messages import APP, QUEUE_PROXY, SANDBOX
from emu.study.ends import ACTIVATOR, BY_APP, CLIENT_LEFT, NOT_RECORDED, End
from emu.study.model.instances import Instance, container_of
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.recorded_ends import UNWRITTEN_S

SLACK_S = 0.005
"""An answer may be noted so long after its client had it."""
LOOK_AHEAD = 64
"""So many requests that ended after a record was made are looked at for the one that it is of."""
NEAR_S = 1.0
"""What broke off together with a container ended so near to its end; an engine may report that late."""
CLOSING_S = 5.0
"""Where no instance followed: so long its connections may take to close."""
MOMENT_S = 0.02
MOMENT_SHARE = 0.01
"""Of the time that a request waited; a slow machine needs longer to see that its client has left."""
SERVER_ERROR = 500
"""A status from here on is the server's failure; queue-proxy and the activator answer no lower one for themselves."""
NO_POD = "no-pod"
DOWN = "down"
"""What became of an app that was away or not ready, for several reasons."""
CONTAINER = "container"
"""What reasons begin with that are of a container which is no queue-proxy."""
Unmatched = dict[tuple[str, int], list[float]]
"""When answers were noted that no request is known of, by pod (or the activator) and status; with an empty pod those
of all.
"""


def give_reasons(study: Study) -> list[Request] | None:
    """The requests, those that went wrong with why, as far as it is known."""
    if study.requests is None:
        return None
    found: dict[int, End] = {}
    groups = _by_pod(study.ends.ends, study.requests)
    # An activator's own answers first: the pod may have given one too, which the client never had. Of those whose
    # client left, the pod's record first: it says where in the pod they were.
    for pod in sorted(groups):
        _join_answers(*groups[pod], found)
    for pod in sorted(groups, reverse=True):
        _join_left(*groups[pod], found)
    matched = set(map(id, found.values()))
    unmatched: Unmatched = defaultdict(list)
    for end in study.ends.ends:
        if id(end) not in matched and end.reason != CLIENT_LEFT:
            for whose in {end.pod, "", *((ACTIVATOR,) if end.who == ACTIVATOR else ())}:
                unmatched[whose, end.status].append(end.t)
    return [_with_reason(study, request, found.get(request.id), unmatched) for request in study.requests]


def _by_pod(ends: Iterable[End], requests: list[Request]) -> dict[str, tuple[list[End], list[Request]]]:
    """What belongs together: each pod's own; with an empty name the activator's, and all whose pod is not known."""
    pods = {one.pod for one in requests}
    of_pod: dict[str, tuple[list[End], list[Request]]] = defaultdict(lambda: ([], []))
    for request in requests:
        for pod in {request.pod, "" if request.through_activator else request.pod}:
            of_pod[pod][1].append(request)
    for end in ends:
        alone = len(pods) == 1 and not end.pod and not (end.who == ACTIVATOR and "" in of_pod)
        of_pod[next(iter(pods)) if alone else end.pod if end.pod in pods else ""][0].append(end)
    return of_pod


def _join_answers(ends: list[End], requests: list[Request], found: dict[int, End]) -> None:
    mine = [one for one in requests if one.done_s is not None]
    answers = [end for end in ends if end.reason != CLIENT_LEFT]
    for status in {end.status for end in answers}:
        _match([end for end in answers if end.status == status], [one for one in mine if _had(one, status)], found)


def _had(request: Request, status: int) -> bool:
    """Whether its client may have had the end that is on record with a status; one below 500 is of an answer that
    broke off, of which no byte may have been sent yet.
    """
    if request.error == "short-body":
        return status > 0
    return request.status == status or (request.error == "closed" and status < SERVER_ERROR)


def _join_left(ends: list[End], requests: list[Request], found: dict[int, End]) -> None:
    given_up = [one for one in requests if one.done_s is not None and one.error in ("timeout", "unanswered")]
    _match([end for end in ends if end.reason == CLIENT_LEFT], given_up, found, early_s=NEAR_S)


def _match(ends: list[End], requests: list[Request], found: dict[int, End], early_s: float = SLACK_S) -> None:
    """Give each record its request. `early_s`: so long before the record was made the client may have seen it."""
    coming = iter(sorted((one for one in requests if one.id not in found), key=lambda one: one.done_s or 0.0))
    window: list[Request] = []
    for end in ends:
        window = [one for one in window if (one.done_s or 0.0) >= end.t - early_s]
        while len(window) < LOOK_AHEAD and (request := next(coming, None)) is not None:
            if (request.done_s or 0.0) >= end.t - early_s:
                window.append(request)
        under_way = [one for one in window if one.sent_s <= end.t]
        if under_way:
            # Clients see the answers in the order in which they were given. How long before its begin here a request
            # was sent says little: it may have waited to be accepted.
            first = next((one for one in under_way if one.sent_s <= end.begun_s + SLACK_S), under_way[0])
            window.remove(first)
            found[first.id] = end


def _with_reason(study: Study, request: Request, end: End | None, unmatched: Unmatched) -> Request:
    if end is not None:
        return replace(request, reason=_left(request, end) if end.reason == CLIENT_LEFT else end.slug, end=end)
    if request.error is not None:
        return replace(request, reason=_of_error(study, request))
    if (request.status or 0) >= SERVER_ERROR:
        return replace(request, reason=BY_APP if _apps_own(study, request, unmatched) else NOT_RECORDED)
    return request


def _apps_own(study: Study, request: Request, unmatched: Unmatched) -> bool:
    """Whether an answer is the app's: there is no queue-proxy, or its record of that time is whole, and each answer
    with this status that is in it has its request.
    """
    if request.container not in ("", QUEUE_PROXY):
        return True
    done, until = request.done_s, study.ends.untils.get(request.pod, study.ends.until_s)
    if done is None or until is None or done > until:
        return False
    for whose in (request.pod, *((ACTIVATOR,) if request.through_activator else ())):
        times = unmatched.get((whose, request.status or 0), [])
        if bisect_left(times, request.sent_s) < bisect_right(times, done + NEAR_S):
            return False
    proxies = _asked(study, request)
    alive = (one for one in proxies if (one.started_s or 0.0) <= done)
    if any(one.owner not in study.ends.kept and not _ended_s(study, one) < request.sent_s for one in alive):
        return False
    ended = (_ended_s(study, one) for one in proxies if not one.asked)
    return not any(done <= end <= done + UNWRITTEN_S for end in ended)


def _left(request: Request, end: End) -> str:
    """Where a request was that its client gave up."""
    if request.first_byte_s is not None:
        return f"{CLIENT_LEFT}-answering"
    # Where all leave at once, those that waited have their place for the moment before they leave too.
    moment_s = max(MOMENT_S, MOMENT_SHARE * end.waited_s)
    in_app = end.app_s is not None and (end.app_s > moment_s or end.app_s >= end.waited_s)
    where = "in-app" if in_app else "frozen" if end.held_s else "waiting"
    return f"{ACTIVATOR}-{CLIENT_LEFT}" if end.who == ACTIVATOR else f"{CLIENT_LEFT}-{where}"


def _asked(study: Study, request: Request) -> list[Instance]:
    """The instances of the container that a request was sent to."""
    name = request.container or QUEUE_PROXY
    return [one for one in study.instances if one.container == name and request.pod in ("", one.pod)]


def _of_error(study: Study, request: Request) -> str:
    """What happened to queue-proxy, or to whatever was asked, as a connection to it broke or could not be made."""
    if request.error == "unanswered":
        return "run-over"
    if request.error == "timeout":
        return CLIENT_LEFT if request.first_byte_s is None else f"{CLIENT_LEFT}-answering"
    if request.done_s is not None and _without_a_pod(study, request.error, request.done_s):
        return NO_POD
    older = not request.pod and (study.scaling is not None or study.services)
    if request.through_activator or older or request.done_s is None:
        return NOT_RECORDED
    instances = [one for one in _asked(study, request) if one.started_s is not None]
    who = QUEUE_PROXY if request.container in ("", QUEUE_PROXY) else CONTAINER
    if request.error == "refused":
        return f"{who}-{_closed_port(study, instances, request.done_s)}"
    ended = _ended_around(study, instances, request.done_s)
    if request.error in ("closed", "reset", "short-body", "unreachable") and ended is not None:
        return f"{who}-{_fate(ended)}"
    # What was switched to another protocol, queue-proxy only passes on: it records no end of it.
    behind = [one for one in study.instances if one.pod == request.pod and one.container.rpartition("/")[2] == APP]
    if request.error == "short-body" and (gone := _ended_around(study, behind, request.done_s)) is not None:
        return f"{APP}-{_fate(gone)}"
    stopping = any(one.stop is not None and one.stop.asked_s <= request.done_s for one in instances[-1:])
    return f"{who}-draining" if stopping else NOT_RECORDED


def _without_a_pod(study: Study, error: str | None, t: float) -> bool:
    """Whether a connection to a scaled service was refused as there was no pod, or all were to end. Where pods have a
    queue-proxy an activator takes it, and this is no reason.
    """
    if error != "refused" or not study.services or any(one.container == QUEUE_PROXY for one in study.instances):
        return False
    pods = [one for one in study.instances if one.container != SANDBOX and one.started_s is not None]
    ends = [one.exited_s if one.stop is None else one.stop.asked_s for one in pods if (one.started_s or 0.0) <= t]
    return all(end is not None and end <= t for end in ends)


def _ended_s(study: Study, one: Instance) -> float:
    """When it ended: as the kernel killed it, or as the engine says."""
    kills: Iterable[float] = (kill.time_s for kill in study.kills if kill.owner == one.owner)
    return next(iter(kills), float("-inf") if one.exited_s is None else one.exited_s)


def _ended_around(study: Study, instances: list[Instance], t: float) -> Instance | None:
    """The instance that ended about then, if one did. A slow machine takes seconds to close a thousand connections of
    a process that was killed; all of it is over when the next instance starts.
    """
    for one, after in zip_longest(instances, instances[1:]):
        ended = _ended_s(study, one)
        over = ended + CLOSING_S if after is None else max(ended + NEAR_S, after.started_s or ended)
        if ended - NEAR_S <= t <= over:
            return one
    return None


def _closed_port(study: Study, instances: list[Instance], t: float) -> str:
    begun = [one for one in instances if (one.started_s or 0.0) <= t]
    if not begun:
        return "not-started"
    last = begun[-1]
    if last.exited_s is not None and min(last.exited_s, _ended_s(study, last)) <= t + NEAR_S:
        later = len(begun) < len(instances) or not last.asked
        return "restarting" if later else "stopped"
    if last.stop is not None and last.stop.asked_s <= t:
        return "draining"
    return "restarting" if last.attempt else "not-listening"


def _fate(one: Instance) -> str:
    if one.reason == "OOMKilled":
        return "oom-killed" if one.oom_ended else "child-oom-killed"
    if one.killed_for is not None:
        return f"killed-for-{one.killed_for}"
    return "stopped" if one.asked or one.stop is not None else "exited"


def fate_of_app(study: Study, reason: str, t: float, pod: str = "") -> str | None:
    """What became of the app of a pod as its connections ended; None where it lived on."""
    if reason not in ("app-closed", "app-reset", "app-stream-reset", "app-refused", "answer-cut"):
        return None
    apps = [
        one
        for one in study.instances
        if container_of(one.container) == APP and pod in ("", one.pod) and one.started_s is not None
    ]
    # One that was asked to stop may refuse connections long before it ends.
    stopping = (one for one in apps if one.stop is not None and one.stop.asked_s <= t <= (one.exited_s or t))
    ended = _ended_around(study, apps, t) or next(stopping, None)
    if ended is not None:
        return _fate(ended)
    ready = any(one.ready_s is not None and one.ready_s <= t <= (one.exited_s or t) for one in apps)
    return None if ready or reason != "app-refused" else "not-ready"
