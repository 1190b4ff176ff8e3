"""Services as their autoscaler ran them: every decision, and the life of every pod. Times are seconds since the run
began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from emu.policy.routing import Traffic
from emu.record.events import MetricRead, ScaleDecided

State = Literal["pending", "starting", "ready", "not ready", "terminating"]


@dataclass(frozen=True)
class PodLife:
    """When a pod of a service was made, ready and asked to end."""

    pod: str
    made_s: float
    """When it was there, with a node or without."""
    readiness: tuple[tuple[float, bool], ...] = ()
    """Each change of it, with when."""
    asked_s: float | None = None
    """When it was asked to end because fewer pods were wanted; None: never."""
    gone_s: float | None = None
    """When its last container had ended; None: not in this run."""
    placed_s: float | None = 0.0
    """When it had a node, if it did not have one when it was made; None: never."""
    begun: bool = True
    """A container of it was made; a pod that is no longer wanted may go before that."""

    def state_at(self, t: float) -> State | None:
        """None where there is no such pod then."""
        if t < self.made_s or (self.gone_s is not None and t >= self.gone_s):
            return None
        if self.asked_s is not None and t >= self.asked_s:
            return "terminating"
        if self.placed_s is None or t < self.placed_s:
            return "pending"
        so_far = [ready for at, ready in self.readiness if at <= t]
        if so_far and so_far[-1]:
            return "ready"
        return "not ready" if True in so_far else "starting"

    @property
    def changes(self) -> Iterator[float]:
        """When its state may have changed."""
        yield self.made_s
        yield from (t for t, _ in self.readiness)
        yield from (t for t in (self.placed_s, self.asked_s, self.gone_s) if t)

    def seconds(self, end_s: float) -> float:
        """How long it was on the node."""
        if self.placed_s is None:
            return 0.0
        return max(0.0, (end_s if self.gone_s is None else min(end_s, self.gone_s)) - max(self.made_s, self.placed_s))

    def pending_s(self, end_s: float) -> float:
        """How long it waited for a node."""
        ends = [one for one in (self.placed_s, self.gone_s, end_s) if one is not None]
        return max(0.0, min(ends) - self.made_s)


@dataclass(frozen=True)
class Wait:
    """A request waited in the activator, for a pod or for room in one."""

    since_s: float
    until_s: float
    cold: bool
    """There was no pod to send it to."""


@dataclass(frozen=True)
class RolloutStep:
    """Some traffic moved."""

    t: float
    traffic: Traffic
    why: str


@dataclass(frozen=True)
class Rollout:
    """Other traffic was asked for, and came about if it did."""

    service: str
    asked_s: float
    traffic: Traffic
    waits_for: tuple[str, ...] = ()
    """Revisions that were not ready when it was asked for."""
    moved_s: float | None = None
    """When all of it had moved. None: not in this run."""
    steps: tuple[RolloutStep, ...] = ()
    """Of a gradual rollout, in order of time, the last one included."""


@dataclass(frozen=True)
class Service:
    """A revision of a service in a run, or all of them `together`."""

    name: str
    revision: str
    """Empty: all of them."""
    decisions: tuple[ScaleDecided, ...] = ()
    """In order of time; `t` and `panic_until` are seconds since the run began."""
    pods: tuple[PodLife, ...] = ()
    """In the order in which they were made."""
    waits: tuple[Wait, ...] = ()
    most_in_pod: int | None = None
    """The most requests that were under way at once in one pod; None where that is not on record."""
    metrics: tuple[MetricRead, ...] = ()
    """What a HorizontalPodAutoscaler read at its syncs, in order of time, as seconds since the run began."""

    @property
    def scaled_by(self) -> str:
        """`kpa`, `hpa` or `keda`."""
        return self.decisions[0].autoscaler if self.decisions else "kpa"

    @property
    def first_scale_up_s(self) -> float | None:
        """When more pods were first wanted."""
        return next((one.t for one in self.decisions if one.pods > one.before), None)

    def read_at(self, t: float) -> list[MetricRead]:
        """What the sync at that time read."""
        return [one for one in self.metrics if one.t == t]

    @property
    def made(self) -> list[ScaleDecided]:
        """The decisions themselves, without what time or readiness made of them."""
        return [one for one in self.decisions if one.metric]

    @property
    def title(self) -> str:
        """What it is called among all revisions of a run."""
        return self.revision or self.name

    @property
    def wanted(self) -> list[tuple[float, int]]:
        """How many pods there were to be, from each decision on."""
        each: dict[str, int] = {}
        found: list[tuple[float, int]] = []
        for one in self.decisions:
            each[one.revision] = one.pods
            found.append((one.t, sum(each.values())))
        return found

    @property
    def panics(self) -> list[tuple[float, float | None]]:
        """From when to when it panicked; None: still at its last decision."""
        revisions = dict.fromkeys(one.revision for one in self.decisions)
        spans = (_spans([(one.t, one.panicking) for one in self.made if one.revision == name]) for name in revisions)
        return sorted((span for each in spans for span in each), key=lambda span: span[0])

    @property
    def proxied(self) -> list[tuple[float, float | None]]:
        """From when to when the activator was to be in the path."""
        return _spans([(one.t, one.mode == "Proxy") for one in self.decisions])

    def states_at(self, t: float) -> dict[State, int]:
        """How many pods were in which state."""
        states: dict[State, int] = {"pending": 0, "starting": 0, "ready": 0, "not ready": 0, "terminating": 0}
        for pod in self.pods:
            state = pod.state_at(t)
            if state is not None:
                states[state] += 1
        return states

    @property
    def steps(self) -> list[tuple[float, dict[State, int]]]:
        """How many pods were in which state, from each change on."""
        moments = sorted({t for pod in self.pods for t in pod.changes})
        return [(t, self.states_at(t)) for t in moments]

    @property
    def waiting(self) -> list[tuple[float, int]]:
        """How many requests waited in the activator, from each change on."""
        edges = sorted([(one.since_s, 1) for one in self.waits] + [(one.until_s, -1) for one in self.waits])
        found: list[tuple[float, int]] = []
        number = 0
        for t, change in edges:
            number += change
            if found and found[-1][0] == t:
                found.pop()
            found.append((t, number))
        return found


def by_service(services: Iterable[Service]) -> dict[str, list[Service]]:
    """The revisions of each service, in order of their first decision."""
    found: dict[str, list[Service]] = {}
    for one in services:
        found.setdefault(one.name, []).append(one)
    return found


def together(revisions: list[Service]) -> Service:
    """All revisions of a service as one."""
    if len(revisions) == 1:
        return revisions[0]
    most = [one.most_in_pod for one in revisions if one.most_in_pod is not None]
    return Service(
        revisions[0].name,
        "",
        tuple(sorted((made for one in revisions for made in one.decisions), key=lambda made: made.t)),
        tuple(sorted((pod for one in revisions for pod in one.pods), key=lambda pod: pod.made_s)),
        tuple(wait for one in revisions for wait in one.waits),
        max(most, default=None),
    )


def _spans(marks: list[tuple[float, bool]]) -> list[tuple[float, float | None]]:
    """The stretches in which something was so."""
    found: list[tuple[float, float | None]] = []
    since: float | None = None
    for t, is_so in marks:
        if is_so and since is None:
            since = t
        elif not is_so and since is not None:
            found.append((since, t))
            since = None
    return found if since is None else [*found, (since, None)]
