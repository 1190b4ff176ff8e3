"""A pod as a kubelet sees it, as far as its resources go, and what it requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from emu.policy.effective import (
    MEMORY,
    Amounts,
    Init,
    PodCgroup,
    Resources,
    effective,
    pod_cgroup,
    pod_level_defaulted,
)
from emu.policy.kubelet.version import NEWEST, POD_LEVEL, SIDECARS, Version

CRITICAL_PRIORITY = 2_000_000_000
NODE_CRITICAL = "system-node-critical"
HUGE_PAGES = "hugepages-"
"""Resources of that name, one for each size of a page."""
SYSTEM_CLASSES = {"system-cluster-critical": CRITICAL_PRIORITY, NODE_CRITICAL: CRITICAL_PRIORITY + 1000}
"""The priority classes that Kubernetes makes itself."""


@dataclass(frozen=True)
class Container:
    """What a kubelet's decisions need to know of a container."""

    name: str
    resources: Resources = field(default_factory=Resources)
    sidecar: bool = False
    """An init container with restartPolicy Always."""

    def request(self, resource: str) -> int:
        """0 where there is none."""
        return self.resources.requests.get(resource, 0)

    def limit(self, resource: str) -> int:
        """0 where there is none."""
        return self.resources.limits.get(resource, 0)


@dataclass(frozen=True)
class Pod:
    """A pod. `stored` makes it what the API server keeps; all else here expects it so."""

    containers: Sequence[Container]
    init_containers: Sequence[Container] = ()
    resources: Resources | None = None
    """Of the pod itself (`spec.resources`)."""
    overhead: Amounts = field(default_factory=dict)
    """What its runtime class adds."""
    name: str = ""
    priority: int | None = None
    priority_class: str = ""
    static: bool = False
    """From a file on the node, or the mirror of such a one."""
    grace_s: int | None = None
    """terminationGracePeriodSeconds."""

    @property
    def critical(self) -> bool:
        """The kubelet never evicts it."""
        return self.static or (self.priority is not None and self.priority >= CRITICAL_PRIORITY)

    @property
    def node_critical(self) -> bool:
        """Nothing on the node is to be killed after it."""
        return self.critical and self.priority_class == NODE_CRITICAL

    @property
    def all_containers(self) -> list[Container]:
        """App containers first."""
        return [*self.containers, *self.init_containers]

    @property
    def own(self) -> Resources | None:
        """Its own resources; None where it has none."""
        level = self.resources
        return level if level is not None and (level.requests or level.limits) else None

    @property
    def of_containers(self) -> Resources:
        """What its containers come to, without its own resources and overhead."""
        return effective(*_parts(self))

    @property
    def effective(self) -> Resources:
        """Its effective requests and limits."""
        return effective(*_parts(self), overhead=self.overhead, pod_level=self.own)

    @property
    def evictable_request(self) -> int:
        """The memory request that eviction measures its use by: of the pod itself where it has resources of its own,
        and overhead counts only above a request (GetResourceRequestQuantity). Bytes.
        """
        source = self.own or self.of_containers
        request = source.requests.get(MEMORY, 0)
        return request + self.overhead.get(MEMORY, 0) if request else 0

    def cgroup(self, *, best_effort: bool) -> PodCgroup:
        """What its cgroup gets; `best_effort` is its class."""
        containers, inits = _parts(self)
        return pod_cgroup(self.effective, containers, inits, self.own, best_effort=best_effort)


def stored(pod: Pod, version: Version = NEWEST) -> Pod:
    """The pod as that version's API server keeps it: without the fields that it does not know, and defaulted."""
    sidecars = version >= SIDECARS
    pod = replace(
        pod,
        containers=[replace(one, resources=one.resources.defaulted) for one in pod.containers],
        init_containers=[
            replace(one, resources=one.resources.defaulted, sidecar=one.sidecar and sidecars)
            for one in pod.init_containers
        ],
        resources=pod.resources if version >= POD_LEVEL else None,
    )
    if pod.resources is None:
        return pod
    level = _with_huge_pages(pod.resources, pod.of_containers.limits)
    return replace(pod, resources=pod_level_defaulted(level, pod.of_containers.requests))


def _with_huge_pages(level: Resources, limits: Amounts) -> Resources:
    """Where the pod level names anything, it also has the limits on huge pages that the containers have together."""
    if not level.requests and not level.limits:
        return level
    more = {
        name: value for name, value in limits.items() if name.startswith(HUGE_PAGES) and name not in level.requests
    }
    return Resources(level.requests, {**more, **level.limits})


def _parts(pod: Pod) -> tuple[list[Resources], list[Init]]:
    return (
        [one.resources for one in pod.containers],
        [Init(one.resources, one.sidecar) for one in pod.init_containers],
    )
