"""Which pods find room on the only node, and what a scheduler says of those that do not. The caller has the clock.

The requests of a pod must fit beside those of the pods that are there (pkg/scheduler/framework/plugins/noderesources,
fit.go). One that does not fit is looked at again when a pod has gone, no sooner than its back-off allows
(pkg/scheduler/internal/queue). Amounts are mappings as in `emu.policy.effective`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from emu.policy.effective import Amounts

BACK_OFF_S, MOST_BACK_OFF_S = 1.0, 10.0
"""podInitialBackoffSeconds and podMaxBackoffSeconds."""
_PREEMPTION = " preemption: 0/1 nodes are available: 1 {}."
_NO_VICTIMS = "No preemption victims found for incoming pod"
_NOT_HELPFUL = "Preemption is not helpful for scheduling"


class Verdict(NamedTuple):
    """What an attempt to find room came to."""

    message: str = ""
    """The scheduler's, where there is none."""

    @property
    def fits(self) -> bool:
        """The pod has the node."""
        return not self.message


def refusal(requests: Amounts, taken: Amounts, allocatable: Amounts) -> str:
    """The scheduler's message for a pod that does not fit; empty for one that does. What it does not request always
    fits, and so does a resource of which `allocatable` says nothing.
    """
    short = [
        name
        for name, wanted in sorted(requests.items())
        if wanted > 0 and name in allocatable and wanted > allocatable[name] - taken.get(name, 0)
    ]
    if not short:
        return ""
    never = any(requests[name] > allocatable[name] for name in short)
    reasons = ", ".join(f"1 Insufficient {name}" for name in short)
    return f"0/1 nodes are available: {reasons}." + _PREEMPTION.format(_NOT_HELPFUL if never else _NO_VICTIMS)


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
        taken = _sum(taken, requests)
    return None


def _sum(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *other)}


@dataclass
class _Waiting:
    """A pod without a node."""

    requests: Amounts
    attempts: int = 0
    failed_at: float = 0.0
    moved: bool = True
    """Something has changed since the last attempt that may help it."""

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
        self._bound: dict[str, Amounts] = {}
        self._waiting: dict[str, _Waiting] = {}

    @property
    def taken(self) -> Mapping[str, int]:
        """What the pods that have the node request together."""
        total: dict[str, int] = {}
        for requests in self._bound.values():
            total = _sum(total, requests)
        return total

    def add(self, pod: str, requests: Amounts) -> None:
        """A pod was made."""
        self._waiting[pod] = _Waiting(requests)

    def attempt(self, pod: str, now: float) -> Verdict | None:
        """Look for room for a pod that has none; None where that is not due."""
        one = self._waiting[pod]
        due_at = one.due_at(self._back_off_s, self._most_s)
        if due_at is None or now < due_at:
            return None
        message = refusal(one.requests, self.taken, self.allocatable)
        if message:
            one.attempts, one.failed_at, one.moved = one.attempts + 1, now, False
        else:
            self._bound[pod] = self._waiting.pop(pod).requests
        return Verdict(message)

    def remove(self, pod: str) -> None:
        """A pod is gone. If it had the node, those that wait are looked at again."""
        self._waiting.pop(pod, None)
        if self._bound.pop(pod, None) is not None:
            for one in self._waiting.values():
                one.moved = True
