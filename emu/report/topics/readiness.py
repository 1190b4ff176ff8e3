"""Readiness: whether a pod was READY while requests were sent to it.

emu sends to a pod that fails its readiness probe, so that what it does can be seen. A cluster takes such a pod out of
its Service's endpoints. Where an autoscaler has the pods, only those that are ready get requests here, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from emu.messages import QUEUE_PROXY, SANDBOX
from emu.policy.lifecycle import all_ready
from emu.report.topics.never_ready import cannot_be_made
from emu.report.topics.topic import Figures, Topic
from emu.report.words import capital, listed
from emu.study.model.instances import container_of
from emu.study.model.study import Happening, Study
from emu.units import format_seconds, often

WORTH_S = 1.0
"""A pod that was not READY for so long is mentioned."""
_LATE_S = 0.5
"""A container's end is seen in READY at most so much later."""


@dataclass(frozen=True)
class _Unready:
    """One pod that was not READY while requests were sent to it: its readiness probe failed, or it never was."""

    pod: str
    containers: tuple[str, ...]
    """Those that failed theirs."""
    failures: int
    seconds: float
    never: bool
    """It was not READY before the last request had ended."""
    ready_s: float | None = None
    """When it first was."""


def headline(study: Study, summary: Figures) -> list[str]:
    """A pod that was never ready, and why: on a cluster nothing would have reached it."""
    return [_never(study, one) for one in _unready(study) if one.never][:1]


def sentences(study: Study, summary: Figures) -> list[str]:
    """Each such pod, and each that was READY only for a time."""
    found = [_never(study, one) if one.never else _for_a_time(study, one) for one in _unready(study)]
    return [*(f"{capital(text)}." for text in found), *_down(study)]


def _down(study: Study) -> list[str]:
    """A container that others do without: requests are answered while it is down, which a cluster would not send."""
    found = []
    for pod, begin, end in _asked(study):
        spans = _spans(study, pod, begin, end)
        ended = [
            (one.container, one.exited_s) for one in study.instances if one.pod == pod and one.exited_s is not None
        ]
        spans = [(a, b) for a, b in spans if any(a - _LATE_S <= t <= b for _, t in ended)]
        names = dict.fromkeys(name for name, t in ended if any(a - _LATE_S <= t <= b for a, b in spans))
        asked = [one for one in study.requests or [] if len(study.pods) < 2 or one.pod == pod]
        then = [one for one in asked if any(a <= one.sent_s < b for a, b in spans)]
        number = sum(one.answered and (one.status or 0) < 500 for one in then)
        seconds = sum(b - a for a, b in spans)
        if number > len(then) / 2 and seconds >= WORTH_S:
            called = _called(study, pod)
            were = "request was" if number == 1 else "requests were"
            found.append(
                f"{capital(called)} was not ready for {format_seconds(seconds)} of the load while "
                f"{listed(list(names))} {'was' if len(names) == 1 else 'were'} down or starting again, and "
                f"{number:,} {were} sent to it then and "
                "answered: a cluster sends a pod no requests then, and emu does."
            )
    return found


def _never(study: Study, one: _Unready) -> str:
    refused = cannot_be_made(study, {one.pod}, study.instances)
    if refused is not None:
        why = f", because the container {refused[0]} cannot be made ({refused[1]})"
    elif one.failures:
        why = f" because {_probes(one)} failed {often(one.failures)}"
    else:
        why = _though(study, one.pod)
    name = _called(study, one.pod)
    if one.ready_s is not None:
        return f"{name} was not ready until the load was over{why}, and a cluster would have sent it no request"
    return f"{name} was never ready{why}, and a cluster would have sent it no request"


def _though(study: Study, pod: str) -> str:
    """How long its containers ran, and whether queue-proxy ever got a connection to the app."""
    mine = [one for one in study.instances if one.pod == pod and container_of(one.container) != SANDBOX]
    mine = [one for one in mine if one.attempt == 0 and one.role != "init"]
    begun = [one.started_s for one in mine if one.started_s is not None]
    if len(begun) < len(mine) or not begun:
        return ""
    until = min([study.duration_s, *_ends(study, pod)])
    ran = f" in the {format_seconds(until - max(begun))} that its containers ran"
    asked = [one.reason for one in study.requests or () if one.pod in ("", pod)]
    refused = bool(asked) and all(reason == "app-refused" for reason in asked)
    return f"{ran}, as nothing listened on the app's port that queue-proxy asks" if refused else ran


