"""In which order a kubelet resizes a running pod, and when it does not
(pkg/kubelet/kuberuntime/kuberuntime_manager.go, computePodResizeAction, validateMemoryResizeAction,
doPodResizeAction). Pods are as the API server keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from emu.policy.effective import CPU, MEMORY, PodCgroup, Resources
from emu.policy.kubelet.cpu import PERIOD_USEC, cpu_quota_usec, cpu_shares, cpu_weight
from emu.policy.kubelet.memory import limit
from emu.policy.kubelet.pod import Container, Pod
from emu.policy.kubelet.version import NEWEST, RESIZE_SHRINKS_MEMORY, Version
from emu.policy.qos import oom_score_adj, qos_class

Write = Mapping[str, int | str | bool]
_UNLIMITED = 9_223_372_036_854_771_712


@dataclass(frozen=True)
class PodNow:
    """What the pod's cgroup has."""

    memory_max: int | None
    """None: no limit."""
    cpu_quota_usec: int
    """-1: no limit."""
    cpu_shares: int


@dataclass(frozen=True)
class Actuation:
    """What a resize comes to."""

    writes: Sequence[Write] = ()
    """In order: `pod` of the pod's cgroup, `container` through the runtime, which gets all values each time."""
    message: str = ""
    """Why nothing is written; empty: it is done."""
    restarts: Sequence[str] = ()
    """Containers ended before the writes, and started after them."""


@dataclass(frozen=True)
class _Sizes:
    """What the runtime has of a container, or is to have; 0 is none."""

    memory_limit: int
    memory_request: int
    cpu_limit: int
    cpu_request: int


@dataclass
class _Plan:
    """Which containers are updated, for each resource: decreases before increases."""

    memory: list[Container] = field(default_factory=list)
    cpu: list[Container] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)


def actuate(
    new: Pod,
    old: Pod,
    now: PodNow,
    *,
    pod_usage: int,
    usage: Mapping[str, int],
    restart_for: Mapping[str, frozenset[str]],
    node_memory_bytes: int,
    version: Version = NEWEST,
) -> Actuation | None:
    """The resize of a pod whose containers all run. `usage`: memory.current of containers; `restart_for`: by
    container the resources with the resize policy RestartContainer. None: there is nothing to do.
    """
    before = {one.name: _sizes(old, one) for one in old.all_containers}
    after = {one.name: _sizes(new, one) for one in new.all_containers}
    plan = _Plan()
    for one in [*new.init_containers, *new.containers]:
        if one in new.containers or one.sidecar:
            _plan(plan, one, before[one.name], after[one.name], restart_for.get(one.name, frozenset()))
    level = _level(new) != _level(old)
    if not (plan.memory or plan.cpu or plan.restarts or level):
        return None
    cgroup = new.cgroup(best_effort=qos_class(new) == "BestEffort")
    if version >= RESIZE_SHRINKS_MEMORY and (plan.memory or plan.restarts):
        message = _below_usage(plan, before, after, cgroup, now, pod_usage, usage)
        if message:
            return Actuation((), message, plan.restarts)
    writes = _writes(new, plan, before, after, cgroup, now, level=level, node=node_memory_bytes, version=version)
    return Actuation(writes, "", plan.restarts)


def _sizes(pod: Pod, one: Container) -> _Sizes:
    return _Sizes(limit(pod, one, MEMORY), one.request(MEMORY), limit(pod, one, CPU), one.request(CPU))


def _level(pod: Pod) -> _Sizes:
    """Of the pod itself."""
    own = pod.own or Resources()
    limits, requests = own.limits, own.requests
    return _Sizes(limits.get(MEMORY, 0), requests.get(MEMORY, 0), limits.get(CPU, 0), requests.get(CPU, 0))


def _plan(plan: _Plan, one: Container, before: _Sizes, after: _Sizes, restart_for: frozenset[str]) -> None:
    memory = (after.memory_limit - before.memory_limit) or (after.memory_request - before.memory_request)
    cpu = (after.cpu_limit - before.cpu_limit) or (after.cpu_request - before.cpu_request)
    if (memory and MEMORY in restart_for) or (cpu and CPU in restart_for):
        plan.restarts.append(one.name)
        return
    for change, updates in ((memory, plan.memory), (cpu, plan.cpu)):
        if change > 0:
            updates.append(one)
        elif change < 0:
            updates.insert(0, one)


