"""A pod's effective requests and limits, and what its cgroup gets from them (kubernetes
component-helpers/resource/helpers.go; pkg/kubelet/cm/helpers_linux.go, ResourceConfigForPod). Pure.

Containers run side by side, so they add up. Init containers run one after another, so the largest counts. A sidecar
(an init container with restartPolicy Always) stays: it counts with the containers, and with each init container after
it. Amounts are mappings from a resource to an integer, cpu in millicores and memory in bytes; a resource that is
absent was not given, which is not 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from emu.policy.kubelet.cpu import LEAST_CPU_SHARES, cpu_quota_usec, cpu_shares, cpu_weight

CPU, MEMORY = "cpu", "memory"

Amounts = Mapping[str, int]


@dataclass(frozen=True)
class Asked:
    """What one container asks for: requests and limits; bytes and millicores, None is not said."""

    memory_request: int | None = None
    memory_limit: int | None = None
    cpu_request: int | None = None
    cpu_limit: int | None = None


@dataclass(frozen=True)
class Resources:
    """Requests and limits: of a container, or of a pod."""

    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)

    @classmethod
    def of(cls, asked: Asked) -> Resources:
        """A container's, as a template has them."""
        return cls(
            _given(cpu=asked.cpu_request, memory=asked.memory_request),
            _given(cpu=asked.cpu_limit, memory=asked.memory_limit),
        )

    @property
    def defaulted(self) -> Resources:
        """A limit without a request is a request of the same size (Kubernetes' defaulting)."""
        return Resources({**self.limits, **self.requests}, self.limits)


@dataclass(frozen=True)
class Init:
    """An init container's."""

    resources: Resources
    sidecar: bool = False
    """It has restartPolicy Always: it starts in turn, and keeps running beside the containers."""


@dataclass(frozen=True)
class PodCgroup:
    """What the kubelet writes into a pod's cgroup; None leaves the file at max."""

    memory_max: int | None
    cpu_shares: int
    cpu_weight: int
    cpu_quota_usec: int | None
    """For each 100 ms; 0 is none, where all containers are limited and the pod level is at 0."""


def effective(
    containers: Sequence[Resources],
    inits: Sequence[Init] = (),
    *,
    overhead: Amounts | None = None,
    pod_level: Resources | None = None,
) -> Resources:
    """A pod's effective requests and limits. `overhead`: of its runtime class; it adds to a limit only where there is
    one. `pod_level`: spec.resources, in place of the containers' where it names a resource.
    """
    containers = [one.defaulted for one in containers]
    inits = [Init(one.resources.defaulted, one.sidecar) for one in inits]
    requests = _aggregate(
        [one.requests for one in containers], [(one.resources.requests, one.sidecar) for one in inits]
    )
    limits = _aggregate([one.limits for one in containers], [(one.resources.limits, one.sidecar) for one in inits])
    if pod_level is not None:
        level = pod_level_defaulted(pod_level, requests)
        requests, limits = {**requests, **level.requests}, {**limits, **level.limits}
    if overhead is not None:
        requests = _sum((requests, overhead))
        limits = {name: value + (overhead.get(name, 0) if value > 0 else 0) for name, value in limits.items()}
    return Resources(requests, limits)


def pod_level_defaulted(level: Resources, aggregated: Amounts) -> Resources:
    """Where the pod level has limits, a request that it lacks is what the containers request together (of CPU and
    memory, also where the limit is on the other one), and the limit itself where none of them requests anything.
    Without limits nothing is filled in.
    """
    if not level.limits:
        return level
    filled = {name: value for name, value in aggregated.items() if name in (CPU, MEMORY)}
    return Resources({**level.limits, **filled, **level.requests}, level.limits)


def pod_cgroup(
    pod: Resources,
    containers: Sequence[Resources],
    inits: Sequence[Init] = (),
    pod_level: Resources | None = None,
    *,
    best_effort: bool = False,
) -> PodCgroup:
    """What the pod's cgroup gets. `pod`: as `effective` has it. A limit is set only if every container has one, init
    containers included, or if the pod level has one: queue-proxy without a limit leaves the pod without one. The
    kubelet looks at an init container together with the sidecars before it, so one of them with a limit will do.
    `best_effort`: the pod's class; it has no limit, and overhead does not count for its shares.
    """
    beside = _beside((one.resources.limits, one.sidecar) for one in inits)
    every = [*(one.limits for one in containers), *beside]

    def limited(name: str) -> bool:
        if best_effort:
            return False
        level = pod_level is not None and pod_level.limits.get(name, 0) > 0
        return level or all(limits.get(name, 0) > 0 for limits in every)

    shares = LEAST_CPU_SHARES if best_effort else cpu_shares(pod.requests.get(CPU, 0))
    return PodCgroup(
        memory_max=pod.limits.get(MEMORY) if limited(MEMORY) else None,
        cpu_shares=shares,
        cpu_weight=cpu_weight(shares),
        cpu_quota_usec=cpu_quota_usec(pod.limits.get(CPU, 0)) if limited(CPU) else None,
    )


def memory_volume_bytes(size_limit: int | None, pod_memory_max: int | None, allocatable: int) -> int:
    """The size of an emptyDir with medium Memory: the least of its sizeLimit (0 is none), the pod's memory.max and
    what the node has for pods (pkg/volume/emptydir/empty_dir.go).
    """
    return min(one for one in (size_limit or None, pod_memory_max, allocatable) if one is not None)


def _given(**values: int | None) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}


def _aggregate(containers: Iterable[Amounts], inits: Sequence[tuple[Amounts, bool]]) -> dict[str, int]:
    largest: Amounts = {}
    for one in _beside(inits):
        largest = _most(largest, one)
    return _most(_sum((*containers, *(own for own, stays in inits if stays))), largest)


def _beside(inits: Iterable[tuple[Amounts, bool]]) -> list[Amounts]:
    """Each init container's, with those of the sidecars that run beside it by then."""
    sidecars: Amounts = {}
    found: list[Amounts] = []
    for own, stays in inits:
        found.append(_sum((own, sidecars)))
        if stays:
            sidecars = found[-1]
    return found


def _sum(every: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in every:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total


def _most(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in (*one, *other)}
