"""Which requests of a revision wait in the activator, and which pod each goes to.

Rules from Knative's pkg/activator/net/throttler.go: a request needs room in the revision, which takes as many as its
pods do together, and room in a pod. Requests that a pod still answers after it has left the endpoints count to the
revision's room until they are over, but to no other pod's. So a request can find the revision full and a pod empty,
or the other way round: it waits. Requests go in the order in which they came, and a new one overtakes none.

Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from emu.policy.balancing import UNASSIGNED, Balancer, Draw, Load, assigned, capacity

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Wait:
    """Why a request waits, and since when."""

    since: float
    for_pod: bool
    """There is no pod; else its pods have no room."""


class Throttler(Generic[Key]):
    """The requests of one revision, each known by a key of the caller's choice.

    `concurrency` is containerConcurrency; 0 is no limit: then requests wait only while there is no pod.
    """

    def __init__(self, concurrency: int, draw: Draw) -> None:
        self._concurrency = concurrency
        self._balancer: Balancer[str] = Balancer(concurrency, draw)
        self.capacity = 0
        """How many requests may be in pods at a time."""
        self.placed: dict[Key, Load[str]] = {}
        """Those that are in pods, and where."""
        self._grown: dict[str, int] = {}
        self.queue: OrderedDict[Key, _Wait] = OrderedDict()
        """Those that wait, in their order."""

    @property
    def running(self) -> int:
        """How many requests are in pods."""
        return len(self.placed)

    @property
    def waiting(self) -> int:
        """How many requests wait, for a pod or for room."""
        return len(self.queue)

    @property
    def open(self) -> bool:
        """Whether there is a pod to send requests to."""
        return self.capacity > 0

    def loads(self) -> dict[str, int]:
        """Requests in each pod, those that have left among them."""
        return dict(Counter(load.pod for load in self.placed.values()))

    def most(self) -> dict[str, int]:
        """The most requests that were in each pod at once, for pods where that grew since the last call."""
        found, self._grown = self._grown, {}
        return found

    def update(
        self, addresses: Iterable[str], now: float, *, index: int = UNASSIGNED, activators: int = 1
    ) -> list[tuple[Key, float]]:
        """These are the pods that are ready. Those that waited for a pod and now wait for room only, each with the
        seconds that it waited; `admit` lets them go.
        """
        was_open = self.open
        pods = sorted(set(addresses))
        own = assigned(pods, index, activators, self._concurrency)
        self._balancer.update(own, pods)
        self.capacity = capacity(self._concurrency, len(pods), len(own), activators)
        if was_open == self.open:
            return []
        waited = [(key, now - wait.since) for key, wait in self.queue.items() if wait.for_pod]
        for wait in self.queue.values():
            wait.since, wait.for_pod = now, not self.open
        return waited if self.open else []

    def enter(self, key: Key, now: float) -> bool:
        """A request came: whether it goes to a pod now. If not, it waits until `admit` names it."""
        placed = self.placed
        # As `_take`, without the call: this is on the way of each request.
        load = None if self.queue or len(placed) >= self.capacity else self._balancer.choose()
        if load is None:
            self.queue[key] = _Wait(now, not self.open)
            return False
        placed[key] = load
        if load.weight > load.most:
            self._grew(load)
        return True

    def leave(self, key: Key) -> float | None:
        """A request is over: since when it waited for a pod, None where it did not. `admit` gives its place away."""
        load = self.placed.pop(key, None)
        if load is not None:
            load.weight -= 1  # as `Balancer.release`, without the call
            return None
        wait = self.queue.pop(key, None)
        return wait.since if wait is not None and wait.for_pod else None

    def admit(self) -> list[tuple[Key, float]]:
        """The waiting requests that go now, first come first, each with when it began to wait for room."""
        going = []
        while self.queue and (load := self._take()) is not None:
            key, wait = self.queue.popitem(last=False)
            self.placed[key] = load
            going.append((key, wait.since))
        return going

    def _take(self) -> Load[str] | None:
        """A pod with room, with one request more in it."""
        if len(self.placed) >= self.capacity:
            return None
        load = self._balancer.choose()
        if load is not None and load.weight > load.most:
            self._grew(load)
        return load

    def _grew(self, load: Load[str]) -> None:
        """So many requests were never in this pod."""
        load.most = self._grown[load.pod] = max(load.weight, self._grown.get(load.pod, 0))
