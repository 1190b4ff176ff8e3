"""Who of a pod's requests runs, who waits and who is refused: queue-proxy's limit on concurrency.

Rules from Knative's pkg/queue/breaker.go: N run, 10 x N wait, the next is refused at once. Knative lets a new
arrival overtake a waiter that was just woken; here the order is strictly first come, first served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

QUEUE_DEPTH_FACTOR = 10
"""Waiting places for each running one (pkg/queue/sharedmain/main.go, buildBreaker)."""

Key = TypeVar("Key", bound=Hashable)


class Admission(Enum):
    """What becomes of a request that arrives."""

    RUN = "run"
    WAIT = "wait"
    REFUSE = "refuse"


RUN, WAIT, REFUSE = Admission
"""By names of their own: to look one up in its class takes longer than all the rest of `enter`."""


class Breaker(Generic[Key]):
    """Counts the requests of one pod, each known by a key of the caller's choice.

    `limit` is containerConcurrency: how many run at once; 0 is no limit, and then nothing waits or is refused.
    """

    def __init__(self, limit: int, depth: int | None = None) -> None:
        if limit < 0:
            raise ValueError(f"containerConcurrency is {limit}; it must be 0 (no limit) or more")
        self.limit = limit
        self.depth = QUEUE_DEPTH_FACTOR * limit if depth is None else depth
        self._running: set[Key] = set()
        self._waiting: OrderedDict[Key, None] = OrderedDict()
        self.inside = 0
        """How many run or wait."""

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def enter(self, key: Key) -> Admission:
        """A request arrives."""
        if self.limit == 0 or len(self._running) < self.limit:
            self._running.add(key)
            self.inside += 1
            return RUN
        if len(self._waiting) < self.depth:
            self._waiting[key] = None
            self.inside += 1
            return WAIT
        return REFUSE

    def leave(self, key: Key) -> Key | None:
        """A request ended, or gave up while it waited. Returns the waiter that runs in its place, if any.

        A key that is not inside changes nothing.
        """
        if key not in self._running:
            if key in self._waiting:
                del self._waiting[key]
                self.inside -= 1
            return None
        self._running.remove(key)
        self.inside -= 1
        if not self._waiting or len(self._running) >= self.limit > 0:
            return None
        successor, _ = self._waiting.popitem(last=False)
        self._running.add(successor)
        return successor
