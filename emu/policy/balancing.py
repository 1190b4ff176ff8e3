"""Which pod an activator sends a request to, and how many requests it lets through (pkg/activator/net/{throttler,
lb_policy}.go, pkg/queue/breaker.go).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

QUEUE_DEPTH = 10_000
"""Requests that wait, beside those that have a slot (breakerQueueDepth)."""
MOST_CONCURRENT = 2**31 - 1
"""revisionMaxConcurrency."""
UNASSIGNED = -1
"""The index of an activator that is not among those of the revision (yet)."""

Policy = Literal["random choice of two", "first available", "round robin"]
Pod = TypeVar("Pod", bound=Hashable)
Address = TypeVar("Address")
Draw = Callable[[int], int]
"""A number from 0 up to, not including, the argument."""


def policy_for(container_concurrency: int) -> Policy:
    """How a pod is chosen."""
    if container_concurrency == 0:
        return "random choice of two"
    return "first available" if container_concurrency <= 3 else "round robin"


def assigned(pods: Sequence[Address], own_index: int, activators: int, container_concurrency: int) -> list[Address]:
    """The pods of one activator, of all sorted by address (as texts): all without a container concurrency. Else an
    equal part each, and one more of the rest for the first activators; with fewer pods than activators one, shared.
    """
    count = len(pods)
    if container_concurrency == 0 or own_index == UNASSIGNED or count <= 1 or activators == 1:
        return list(pods)
    if activators > count:
        at = own_index % count
        return [pods[at]]
    size, rest = divmod(count, activators)
    own = list(pods[own_index * size : (own_index + 1) * size])
    if own_index < rest:
        own.append(pods[count - rest + own_index])
    return own


def capacity(container_concurrency: int, pods: int, assigned_pods: int, activators: int) -> int:
    """How many requests an activator lets through at once. `assigned_pods` is 0 where it sends to a cluster IP: its
    share then, rounded down, and one at least. Without a container concurrency there is no limit, and no way
    through while there is no pod.
    """
    if assigned_pods > 0:
        slots = container_concurrency * assigned_pods
    else:
        slots = container_concurrency * pods
        if slots > 0:
            slots = max(1, slots // max(1, activators))
    if pods > 0 and (container_concurrency == 0 or slots > MOST_CONCURRENT):
        return MOST_CONCURRENT
    return slots


class Slots:
    """A revision's breaker: how many requests have a slot, and how many may be inside at all."""

    __slots__ = ("capacity", "inside", "most_inside", "taken")

    def __init__(self, capacity: int, most: int = MOST_CONCURRENT, depth: int = QUEUE_DEPTH) -> None:
        self.capacity = capacity
        self.most_inside = depth + most
        self.taken = 0
        self.inside = 0

    def take(self) -> bool:
        """Take a slot, or leave at once."""
        if self.inside == self.most_inside or self.taken >= self.capacity:
            return False
        self.inside += 1
        self.taken += 1
        return True


@dataclass(slots=True)
class Load(Generic[Pod]):
    """One pod as an activator sees it."""

    pod: Pod
    room: int
    """So many requests of this activator may be under way there at once."""
    weight: int = 0
    """So many are."""
    most: int = 0
    """So many were at once, at most; whoever chooses keeps it."""


class Balancer(Generic[Pod]):
    """The pods of one revision in one activator, and the choice among them."""

    def __init__(self, container_concurrency: int, draw: Draw) -> None:
        self.policy = policy_for(container_concurrency)
        self._concurrency = container_concurrency
        self._draw = draw
        self._loads: list[Load[Pod]] = []
        self._by_pod: dict[Pod, Load[Pod]] = {}
        self._next = 0
        self.choose: Callable[[], Load[Pod] | None] = self._none
        """() → a pod, with a slot of it taken; None where no pod has one, and the request is to wait again."""

    def update(self, pods: Iterable[Pod], others: Iterable[Pod] = ()) -> None:
        """The pods to choose from are these, in this order; `others` are there too, and other activators choose them.
        All of these keep their requests: one of the others may be this activator's again.
        """
        known = self._by_pod
        self._loads = [known.get(pod) or self._new(pod) for pod in pods]
        self._by_pod = {pod: known[pod] for pod in others if pod in known}
        self._by_pod |= {load.pod: load for load in self._loads}
        if not self._loads:
            self.choose = self._none
        elif len(self._loads) == 1:
            self.choose = self._only
        elif self.policy == "random choice of two":
            self.choose = self._lighter
        else:
            self.choose = self._first if self.policy == "first available" else self._turn

    def release(self, load: Load[Pod]) -> None:
        """A request is over; its pod may be gone."""
        load.weight -= 1

    def _new(self, pod: Pod) -> Load[Pod]:
        return Load(pod, self._concurrency or MOST_CONCURRENT)

    def _none(self) -> Load[Pod] | None:
        return None

    def _only(self) -> Load[Pod] | None:
        load = self._loads[0]
        if load.weight >= load.room:
            self._next = 0
            return None
        load.weight += 1
        self._next = 1
        return load

    def _first(self) -> Load[Pod] | None:
        return self._first_from(0)

    def _turn(self) -> Load[Pod] | None:
        if self._next >= len(self._loads):
            self._next = 0
        return self._first_from(self._next)

    def _first_from(self, start: int) -> Load[Pod] | None:
        loads = self._loads
        at = start
        for _ in loads:
            load = loads[at]
            at += 1
            if load.weight < load.room:
                load.weight += 1
                self._next = at
                return load
            if at == len(loads):
                at = 0
        return None

    def _lighter(self) -> Load[Pod]:
        """The one of two with fewer requests; a draw between equals."""
        loads = self._loads
        count = len(loads)
        one, other = 0, 1
        if count > 2:
            one, other = self._draw(count), self._draw(count - 1)
            other += other >= one
        pick, alternative = loads[one], loads[other]
        if pick.weight > alternative.weight or (pick.weight == alternative.weight and self._draw(2) == 0):
            pick = alternative
        pick.weight += 1
        return pick
