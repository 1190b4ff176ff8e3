"""Whether a node takes a pod: whether it fits (pkg/kubelet/lifecycle/predicate.go), and whether a resize does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emu.policy.effective import CPU, MEMORY
from emu.policy.kubelet.pod import HUGE_PAGES, Pod
from emu.policy.kubelet.version import NEWEST, RESIZE_BEYOND_THE_NODE_WAITS, Version

PODS = "pods"
EPHEMERAL_STORAGE = "ephemeral-storage"
_EVERY_NODE_HAS = (PODS, CPU, MEMORY, EPHEMERAL_STORAGE)


@dataclass(frozen=True)
class Verdict:
    """Taken where there is no reason; else the pod is Failed, for it and with the message."""

    reason: str = ""
    message: str = ""

    @property
    def admitted(self) -> bool:
        """The pod runs."""
        return not self.reason


def fits(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, int]) -> Verdict:
    """Whether the requests fit beside those of the node's other pods; the first resource that is short decides.
    Limits do not count.
    """
    others = list(others)
    if len(others) + 1 > allocatable.get(PODS, 0):
        return _short(PODS, 1, len(others), allocatable.get(PODS, 0))
    wanted = pod.effective.requests
    for name in (CPU, MEMORY, EPHEMERAL_STORAGE, *_further(wanted, allocatable)):
        used = sum(one.effective.requests.get(name, 0) for one in others)
        capacity = allocatable.get(name, 0)
        if wanted.get(name, 0) > 0 and wanted[name] > capacity - used:
            return _short(name, wanted[name], used, capacity)
    return Verdict()


def _further(wanted: Mapping[str, int], allocatable: Mapping[str, int]) -> list[str]:
    """Huge pages, and extended resources that the node has: those that it has not are another's to look after."""
    return sorted(
        name
        for name in wanted
        if name not in _EVERY_NODE_HAS and (name in allocatable or name.startswith(HUGE_PAGES))
    )


def _short(name: str, requested: int, used: int, capacity: int) -> Verdict:
    return Verdict(f"OutOf{name}", _not_enough("resource", name, requested, capacity, used))


def _not_enough(what: str, name: str, requested: int, capacity: int, used: int | None = None) -> str:
    taken = "" if used is None else f", used: {used}"
    return f"Node didn't have enough {what}: {name}, requested: {requested}{taken}, capacity: {capacity}"


def resize_pending(requested: int, others: int, allocatable: int, version: Version = NEWEST) -> Verdict:
    """Whether a resize's new memory request fits: Infeasible is never tried again, Deferred is. Before 1.36 what the
    node could not have even when empty is infeasible. Bytes.
    """
    if requested > allocatable and version < RESIZE_BEYOND_THE_NODE_WAITS:
        return Verdict("Infeasible", _not_enough("capacity", MEMORY, requested, allocatable))
    if requested > max(0, allocatable - others):
        return Verdict("Deferred", _not_enough("resource", MEMORY, requested, allocatable, others))
    return Verdict()
