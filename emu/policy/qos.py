"""The kubelet's QoS class and oom_score_adj (kubernetes pkg/kubelet/qos/policy.go; concept page pod-qos), and what it
makes of requests and limits (pkg/kubelet/cm/helpers_linux.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

QosClass = Literal["Guaranteed", "Burstable", "BestEffort"]

GUARANTEED_ADJ = -997
BEST_EFFORT_ADJ = 1000
SANDBOX_ADJ = -998
"""The pause container's; nothing in the pod is chosen after it."""
LEAST_CPU_SHARES, MOST_CPU_SHARES = 2, 262_144
_MOST_CPU_WEIGHT = 10_000


@dataclass(frozen=True)
class Asked:
    """What one container asks for: requests and limits; bytes and millicores, None is not said."""

    memory_request: int | None = None
    memory_limit: int | None = None
    cpu_request: int | None = None
    cpu_limit: int | None = None

    @property
    def effective_memory_request(self) -> int | None:
        """A limit without a request is a request of the same size (Kubernetes' defaulting)."""
        return self.memory_limit if self.memory_request is None else self.memory_request

    @property
    def effective_cpu_request(self) -> int | None:
        """As for memory."""
        return self.cpu_limit if self.cpu_request is None else self.cpu_request


def qos_class(containers: tuple[Asked, ...]) -> QosClass:
    """Guaranteed: each has a memory and a cpu limit equal to its request. BestEffort: none says anything."""
    if all(
        asked.memory_limit is not None
        and asked.cpu_limit is not None
        and asked.effective_memory_request == asked.memory_limit
        and asked.effective_cpu_request == asked.cpu_limit
        for asked in containers
    ):
        return "Guaranteed"
    if all(asked == Asked() for asked in containers):
        return "BestEffort"
    return "Burstable"


def oom_score_adj(qos: QosClass, asked: Asked, machine_memory_bytes: int) -> int:
    """What the kubelet gives a container: by its own request, even where the pod's class is the same.

    Burstable: 1000 - 1000 * request / memory of the machine, at least 3 and at most 999. A queue-proxy without a
    memory request in a Burstable pod gets 999: the preferred victim of every OOM above its own level.
    """
    if qos == "Guaranteed":
        return GUARANTEED_ADJ
    if qos == "BestEffort":
        return BEST_EFFORT_ADJ
    request = asked.effective_memory_request or 0
    return max(3, min(999, 1000 - (1000 * request) // machine_memory_bytes))


def pod_memory_max(containers: tuple[Asked, ...], own: int | None) -> int | None:
    """The pod cgroup's memory.max: what the scenario says, else the sum of limits if every container has one,
    else none (kubernetes pkg/kubelet/cm/helpers_linux.go, ResourceConfigForPod).
    """
    if own is not None:
        return own
    limits = [asked.memory_limit for asked in containers]
    if any(limit is None for limit in limits):
        return None
    return sum(limit for limit in limits if limit is not None)


def cpu_shares(containers: tuple[Asked, ...]) -> int:
    """The CPU shares of a container, or of a pod of several: 1024 for each CPU requested, at least 2."""
    millicores = sum(asked.effective_cpu_request or 0 for asked in containers)
    return max(LEAST_CPU_SHARES, min(MOST_CPU_SHARES, millicores * 1024 // 1000))


def cpu_weight(shares: int) -> int:
    """The cpu.weight that shares become: 2 to 262144 are spread evenly over 1 to 10000 (KEP 2254).

    The kubelet has it so for a pod's cgroup, in every version. For a container's it is the runtime's affair: runc has
    it so before 1.3.2.
    """
    span = MOST_CPU_SHARES - LEAST_CPU_SHARES
    return 1 + (shares - LEAST_CPU_SHARES) * (_MOST_CPU_WEIGHT - 1) // span
