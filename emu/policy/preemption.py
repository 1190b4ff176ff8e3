"""Which pods the scheduler removes from the only node to make room for one that is more important. Pure.

As Kubernetes' default preemption (pkg/scheduler/framework/plugins/defaultpreemption): would the pod fit if all pods
of lower priority were gone? Then as many of them as possible are spared, the most important first. Those that cannot
stay beside the new pod are the victims. PodDisruptionBudgets are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from emu.policy.effective import Amounts

NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER = "not eligible due to preemptionPolicy=Never."
VICTIM_ENDS = "not eligible due to a terminating pod on the nominated node."


class Bound(NamedTuple):
    """A pod that has the node."""

    name: str
    requests: Amounts
    priority: int = 0
    since: float = 0.0
    """When it got the node."""


class Preemption(NamedTuple):
    """What a look for victims came to."""

    victims: tuple[str, ...] = ()
    """The most important first."""
    why: str = ""
    """As the scheduler words it, where there are none."""


def total(requests: Iterable[Amounts]) -> dict[str, int]:
    """What several pods request together."""
    found: dict[str, int] = {}
    for one in requests:
        for name, amount in one.items():
            found[name] = found.get(name, 0) + amount
    return found


def short_of(requests: Amounts, taken: Amounts, allocatable: Amounts) -> list[str]:
    """The resources of which a pod finds too little. What it does not request always fits, and so does a resource of
    which `allocatable` says nothing.
    """
    return [
        name
        for name, wanted in sorted(requests.items())
        if wanted > 0 and name in allocatable and wanted > allocatable[name] - taken.get(name, 0)
    ]


def insufficient(short: Sequence[str]) -> str:
    """Why the only node is none for a pod, in the scheduler's words."""
    return f"0/1 nodes are available: {', '.join(f'1 Insufficient {name}' for name in short)}."


def preempt(
    requests: Amounts, priority: int, there: Iterable[Bound], kept: Amounts, allocatable: Amounts
) -> Preemption:
    """For a pod that does not fit. `there` are the pods that have the node, those that are ending among them; `kept`
    is what it keeps for pods that have preempted others and are as important.
    """
    if any(requests[name] > allocatable[name] for name in short_of(requests, {}, allocatable)):
        return Preemption(why=f"0/1 nodes are available: 1 {NOT_HELPFUL}.")
    pods = list(there)
    lower = [one for one in pods if one.priority < priority]
    if not lower:
        return Preemption(why=f"0/1 nodes are available: 1 {NO_VICTIMS}.")
    staying = [kept, *(one.requests for one in pods if one.priority >= priority)]
    if short := short_of(requests, total(staying), allocatable):
        return Preemption(why=insufficient(short))
    victims = []
    for one in sorted(lower, key=lambda pod: (-pod.priority, pod.since)):
        if short_of(requests, total([*staying, one.requests]), allocatable):
            victims.append(one.name)
        else:
            staying.append(one.requests)
    return Preemption(tuple(victims))
