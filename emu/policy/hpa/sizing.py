"""From a proposal to a size: stabilization, scaling policies, bounds (Kubernetes 1.28,
pkg/controller/podautoscaler/horizontal.go, reconcileAutoscaler). Pure: what was before comes in as a History.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from emu.policy.autoscaling.numbers import INT32_MAX, INT32_MIN, ceil, int32, wrapped
from emu.policy.hpa.replicas import Proposal
from emu.policy.hpa.spec import DOWN_WINDOW_S, UP_WINDOW_S, HpaSpec, ScalingRules, defaulted

_LIMIT_FACTOR, _LIMIT_LEAST = 2.0, 4.0

How = Literal["metrics", "disabled", "above max", "below min", "no metrics"]


@dataclass(frozen=True)
class History:
    """What earlier syncs left behind: (when, how many) each."""

    proposals: tuple[tuple[float, int], ...] = ()
    """Before stabilization."""
    added: tuple[tuple[float, int], ...] = ()
    removed: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class Size:
    """A sync's decision."""

    replicas: int
    history: History
    how: How
    able: str = ""
    """The reason of the condition AbleToScale, where metrics decided."""
    limited: bool = False
    """The condition ScalingLimited."""
    limit: str = ""
    """Its reason."""
    sentence: str = ""


@dataclass(frozen=True)
class _Step:
    """A number on its way to the size, with the reason for it."""

    replicas: int
    reason: str
    said: list[str] = field(default_factory=list)


def sync(
    spec: HpaSpec,
    proposal: Proposal | int,
    current: int,
    history: History,
    now: float,
    down_window_s: float = DOWN_WINDOW_S,
) -> Size:
    """One sync of the controller, `current` being the target's spec.replicas. `down_window_s` is its flag for
    stabilization on the way down. The size's history goes into the next sync.
    """
    spec = defaulted(spec)
    if isinstance(proposal, int):
        proposal = Proposal(proposal, f"{proposal} proposed")
    if not history.proposals:
        history = History(((now, current),), history.added, history.removed)
    if current == 0 and spec.least != 0:
        return Size(0, history, "disabled", sentence="scaling is disabled: the target has no replicas")
    if current > spec.max_replicas:
        return _bounded(spec, spec.max_replicas, current, history, now, "above max")
    if current < spec.least:
        return _bounded(spec, spec.least, current, history, now, "below min")
    if proposal.replicas is None:
        return Size(current, history, "no metrics", sentence=proposal.sentence)
    wanted = max(proposal.replicas, 0)
    if spec.behavior is None or spec.behavior.up is None or spec.behavior.down is None:
        stable, after = _stabilized_before_behavior(wanted, history, now, down_window_s)
        limit = _without_behavior(spec, current, stable.replicas)
    else:
        windows = _windows(spec.behavior.up, spec.behavior.down, down_window_s)
        stable, after = _stabilized(wanted, current, history, now, windows)
        limit = _by_policies(spec, spec.behavior.up, spec.behavior.down, current, stable.replicas, history, now)
    return Size(
        limit.replicas,
        _recorded(spec, after, current, limit.replicas, now),
        "metrics",
        stable.reason,
        limit.replicas != stable.replicas,
        limit.reason,
        "; ".join([proposal.sentence, *stable.said, *limit.said]),
    )


def _bounded(spec: HpaSpec, to: int, current: int, history: History, now: float, how: How) -> Size:
    sentence = f"{current} is {how} {to}: {to} at once, whatever the metrics say"
    return Size(to, _recorded(spec, history, current, to, now), how, sentence=sentence)


def _windows(up: ScalingRules, down: ScalingRules, down_window_s: float) -> tuple[float, float]:
    return (
        UP_WINDOW_S if up.window_s is None else up.window_s,
        down_window_s if down.window_s is None else down.window_s,
    )


def _stabilized_before_behavior(wanted: int, history: History, now: float, window_s: float) -> tuple[_Step, History]:
    """Without `behavior`: the largest proposal of the window; one that is exactly as old counts."""
    recent = tuple(one for one in history.proposals if one[0] >= now - window_s)
    stable = max([wanted, *(number for _, number in recent)])
    after = History((*recent, (now, wanted)), history.added, history.removed)
    if stable == wanted:
        return _Step(wanted, "ReadyForNewScale"), after
    said = f"{stable} was proposed in the last {window_s:g} s, so it is held"
    return _Step(stable, "ScaleDownStabilized", [said]), after


