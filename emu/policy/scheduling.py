"""Which pods find room on the only node, and what a scheduler says of those that do not. The caller has the clock.

The requests of a pod must fit beside those of the pods that are there (pkg/scheduler/framework/plugins/noderesources,
fit.go). One that does not fit may have pods of lower priority removed (`emu.policy.preemption`), and the node is
nominated for it then: what they leave is not for pods that are less important. It is looked at again when a pod has
gone, no sooner than its back-off allows (pkg/scheduler/internal/queue). Amounts are mappings as in
`emu.policy.effective`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from emu.policy.effective import Amounts
from emu.policy.preemption import NEVER, VICTIM_ENDS, Bound, insufficient, preempt, short_of, total

BACK_OFF_S, MOST_BACK_OFF_S = 1.0, 10.0
"""podInitialBackoffSeconds and podMaxBackoffSeconds."""


class Verdict(NamedTuple):
    """What an attempt to find room came to."""

    message: str = ""
    """The scheduler's, where there is none."""
    victims: tuple[str, ...] = ()
    """The pods that are removed for it, which are still there."""

    @property
    def fits(self) -> bool:
        """The pod has the node."""
        return not self.message


def refusal(requests: Amounts, taken: Amounts, allocatable: Amounts) -> str:
    """The scheduler's message for a pod that does not fit beside others of its priority; empty for one that does."""
    short = short_of(requests, taken, allocatable)
    if not short:
        return ""
    return f"{insufficient(short)} preemption: {preempt(requests, 0, (), {}, allocatable).why}"


def first_pending(
    pods: Iterable[tuple[str, Amounts]], allocatable: Amounts
) -> tuple[str, Mapping[str, int], str] | None:
    """The first of several pods that finds no room, what those before it request, and the scheduler's message; None
    where all fit.
    """
    taken: dict[str, int] = {}
    for name, requests in pods:
        if message := refusal(requests, taken, allocatable):
            return name, taken, message
        taken = total([taken, requests])
    return None


@dataclass
class _Waiting:
    """A pod without a node."""

    requests: Amounts
    priority: int = 0
    preempts: bool = True
    attempts: int = 0
    failed_at: float = 0.0
    moved: bool = True
    """Something has changed since the last attempt that may help it."""
    nominated: bool = False
    """Pods were removed for it, and the node has its room."""

    def due_at(self, back_off_s: float, most_s: float) -> float | None:
        """When it is to be tried; None: not before something changes."""
        if not self.moved:
            return None
        if not self.attempts:
            return self.failed_at
        return self.failed_at + min(back_off_s * 2.0 ** (self.attempts - 1), most_s)


class Scheduler:
    """Of one node. Each pod is added once, attempted until it fits, and removed when it is gone."""

    def __init__(self, allocatable: Amounts, time_scale: float = 1.0) -> None:
        """`time_scale` divides the back-off."""
        self.allocatable = allocatable
        self._back_off_s, self._most_s = BACK_OFF_S / time_scale, MOST_BACK_OFF_S / time_scale
        self._bound: dict[str, Bound] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._preempted: set[str] = set()
        """Pods that were removed for another, and are still there."""

    @property
    def taken(self) -> Mapping[str, int]:
        """What the pods that have the node request together."""
        return total(one.requests for one in self._bound.values())

    def nominated(self, pod: str) -> bool:
        """Whether the node is nominated for a pod that has none."""
        return pod in self._waiting and self._waiting[pod].nominated

    def add(self, pod: str, requests: Amounts, priority: int = 0, *, preempts: bool = True) -> None:
        """A pod was made. Without `preempts` no other is removed for it."""
        self._waiting[pod] = _Waiting(requests, priority, preempts)

    def attempt(self, pod: str, now: float, ending: Container[str] = ()) -> Verdict | None:
        """Look for room for a pod that has none; None where that is not due, or the turn of a more important one.
        `ending`: the pods that are asked to end already.
        """
        one = self._waiting[pod]
        if not self._is_due(one, now) or any(
            other.priority > one.priority and self._is_due(other, now) for other in self._waiting.values()
        ):
            return None
        kept = self._kept(one)
        short = short_of(one.requests, total([self.taken, kept]), self.allocatable)
        if not short:
            self._bound[pod] = Bound(pod, one.requests, one.priority, now)
            del self._waiting[pod]
            return Verdict()
        one.attempts, one.failed_at, one.moved = one.attempts + 1, now, False
        victims, why = self._make_room(one, kept)
        said = insufficient(short)
        if why:
            return Verdict(f"{said} preemption: {why}")
        removed = tuple(name for name in victims if name not in ending)
        self._preempted.update(removed)
        return Verdict(said, removed)

    def _is_due(self, one: _Waiting, now: float) -> bool:
        due_at = one.due_at(self._back_off_s, self._most_s)
        return due_at is not None and now >= due_at

    def _kept(self, one: _Waiting) -> Mapping[str, int]:
        """What the node keeps for others that it is nominated for."""
        others = (other for other in self._waiting.values() if other is not one and other.priority >= one.priority)
        return total(other.requests for other in others if other.nominated)

    def _make_room(self, one: _Waiting, kept: Amounts) -> tuple[tuple[str, ...], str]:
        """The pods to remove for one, or why there are none."""
        if not one.preempts:
            return (), NEVER
        lower = {name for name, pod in self._bound.items() if pod.priority < one.priority}
        if one.nominated and lower & self._preempted:
            return (), VICTIM_ENDS
        victims, why = preempt(one.requests, one.priority, self._bound.values(), kept, self.allocatable)
        one.nominated = bool(victims)
        if victims:
            for other in self._waiting.values():
                if other.nominated and other.priority < one.priority:
                    other.nominated, other.moved = False, True
        return victims, why

    def remove(self, pod: str) -> None:
        """A pod is gone. If it had the node, those that wait are looked at again; if the node was nominated for it,
        those that are no more important are (pkg/scheduler/eventhandlers.go).
        """
        waited = self._waiting.pop(pod, None)
        self._preempted.discard(pod)
        had_node = self._bound.pop(pod, None) is not None
        for one in self._waiting.values():
            if had_node or (waited is not None and waited.nominated and one.priority <= waited.priority):
                one.moved = True