def _for_a_time(study: Study, one: _Unready) -> str:
    name, seconds = _called(study, one.pod), format_seconds(one.seconds)
    return (
        f"{capital(name)} was not ready for {seconds} of the load because {_probes(one)} failed: a "
        "cluster sends a pod no requests then, and emu does"
    )


def _probes(one: _Unready) -> str:
    several = len(one.containers) > 1
    return f"the readiness {'probes' if several else 'probe'} of {listed(list(one.containers))}"


def _called(study: Study, pod: str) -> str:
    return "the pod" if len(study.pods) < 2 else f"the pod {pod}"


def _asked(study: Study) -> list[tuple[str, float, float]]:
    """Each pod that gets requests whether it is READY or not, and the time of the load."""
    if study.scaling or study.services or not study.requests:
        return []
    begin = min(request.sent_s for request in study.requests)
    end = max(study.duration_s if request.done_s is None else request.done_s for request in study.requests)
    return [(pod, begin, end) for pod in dict.fromkeys(status.pod for status in study.pod_statuses)]


def _unready(study: Study) -> list[_Unready]:
    found = [_of_pod(study, *one) for one in _asked(study)]
    return [one for one in found if one is not None and (one.never or one.seconds >= WORTH_S)]


def _of_pod(study: Study, pod: str, begin: float, end: float) -> _Unready | None:
    failed = [one for one in study.failed_probes if one.pod == pod and one.text.startswith("Readiness")]
    statuses = [one for one in study.pod_statuses if one.pod == pod]
    ready_at = [one.t for one in statuses if _is_ready(one)]
    if not statuses:
        return None
    spans = _spans(study, pod, begin, end)
    exits = [one.exited_s for one in study.instances if one.pod == pod and one.exited_s is not None]
    seconds = sum(
        b - a
        for a, b in spans
        if not any(a - _LATE_S <= t <= b for t in exits) and any(a - _LATE_S <= one.t <= b for one in failed)
    )
    names = tuple(dict.fromkeys(one.subject for one in failed))
    never = not any(t <= end for t in ready_at) and not any(t < end for t in _ends(study, pod))
    refused = cannot_be_made(study, {pod}, study.instances) is not None
    if not failed and not (never and (refused or _unready_proxy(study, pod))):
        return None
    return _Unready(pod, names, len(failed), seconds, never, ready_at[0] if ready_at else None)


def _ends(study: Study, pod: str) -> list[float]:
    """When containers of a pod ended, but for those that are to end before the others start."""
    return [one.exited_s for one in study.instances if one.pod == pod and one.role != "init" and one.exited_s]


def _unready_proxy(study: Study, pod: str) -> bool:
    """Whether its queue-proxy never was ready: any other container without a probe is ready at once on a cluster."""
    proxies = [one for one in study.instances if one.pod == pod and container_of(one.container) == QUEUE_PROXY]
    return bool(proxies) and all(one.ready_s is None for one in proxies)


def _spans(study: Study, pod: str, begin: float, end: float) -> list[tuple[float, float]]:
    """The stretches of this time in which it was not READY."""
    statuses = [one for one in study.pod_statuses if one.pod == pod]
    spans: list[tuple[float, float]] = []
    for status, following in zip(statuses, [*statuses[1:], None], strict=True):
        until = end if following is None else min(end, following.t)
        if not _is_ready(status) and until > begin:
            follows = bool(spans) and spans[-1][1] == status.t
            since = spans.pop()[0] if follows else max(begin, status.t)
            spans.append((since, until))
    return spans


def _is_ready(status: Happening) -> bool:
    return all_ready(str(status.detail["ready"]))


READINESS = Topic("Readiness", headline=headline, sentences=sentences)
