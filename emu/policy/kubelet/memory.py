"""The memory files that a kubelet has written: limits, Memory QoS (KEP-2570) and swap, by version.

From pkg/kubelet/kuberuntime/kuberuntime_container_linux.go, pkg/kubelet/cm/helpers_linux.go and
qos_container_manager_linux.go. Pods are as the API server keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from emu.policy.effective import CPU, MEMORY
from emu.policy.kubelet.cpu import LEAST_CPU_SHARES, cpu_shares, cpu_weight
from emu.policy.kubelet.pod import Container, Pod
from emu.policy.kubelet.version import (
    CRITICAL_PODS_DO_NOT_SWAP,
    KEP_2570_FLOOR_FORMULA,
    NEWEST,
    NO_SWAP,
    OOM_GROUP,
    OOM_GROUP_IS_A_CHOICE,
    RESERVATION_POLICY,
    Version,
)
from emu.policy.qos import QosClass, qos_class

Policy = Literal["None", "TieredReservation"]
SwapBehavior = Literal["", "NoSwap", "LimitedSwap", "UnlimitedSwap"]
Files = dict[str, str]
"""By file name; a file that is absent is not written."""
PAGE_BYTES = 4096


@dataclass(frozen=True)
class MemoryQos:
    """What the MemoryQoS feature is set to, where it is on."""

    policy: Policy = "None"
    """Since 1.36; before, every request was reserved."""
    throttling_factor: float | None = 0.9
    """None: memory.high is not written (the default from 1.37 on)."""
    allocatable_bytes: int = 0
    """Of the node, less reservations and eviction threshold. It stands in for a limit that is absent."""


def limit(pod: Pod, container: Container, resource: str) -> int:
    """What the runtime gets as a container's limit: its own, else the whole of the pod's own; 0 is none."""
    own = container.limit(resource)
    return own if own or pod.own is None else pod.own.limits.get(resource, 0)


def cpu_request(pod: Pod, container: Container) -> int:
    """What a container's CPU shares are of: its request, also a written 0; without one its limit. Millicores."""
    return container.resources.requests.get(CPU, limit(pod, container, CPU))


def kills_the_group(version: Version, *, single_process: bool = False) -> bool:
    """Whether memory.oom.group is set on containers: since 1.28, since 1.32 unless singleProcessOOMKill."""
    return version >= OOM_GROUP and not (single_process and version >= OOM_GROUP_IS_A_CHOICE)


def container_qos(pod: Pod, container: Container, settings: MemoryQos, version: Version = NEWEST) -> Files:
    """A container's memory.min, memory.low and memory.high."""
    request, files = container.request(MEMORY), Files()
    if version >= RESERVATION_POLICY:
        if request and settings.policy == "TieredReservation":
            files["memory.min" if qos_class(pod) == "Guaranteed" else "memory.low"] = str(request)
        else:
            files |= {"memory.min": "0", "memory.low": "0"}
    elif request:
        files["memory.min"] = str(request)
    high = memory_high(request, container.limit(MEMORY), settings, version)
    return files if high is None else {**files, "memory.high": str(high)}


def memory_high(request: int, own_limit: int, settings: MemoryQos, version: Version = NEWEST) -> int | None:
    """Where a container is held back: between its request and its limit, or what the node has where it has none (0).
    From 1.27 on in whole pages, and not at all where request and limit are equal, both absent included; before, a
    share of the limit.
    """
    most, factor = own_limit or settings.allocatable_bytes, settings.throttling_factor
    if factor is None:
        return None
    if version < KEP_2570_FLOOR_FORMULA:
        high = int(float(most) * factor)
    elif request == own_limit or not most:
        return None
    else:
        exact = float(request) + (float(most) - float(request)) * factor
        high = int(math.floor(exact) / PAGE_BYTES) * PAGE_BYTES
    return high if high > request else None


def pod_qos(pod: Pod, settings: MemoryQos, version: Version = NEWEST) -> Files:
    """What protects the pod as a whole: its effective request."""
    request = pod.effective.requests.get(MEMORY, 0)
    if not request:
        return {}
    if version < RESERVATION_POLICY:
        return {"memory.min": str(request)}
    if settings.policy == "None":
        return {}
    return {"memory.min" if qos_class(pod) == "Guaranteed" else "memory.low": str(request)}


@dataclass(frozen=True)
class Levels:
    """The values of control files of the cgroups above the pods."""

    kubepods: Files
    burstable: Files
    burstable_shares: int
    besteffort_shares: int = LEAST_CPU_SHARES

    @property
    def burstable_weight(self) -> int:
        """cpu.weight of the cgroup of all Burstable pods."""
        return cpu_weight(self.burstable_shares)

    @property
    def besteffort_weight(self) -> int:
        """cpu.weight of the cgroup of all BestEffort pods."""
        return cpu_weight(self.besteffort_shares)


def levels(pods: Iterable[Pod], settings: MemoryQos | None, version: Version = NEWEST) -> Levels:
    """What the kubelet writes each minute, for the pods that it runs; `settings` is None where MemoryQoS is off."""
    memory: dict[QosClass, int] = {"Guaranteed": 0, "Burstable": 0, "BestEffort": 0}
    millicores = 0
    for pod in pods:
        qos, requests = qos_class(pod), pod.effective.requests
        memory[qos] += requests.get(MEMORY, 0)
        millicores += requests.get(CPU, 0) if qos == "Burstable" else 0
    burstable = memory["Burstable"]
    every, shares = burstable + memory["Guaranteed"], cpu_shares(millicores)
    if settings is None:
        return Levels({}, {}, shares)
    if version < RESERVATION_POLICY:
        return Levels(_min(every), _min(burstable), shares)
    if settings.policy == "None":
        every = burstable = 0
    return Levels({"memory.min": str(every)}, {"memory.low": str(burstable)}, shares)


def _min(request: int) -> Files:
    return {"memory.min": str(request)} if request else {}


def swap_max(
    pod: Pod,
    container: Container,
    behavior: SwapBehavior,
    *,
    node_memory_bytes: int,
    node_swap_bytes: int,
    version: Version = NEWEST,
) -> str:
    """A container's memory.swap.max on a node whose kernel has it (without the file nothing is written).

    LimitedSwap is for Burstable pods: as much of the node's swap as the container requests of its memory, and none
    where request and limit are equal. Before 1.30 anything but LimitedSwap is without a limit.
    """
    if behavior != "LimitedSwap":
        return "0" if version >= NO_SWAP else "max"
    request = container.request(MEMORY)
    spared = pod.critical and version >= CRITICAL_PODS_DO_NOT_SWAP
    if spared or qos_class(pod) != "Burstable" or request == container.limit(MEMORY):
        return "0"
    if request > node_memory_bytes:
        return "0"
    return str(int(float(request) / float(node_memory_bytes) * float(node_swap_bytes)))
