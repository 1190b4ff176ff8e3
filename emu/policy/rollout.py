"""Knative's gradual rollout: how a new latest revision takes its traffic over, a step at a time. Pure.

Source: Knative's pkg/reconciler/route/traffic/rollout.go. Only a target with `latestRevision: true` is rolled out;
one that names its revision moves at once. A rollout begins with one percent; as soon as the ingress has that, the
length of that step decides the others'. All times are whole nanoseconds of the cluster's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from emu.policy.golang import SECOND
from emu.policy.routing import Share, Traffic, named


class Part(NamedTuple):
    """What one revision has of a target's percent."""

    revision: str
    percent: int


@dataclass(frozen=True)
class Target:
    """A target with `latestRevision: true`: its revisions from the oldest to the newest."""

    percent: int
    parts: tuple[Part, ...]
    """More than one while it is rolled out."""
    started: int = 0
    """When the first percent moved; 0 if no rollout is under way."""
    next: int = 0
    """When the next step is due; 0 until the ingress has the first percent."""
    pause: int = 0
    """From one step to the next."""
    size: int = 0
    """Percent that move in one step."""

    @property
    def done(self) -> bool:
        """There is nothing left to move."""
        return len(self.parts) < 2


Rollout = Mapping[str, Target]
"""By tag; the empty one is the service's own Host."""


def advance(traffic: Traffic, before: Rollout, now: int, duration_s: float) -> dict[str, Target]:
    """The split in force now, after the one that the ingress has. Without a duration all moves at once."""
    goal = goal_of(traffic)
    return step(goal, observe_ready(before, now, duration_s), now) if before and duration_s > 0 else goal


def goal_of(traffic: Iterable[Share]) -> dict[str, Target]:
    """Where the traffic that a route asks for leads in the end."""
    goal: dict[str, Target] = {}
    shares = tuple(traffic)
    for tag in ("", *(one.tag for one in shares if one.tag)):
        for one in named(shares, tag):
            if one.latest and one.percent:
                goal[tag] = Target(one.percent, (Part(one.revision, one.percent),))
    return goal


def observe_ready(rollout: Rollout, now: int, duration_s: float) -> dict[str, Target]:
    """The ingress has the first percent of a rollout: this decides how long its steps are and how much each moves."""
    return {
        tag: _planned(one, now, duration_s) if not one.pause and one.started else one for tag, one in rollout.items()
    }


def _planned(target: Target, now: int, duration_s: float) -> Target:
    least_s = max(1.0, float(math.ceil((now - target.started) / SECOND)))
    left_s = max(1.0, duration_s - least_s)
    remaining = float(target.percent - 1)
    steps = min(max(1.0, left_s / least_s), remaining)
    pause = left_s / steps * SECOND
    return replace(target, pause=int(pause), size=math.floor(remaining / steps + 0.5), next=int(now + pause))


def step(goal: Rollout, before: Rollout, now: int) -> dict[str, Target]:
    """The split to put in force now, from the one before and the one that the route asks for."""
    return {
        tag: _stepped(one, before[tag], now) if tag in before and one.percent > 1 else one
        for tag, one in goal.items()
    }


def _stepped(goal: Target, before: Target, now: int) -> Target:
    parts = _adjusted(goal.percent, before)
    newest = goal.parts[-1].revision
    if newest != parts[-1].revision:
        return replace(goal, parts=(*_less_one(parts), Part(newest, 1)), started=now)
    if len(parts) < 2:
        return goal
    going = replace(before, percent=goal.percent, parts=parts)
    return going if not going.size or now < going.next else _moved(going, now)


def _adjusted(percent: int, before: Target) -> tuple[Part, ...]:
    """More for the whole target is the newest revision's; less is taken from the oldest ones."""
    parts, more = before.parts, percent - before.percent
    if more >= 0:
        return (*parts[:-1], parts[-1]._replace(percent=parts[-1].percent + more))
    return _without(parts, -more)


def _without(parts: Sequence[Part], percent: int) -> tuple[Part, ...]:
    """`percent` taken from the first ones; those that have nothing left are out."""
    for index, one in enumerate(parts):
        if one.percent > percent:
            return (one._replace(percent=one.percent - percent), *parts[index + 1 :])
        percent -= one.percent
    return ()


def _less_one(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The newest revision gives the percent that the next one begins with."""
    kept = [one for one in parts if one.percent]
    *older, newest = kept
    return (*older, newest._replace(percent=newest.percent - 1)) if newest.percent > 1 else tuple(older)


def _moved(target: Target, now: int) -> Target:
    """One step: the newest revision but one gives first."""
    *older, newest = target.parts
    left = tuple(reversed(_without(older[::-1], target.size)))
    grown = newest._replace(percent=min(newest.percent + target.size, target.percent))
    if not left:
        return Target(target.percent, (grown,))
    return replace(target, parts=(*left, grown), next=now + target.pause)


def effective(traffic: Traffic, rollout: Rollout) -> Traffic:
    """The traffic with what has moved of it so far."""
    found: list[Share] = []
    for one in named(traffic):
        target = rollout.get("") if one.latest and one.percent else None
        if target is None or target.done:
            found.append(one)
        else:
            found += [one._replace(revision=part.revision, percent=part.percent) for part in target.parts]
    return tuple(found)


def by_host(traffic: Traffic, rollout: Rollout, tag: str = "") -> dict[str, int]:
    """Percent of each revision that is asked at the service's own Host, or at that of a tag."""
    target = rollout.get(tag)
    moving = {} if target is None or target.done else {part.revision: part.percent for part in target.parts}
    found: dict[str, int] = {}
    for one in named(traffic, tag):
        gets = moving if moving and one.latest else {one.revision: one.percent}
        for revision, percent in gets.items():
            if percent:
                found[revision] = found.get(revision, 0) + percent
    return found


def in_rollout(rollout: Rollout) -> frozenset[str]:
    """The revisions that a rollout still leads to."""
    return frozenset(part.revision for one in rollout.values() for part in one.parts)


def progress(before: Rollout, after: Rollout, time_scale: float) -> str:
    """What a step did, in a sentence; times are of the run, not of the cluster. Empty where all moved at once."""
    tag = next((tag for tag in after if not after[tag].done), next(iter(after), ""))
    was, now_is = before.get(tag), after.get(tag)
    if now_is is None or was is None or (was.done and now_is.done):
        return ""
    newest = now_is.parts[-1]
    if now_is.done:
        return f"the last step: {newest.revision} has all {now_is.percent} %"
    if not now_is.pause:
        return f"{newest.revision} begins with {newest.percent} %; how long that takes decides the next steps"
    seconds = now_is.pause / SECOND / time_scale
    return f"{newest.revision} gets {now_is.size} % more every {seconds:.3g} s"
