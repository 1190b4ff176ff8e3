"""What a node has for its pods (pkg/kubelet/cm/node_container_manager_linux.go), and what of it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emu.policy.kubelet.thresholds import MEMORY_AVAILABLE, Threshold


@dataclass(frozen=True)
class NodeMemory:
    """What a node has for pods, in bytes."""

    kubepods_max: int
    """kubepods' memory.max; the eviction threshold is not taken from it."""
    allocatable: int
    """status.allocatable, from which it is."""
    refused: str | None = None
    """Why the kubelet does not start, in its words; None: it starts."""


def node_memory(
    capacity: int,
    *,
    kube_reserved: int = 0,
    system_reserved: int = 0,
    hard: Sequence[Threshold] = (),
    enforce_pods: bool = True,
) -> NodeMemory:
    """Node allocatable: the machine's memory without what is reserved. `hard`: eviction thresholds. Where kubepods'
    limit is not enforced it is all of the machine's.
    """
    threshold = sum(one.value.of(capacity) for one in hard if one.signal == MEMORY_AVAILABLE and one.hard)
    reserved = kube_reserved + system_reserved
    left = max(0, capacity - reserved)
    refused = None
    if reserved + threshold > capacity:
        refused = (
            f'invalid Node Allocatable configuration. Resource "memory" has a reservation of '
            f"{_as_go_prints(reserved + threshold)} but capacity of {_as_go_prints(capacity)}. "
            "Expected capacity >= reservation."
        )
    return NodeMemory(left if enforce_pods else capacity, max(0, left - threshold), refused)


def _as_go_prints(count: int) -> str:
    """A quantity that no one made text of."""
    return f"{{{{{count} 0}} {{<nil>}}  BinarySI}}"


def working_set(memory_current: int, inactive_file: int) -> int:
    """Of a cgroup, as cadvisor has it: what `kubectl top`, eviction and the HPA go by. Bytes."""
    return max(0, memory_current - inactive_file)


def docker_stats(memory_current: int, inactive_file: int) -> int:
    """MEM USAGE of `docker stats` on cgroup v2 (docker/cli, calculateMemUsageUnixNoCache): the same, but all of
    memory.current where inactive_file is not below it. Bytes.
    """
    return memory_current - inactive_file if inactive_file < memory_current else memory_current