def _below_usage(
    plan: _Plan,
    before: Mapping[str, _Sizes],
    after: Mapping[str, _Sizes],
    cgroup: PodCgroup,
    now: PodNow,
    pod_usage: int,
    usage: Mapping[str, int],
) -> str:
    """Why no limit may shrink now: what is used, page cache included, is not below it. Of a container the message
    names the pod's use.
    """
    current = _UNLIMITED if now.memory_max is None else now.memory_max
    found = []
    if cgroup.memory_max is not None and cgroup.memory_max < current and pod_usage >= cgroup.memory_max:
        found.append(f"pod memory limit ({cgroup.memory_max})")
    shrinking = {
        one.name: after[one.name].memory_limit
        for one in plan.memory
        if after[one.name].memory_limit and not 0 < before[one.name].memory_limit <= after[one.name].memory_limit
    }
    for name, used in usage.items():
        if name in shrinking and used >= shrinking[name]:
            found.append(f'container "{name}" memory limit ({shrinking[name]})')
    texts = list(dict.fromkeys(f"attempting to set {one} below current usage ({pod_usage})" for one in found))
    if not texts:
        return ""
    return f"cannot decrease memory limits: {texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'}"


def _writes(
    pod: Pod,
    plan: _Plan,
    before: Mapping[str, _Sizes],
    after: Mapping[str, _Sizes],
    cgroup: PodCgroup,
    now: PodNow,
    *,
    level: bool,
    node: int,
    version: Version,
) -> list[Write]:
    """Memory wholly, then CPU. The pod's cgroup grows before its containers and shrinks after them; a limit that the
    pod has no more stays.
    """
    current, sizes = dict(before), list[Write]()

    def update(one: Container) -> Write:
        has = current[one.name]
        resized = replace(
            one,
            resources=Resources(
                {CPU: has.cpu_request, MEMORY: has.memory_request}, {CPU: has.cpu_limit, MEMORY: has.memory_limit}
            ),
        )
        made: dict[str, int | str | bool] = {
            "container": one.name,
            "cpu_shares": cpu_shares(has.cpu_request),
            "cpu_quota": cpu_quota_usec(limit(pod, resized, CPU)),
            "oom_score_adj": oom_score_adj(pod, resized, node, version),
        }
        memory = limit(pod, resized, MEMORY)
        return {**made, "memory_max": memory} if memory else made

    if plan.memory or plan.restarts or level:
        has = _UNLIMITED if now.memory_max is None else now.memory_max
        wanted = has if cgroup.memory_max is None else cgroup.memory_max
        own: list[Write] = [{"pod": True, "memory_max": wanted}]
        sizes += own if wanted > has else []
        for one in plan.memory:
            to = after[one.name]
            current[one.name] = replace(
                current[one.name], memory_limit=to.memory_limit, memory_request=to.memory_request
            )
            sizes.append(update(one))
        sizes += own if wanted < has else []
    if plan.cpu or plan.restarts or level:
        quota = cgroup.cpu_quota_usec
        quota = now.cpu_quota_usec if quota is None else quota
        limits: list[Write] = [{"pod": True, "cpu_quota": quota}]
        shares: list[Write] = [{"pod": True, "cpu_shares": cgroup.cpu_shares}]
        sizes += limits if quota > now.cpu_quota_usec else []
        sizes += shares if cgroup.cpu_shares > now.cpu_shares else []
        for one in plan.cpu:
            to = after[one.name]
            current[one.name] = replace(current[one.name], cpu_limit=to.cpu_limit, cpu_request=to.cpu_request)
            sizes.append(update(one))
        sizes += shares if cgroup.cpu_shares < now.cpu_shares else []
        sizes += limits if quota < now.cpu_quota_usec else []
    return sizes


def control_files(write: Write) -> dict[str, str]:
    """The control files of a write, and their values. oom_score_adj is none, and no runtime changes it afterwards."""
    found: dict[str, str] = {}
    if "memory_max" in write:
        found["memory.max"] = str(write["memory_max"])
    if "cpu_quota" in write:
        quota = int(write["cpu_quota"])
        found["cpu.max"] = f"{quota if quota > 0 else 'max'} {PERIOD_USEC}"
    if "cpu_shares" in write:
        found["cpu.weight"] = str(cpu_weight(int(write["cpu_shares"])))
    return found
