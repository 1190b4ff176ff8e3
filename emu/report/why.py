"""Why a service had as many pods as it had: its autoscaler's decisions, or the one in force at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from emu.policy.routing import in_words
from emu.record.events import ScaleDecided
from emu.report import why_hpa
from emu.report.words import count, in_columns, metric_name, time_scale_words
from emu.study.model.services import Rollout, Service
from emu.study.model.study import Happening

_NAME_WIDTH = 10
_NEVER_LEAVES = -(2**31)
"""What is left for a burst where no number of pods is enough for the activator to leave."""


def heading(service: Service, time_scale: float = 1.0) -> str:
    """Whose decisions they are, and what they went by."""
    faster = time_scale_words(time_scale)
    return _heading(service) + (f" · {faster}" if faster else "")


def _heading(service: Service) -> str:
    if service.scaled_by in why_hpa.CLASSES:
        return why_hpa.heading(service)
    made = service.made
    if not made:
        return f"{service.name} ({service.revision}): no decision came with a metric"
    return f"{service.name} ({service.revision}): {metric_name(made[-1].metric)}, {made[-1].target:g} in a pod"


def decision_lines(service: Service) -> list[str]:
    """A line for each decision, and for each time that a pod's readiness or time changed something."""
    if service.scaled_by in why_hpa.CLASSES:
        return in_columns([why_hpa.HEADS, *map(why_hpa.row, service.decisions)])
    rows = [("AT", "PODS", "READY", "PANIC", "PATH", "WHY")]
    rows += [
        (
            f"{one.t:.3f} s",
            str(one.pods) if one.before == one.pods else f"{one.before} to {one.pods}",
            str(one.ready),
            "yes" if panics else "-",
            _path(one),
            one.why or "-",
        )
        for one, panics in zip(service.decisions, _panicking(service.decisions), strict=True)
    ]
    return in_columns(rows)


def _panicking(decisions: Iterable[ScaleDecided]) -> Iterator[bool]:
    """Of each. What came of pods or time alone says nothing of a panic: that of the decision before it continues."""
    panics = False
    for one in decisions:
        panics = one.panicking if one.metric else panics
        yield panics


def _last_made(service: Service, one: ScaleDecided) -> ScaleDecided | None:
    """The last decision by a metric until then."""
    return next((made for made in reversed(service.made) if made.t <= one.t), None)


def _path(one: ScaleDecided) -> str:
    return "activator" if one.mode == "Proxy" else "pods"


def decision_at(service: Service, t: float) -> ScaleDecided | None:
    """The last one until then; None where there was none yet."""
    number = bisect_right([one.t for one in service.decisions], t)
    return service.decisions[number - 1] if number else None


def _shown(value: float | None) -> str:
    """Without the sign of a zero that rounding left."""
    return f"{(value or 0.0) + 0.0:g}"


def lines_at(service: Service, t: float, *, several: bool = False) -> list[str]:
    """The state at a time, and what the decision in force went by. `several`: its service has other revisions."""
    called = service.title if several else service.name
    one = decision_at(service, t)
    if one is None:
        return [f"at {t:g} s nothing had been decided for {called} yet"]
    states = service.states_at(t)
    there = ", ".join(f"{number} {state}" for state, number in states.items() if number) or "none"
    lines = [
        f"at {t:g} s {called} was to have {count(one.pods, 'pod')}; there were: {there}",
        f"decided at {one.t:.3f} s: {one.why}",
    ]
    return lines + [f"  {name.ljust(_NAME_WIDTH)}  {text}" for name, text in _inputs(service, one, t)]


def _inputs(service: Service, one: ScaleDecided, t: float) -> Iterator[tuple[str, str]]:
    last = _last_made(service, one)
    if service.scaled_by in why_hpa.CLASSES:
        if last is not None:
            yield from why_hpa.inputs(service, last)
        yield "ready", f"{count(one.ready, 'pod')} when it was decided"
        return
    if last is not None:
        metric = metric_name(last.metric)
        since = "" if last is one else f" (decided at {last.t:.3f} s)"
        yield (
            "metric",
            f"{metric}: {_shown(last.stable)} over the stable window, "
            f"{_shown(last.panic)} over the panic window{since}",
        )
        yield "target", f"{last.target:g} in a pod"
        yield "wanted", f"{last.stable_pods:g} by the stable window, {last.panic_pods:g} by the panic window"
        yield "rates", f"{last.least:g} to {last.most:g} allowed"
        yield "before", f"{last.desired} before min-scale and max-scale"
        yield "panic", "no" if last.panic_until is None else f"until {last.panic_until:.3f} s"
        left = last.excess_burst_capacity
        stays = left is not None and left <= _NEVER_LEAVES
        yield "burst", "the activator never leaves the path" if stays else f"{left} left for a burst"
    yield "ready", f"{count(one.ready, 'pod')} when it was decided"
    number = f"; Knative would have {count(one.activators, 'activator')}" if one.activators >= 0 else ""
    yield "path", f"through the {_path(one)}{number}"
    yield "condition", one.active or "-"
    waiting = sum(wait.since_s <= t < wait.until_s for wait in service.waits)
    yield "waiting", f"{count(waiting, 'request')} in the activator"


def rollout_lines(rollouts: Sequence[Rollout]) -> list[str]:
    """How traffic of one service moved: a line for each time that it was asked for, and for each step."""
    rows = [("AT", "TRAFFIC", "WHY")]
    for one in rollouts:
        waits = f"asked for; waits for {', '.join(one.waits_for)} to be ready" if one.waits_for else "asked for"
        rows.append((f"{one.asked_s:.3f} s", in_words(one.traffic), waits))
        rows += [(f"{step.t:.3f} s", in_words(step.traffic), step.why) for step in one.steps]
        if one.moved_s is not None and not one.steps:
            rows.append((f"{one.moved_s:.3f} s", in_words(one.traffic), "all at once"))
    return [f"route of {rollouts[0].service}", *in_columns(rows)]


def preemption_lines(preemptions: Sequence[Happening]) -> list[str]:
    """Which pods the scheduler removed, and for which."""
    rows = [("AT", "REMOVED", "PRIORITY", "FOR", "ITS PRIORITY")]
    rows += [
        (f"{one.t:.3f} s", one.pod, str(one.detail["priority"]), one.detail["by"], str(one.detail["by_priority"]))
        for one in preemptions
    ]
    return ["scheduler: pods that were preempted", *in_columns(rows)]


def as_data(service: Service, t: float | None = None) -> Iterator[dict[str, Any]]:
    """The decisions, or the one in force then, for another program: the event's own names, on the run's clock."""
    chosen = None if t is None else decision_at(service, t)
    for one, panics in zip(service.decisions, _panicking(service.decisions), strict=True):
        if t is None or one is chosen:
            yield {"service": service.name, **asdict(one), "panicking": panics}