def _stabilized(
    wanted: int, current: int, history: History, now: float, windows: tuple[float, float]
) -> tuple[_Step, History]:
    """With `behavior`: no more than the smallest proposal of one window, no fewer than the largest of the other."""
    up_s, down_s = windows
    most = min([wanted, *(number for at_s, number in history.proposals if at_s > now - up_s)])
    least = max([wanted, *(number for at_s, number in history.proposals if at_s > now - down_s)])
    stable = min(max(current, most), least)
    recent = tuple(one for one in history.proposals if one[0] >= now - max(up_s, down_s))
    after = History((*recent, (now, wanted)), history.added, history.removed)
    if stable == wanted:
        return _Step(wanted, "ReadyForNewScale"), after
    if wanted >= current:
        said = f"no more than {most} was proposed all through the last {up_s:g} s, so {stable}"
        return _Step(stable, "ScaleUpStabilized", [said]), after
    said = f"{least} was proposed in the last {down_s:g} s, so {stable} is held"
    return _Step(stable, "ScaleDownStabilized", [said]), after


def _without_behavior(spec: HpaSpec, current: int, wanted: int) -> _Step:
    """The old rules: at most double, or 4, in a sync."""
    fastest = int32(max(_LIMIT_FACTOR * current, _LIMIT_LEAST))
    if wanted < spec.least:
        return _cut(spec.least, "TooFewReplicas", f"minReplicas {spec.least}")
    if wanted > min(fastest, spec.max_replicas):
        if spec.max_replicas > fastest:
            return _cut(fastest, "ScaleUpLimit", f"no more than {fastest} in one sync")
        return _cut(spec.max_replicas, "TooManyReplicas", f"maxReplicas {spec.max_replicas}")
    return _Step(wanted, "DesiredWithinRange")


def _by_policies(
    spec: HpaSpec, up: ScalingRules, down: ScalingRules, current: int, wanted: int, history: History, now: float
) -> _Step:
    if wanted > current:
        limit = max(_limit(up, current, history, now, _faster), current)
        if wanted > min(limit, spec.max_replicas):
            if spec.max_replicas > limit:
                return _cut(limit, "ScaleUpLimit", _policies_say(up, limit, "more"))
            return _cut(spec.max_replicas, "TooManyReplicas", f"maxReplicas {spec.max_replicas}")
    elif wanted < current:
        limit = min(_limit(down, current, history, now, _slower), current)
        if wanted < max(limit, spec.least):
            if spec.least < limit:
                return _cut(limit, "ScaleDownLimit", _policies_say(down, limit, "fewer"))
            return _cut(spec.least, "TooFewReplicas", f"minReplicas {spec.least}")
    return _Step(wanted, "DesiredWithinRange")


# The controller counts in 32 bits: a policy of the largest number that there is wraps around, and allows nothing.
def _faster(start: int, percent: bool, value: int) -> int:
    return int32(ceil(start * (1 + value / 100))) if percent else wrapped(start + value, 32)


def _slower(start: int, percent: bool, value: int) -> int:
    return int32(start * (1 - value / 100)) if percent else wrapped(start - value, 32)


def _limit(
    rules: ScalingRules, current: int, history: History, now: float, moved: Callable[[int, bool, int], int]
) -> int:
    """How far the policies let it go: each counts from the size at the start of its period."""
    if rules.select == "Disabled":
        return current
    up = moved is _faster
    limits = []
    for policy in rules.policies:
        added, removed = (_changed(events, policy.period_s, now) for events in (history.added, history.removed))
        limits.append(moved(current - added + removed, policy.type == "Percent", policy.value))
    if (rules.select == "Min") == up:
        return min(limits, default=INT32_MAX)
    return max(limits, default=INT32_MIN)


def _changed(events: tuple[tuple[float, int], ...], period_s: float, now: float) -> int:
    return sum(number for at_s, number in events if at_s > now - period_s)


def _recorded(spec: HpaSpec, history: History, before: int, after: int, now: float) -> History:
    """With this change. Without `behavior` nothing is kept."""
    if spec.behavior is None or after == before:
        return history
    if after > before:
        added = _with(history.added, spec.behavior.up, now, after - before)
        return History(history.proposals, added, history.removed)
    removed = _with(history.removed, spec.behavior.down, now, before - after)
    return History(history.proposals, history.added, removed)


def _with(
    events: tuple[tuple[float, int], ...], rules: ScalingRules | None, now: float, number: int
) -> tuple[tuple[float, int], ...]:
    """A change takes the place of one that no policy of its own direction looks back to, as the controller has it:
    a policy of the other direction with a longer period misses that one.
    """
    longest = max((policy.period_s for policy in rules.policies), default=0.0) if rules else 0.0
    old = [index for index, (at_s, _) in enumerate(events) if at_s < now - longest]
    if not old:
        return (*events, (now, number))
    return (*events[: old[-1]], (now, number), *events[old[-1] + 1 :])


def _policies_say(rules: ScalingRules, limit: int, which: str) -> str:
    if rules.select == "Disabled":
        return f"selectPolicy Disabled: no {which}"
    policies = " or ".join(policy.text for policy in rules.policies)
    return f"the policies ({policies}) allow no {which} than {limit}"


def _cut(replicas: int, reason: str, why: str) -> _Step:
    return _Step(replicas, reason, [f"{replicas} by {why}" if why.startswith(("m", "s")) else f"{replicas}: {why}"])
