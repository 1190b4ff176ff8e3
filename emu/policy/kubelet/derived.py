"""All that a kubelet makes of a pod's requests and limits: file by file, each value with how it came about. Pure.

A run writes these values, and `emu explain` prints them: there is one place that knows them. Pods are as the API
server keeps them (`emu.policy.kubelet.pod.stored`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emu.policy.effective import CPU, MEMORY
from emu.policy.kubelet import memory
from emu.policy.kubelet.cpu import PERIOD_USEC, cpu_quota_usec, cpu_shares, cpu_weight, runtime_cpu_weight
from emu.policy.kubelet.memory import Levels, MemoryQos, SwapBehavior
from emu.policy.kubelet.pod import Container, Pod
from emu.policy.kubelet.thresholds import Threshold
from emu.policy.kubelet.version import (
    CRITICAL_PODS_DO_NOT_SWAP,
    KEP_2570_FLOOR_FORMULA,
    NEWEST,
    NO_SWAP,
    OOM_GROUP,
    OOM_GROUP_IS_A_CHOICE,
    POD_LEVEL,
    RESERVATION_POLICY,
    SIDECAR_OOM_SCORE,
    THROTTLING_IS_A_CHOICE,
    Version,
    shown,
)
from emu.policy.qos import QosClass, oom_score_adj, qos_class, share_of_the_rest
from emu.units import format_bytes

NO_LIMIT = "max"
OOM_SCORE_ADJ = "oom_score_adj"
"""Of each process of a container; the only value here that is in no file of its cgroup."""
_PROTECTION = ("memory.min", "memory.low")
GIVEN = "set in the scenario"
IO_WEIGHT = "io.weight"
"""A kubelet sets none."""
_POD_LEVEL = f"from {shown(POD_LEVEL)}"
_RESERVES_NOTHING = "memoryReservationPolicy None reserves nothing"


@dataclass(frozen=True)
class NodeRules:
    """A node: its machine, its Kubernetes version and what its kubelet is configured to do."""

    memory_bytes: int
    """MemTotal; of a node that has a limit of its own, that."""
    swap_bytes: int = 0
    version: Version = NEWEST
    memory_qos: MemoryQos | None = None
    """None: the feature is off."""
    swap_behavior: SwapBehavior = "NoSwap"
    single_process_oom_kill: bool = False
    allocatable_bytes: int | None = None
    """What the node has for pods; None: all of its memory."""
    allocatable_millicores: int | None = None
    """The same of CPU; None: all that the machine has, and how much that is is not known."""
    kubepods_max: int | None = None
    """memory.max of the cgroup of all pods: its memory less what is reserved; None: it has no limit."""
    eviction: tuple[Threshold, ...] = ()
    """When pods are evicted; empty: never."""
    eviction_max_pod_grace_s: int = 0
    """How long at most a pod that is evicted for a soft threshold is given to end."""

    @property
    def allocatable(self) -> int:
        """status.allocatable of memory."""
        return self.memory_bytes if self.allocatable_bytes is None else self.allocatable_bytes

    @property
    def counts_the_group_as_one(self) -> bool:
        """Whether an OOM kill takes all of a container, unless the scenario says otherwise."""
        return memory.kills_the_group(self.version, single_process=self.single_process_oom_kill)


@dataclass(frozen=True)
class Value:
    """One control file."""

    file: str
    value: str
    how: str = ""
    """The formula with its numbers, or the reason."""
    rules: str = ""
    """The Kubernetes versions that have it so; empty where all do."""
    given: bool = False
    """The scenario sets it, whatever the kubelet would."""


def as_files(values: Iterable[Value]) -> dict[str, str]:
    """Control files and what the kubelet writes to them."""
    return {one.file: one.value for one in values}


def container_values(
    pod: Pod, container: Container, node: NodeRules, given: Mapping[str, str] | None = None
) -> list[Value]:
    """What a container's cgroup gets, and its processes' oom_score_adj. `given`: files that the scenario sets."""
    derived = [
        _container_max(pod, container),
        *_container_qos(pod, container, node),
        _swap_max(pod, container, node),
        _oom_group(node),
        _container_weight(pod, container),
        _cpu_max(memory.limit(pod, container, CPU)),
        _oom_score_adj(pod, container, node),
    ]
    return _with(derived, given or {})


def pod_values(pod: Pod, node: NodeRules, given: Mapping[str, str] | None = None) -> list[Value]:
    """What a pod's cgroup gets."""
    qos = qos_class(pod)
    files = pod.cgroup(best_effort=qos == "BestEffort")
    most = (
        Value("memory.max", str(files.memory_max), *_limited_by(pod, MEMORY))
        if files.memory_max is not None
        else Value("memory.max", NO_LIMIT, _without_limit(pod, MEMORY))
    )
    quota = (
        Value("cpu.max", f"{files.cpu_quota_usec} {PERIOD_USEC}", *_limited_by(pod, CPU))
        if files.cpu_quota_usec is not None
        else Value("cpu.max", f"{NO_LIMIT} {PERIOD_USEC}", _without_limit(pod, CPU))
    )
    requested = pod.effective.requests.get(CPU, 0)
    weight = Value("cpu.weight", str(files.cpu_weight), _linear(files.cpu_shares, requested, "requested"))
    return _with([most, *_pod_qos(pod, node), weight, quota], given or {})


def _limited_by(pod: Pod, resource: str) -> tuple[str, str]:
    """In words, and the versions that have it so."""
    if pod.own is not None and pod.own.limits.get(resource):
        return f"limits.{resource} of the pod itself", _POD_LEVEL
    return "sum of its containers' limits" + (", or the largest init container's" if resource == MEMORY else ""), ""


def node_values(levels: Levels, node: NodeRules) -> list[Value]:
    """What the node's cgroup of all pods (kubepods) gets; cpu.weight where the node's CPU is known."""
    rules = _rules(node.version, RESERVATION_POLICY)
    how = "node.memory"
    if node.kubepods_max is not None and node.kubepods_max < node.memory_bytes:
        how += " - kubeReserved - systemReserved" + ("; the eviction threshold stays in it" if node.eviction else "")
    most = [] if node.kubepods_max is None else [Value("memory.max", str(node.kubepods_max), how)]
    how = _reserved("memory requests of all pods", node)
    protected = [Value(file, value, how, rules) for file, value in levels.kubepods.items()]
    return [*most, *protected, *_node_weight(node.allocatable_millicores)]


def _node_weight(millicores: int | None) -> list[Value]:
    if millicores is None:
        return []
    shares = cpu_shares(millicores)
    return [Value("cpu.weight", str(cpu_weight(shares)), _linear(shares, millicores, "allocatable"))]


def class_values(qos: QosClass, levels: Levels, node: NodeRules) -> list[Value]:
    """What the cgroup of a class gets; Guaranteed pods have none."""
    if qos == "Guaranteed":
        return []
    if qos == "BestEffort":
        return [Value("cpu.weight", str(levels.besteffort_weight), "the least")]
    how = _reserved("memory requests of all Burstable pods", node)
    rules = _rules(node.version, RESERVATION_POLICY)
    shares = levels.burstable_shares
    return [
        *(Value(file, value, how, rules) for file, value in levels.burstable.items()),
        Value("cpu.weight", str(levels.burstable_weight), _linear(shares, None, "requested by Burstable pods")),
    ]


def _reserved(how: str, node: NodeRules) -> str:
    policy = None if node.memory_qos is None else node.memory_qos.policy
    return _RESERVES_NOTHING if policy == "None" and node.version >= RESERVATION_POLICY else how


def reaching(values: list[Value], below: Iterable[Mapping[str, str]]) -> list[Value]:
    """The values of a cgroup, with as much protection as the cgroups below it have together (their files): the kernel
    protects nothing more than all cgroups above it have. A kubelet's own values are as large already; this is for
    what a scenario gives a container alone.
    """
    files = list(below)
    known = {one.file: one for one in values}
    for file in _PROTECTION:
        wanted = [one[file] for one in files if file in one]
        total = NO_LIMIT if NO_LIMIT in wanted else str(sum(map(int, wanted)))
        if _size(total) > _size(known[file].value if file in known else "0"):
            known[file] = Value(file, total, "the sum of those below: the kernel protects no more than this has")
    return list(known.values())


def with_lowered(before: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """The files of a cgroup; a protection that it had `before`, and that none below needs any more, is taken back."""
    gone = [file for file in _PROTECTION if before.get(file, "0") != "0" and file not in files]
    return {**dict.fromkeys(gone, "0"), **files}


def _size(value: str) -> float:
    return math.inf if value == NO_LIMIT else int(value)


def class_reason(pod: Pod) -> str:
    """Why a pod is of its class."""
    qos = qos_class(pod)
    if qos == "BestEffort":
        return "nothing is requested or limited"
    if qos == "Guaranteed":
        whose = "each container" if pod.resources is None else "the pod itself"
        return f"{whose} has CPU and memory limits, and requests equal them"
    if pod.resources is not None:
        return "the resources of the pod itself decide: requests are below limits, or not all are given"
    for one in pod.all_containers:
        for name, word in ((CPU, "CPU"), (MEMORY, "memory")):
            if not one.limit(name):
                return f"{one.name} has no {word} limit"
    return "requests are below limits"


def _with(derived: list[Value], given: Mapping[str, str]) -> list[Value]:
    known = {one.file: one for one in derived}
    for file, value in given.items():
        old = known.get(file)
        instead = "" if old is None or old.value == value else f", in place of {old.value} ({old.how})"
        known[file] = Value(file, value, GIVEN + instead, given=True)
    return list(known.values())


def _rules(version: Version, *bounds: Version) -> str:
    """The span between two versions in which a rule changed, that this version lies in."""
    since = max((one for one in bounds if one <= version), default=None)
    until = min((one for one in bounds if one > version), default=None)
    last = None if until is None else shown((until[0], until[1] - 1))
    if since is None:
        return f"to {last}"
    return f"{shown(since)} to {last}" if last else f"from {shown(since)}"


def _container_max(pod: Pod, container: Container) -> Value:
    limit = memory.limit(pod, container, MEMORY)
    if limit and not container.limit(MEMORY):
        how = "limits.memory of the pod itself: it has none of its own"
        return Value("memory.max", str(limit), how, _POD_LEVEL)
    return Value("memory.max", str(limit) if limit else NO_LIMIT, "limits.memory" if limit else "no limits.memory")


def _container_qos(pod: Pod, container: Container, node: NodeRules) -> list[Value]:
    settings, version = node.memory_qos, node.version
    if settings is None:
        return []
    files = memory.container_qos(pod, container, settings, version)
    request = container.request(MEMORY)
    protected = f"requests.memory of {format_bytes(request)}" if request else "no requests.memory"
    if version >= RESERVATION_POLICY and settings.policy == "None":
        protected = _RESERVES_NOTHING
    rules = _rules(version, RESERVATION_POLICY)
    found = [Value(name, files[name], protected, rules) for name in ("memory.min", "memory.low") if name in files]
    high = memory.memory_high(request, container.limit(MEMORY), settings, version)
    return [*found, _high(container, settings, version, high)]


def _high(container: Container, settings: MemoryQos, version: Version, high: int | None) -> Value:
    request, limit, factor = container.request(MEMORY), container.limit(MEMORY), settings.throttling_factor
    rules = _rules(version, KEP_2570_FLOOR_FORMULA, THROTTLING_IS_A_CHOICE)
    most = f"limit {format_bytes(limit)}" if limit else f"allocatable {format_bytes(settings.allocatable_bytes)}"
    if factor is None:
        how = "memoryThrottlingFactor is not set"
    elif version < KEP_2570_FLOOR_FORMULA:
        how = f"memoryThrottlingFactor {factor:g} * {most}"
    elif request == limit:
        how = "request and limit are equal" if request else "neither request nor limit"
    else:
        share = f"memoryThrottlingFactor {factor:g} * ({most} - request)"
        how = f"request {format_bytes(request)} + {share}, in whole pages"
    if high is None and factor is not None and (version < KEP_2570_FLOOR_FORMULA or request != limit):
        how += f", is not above the request of {format_bytes(request)}"
    return Value("memory.high", NO_LIMIT if high is None else str(high), how, rules)


def _pod_qos(pod: Pod, node: NodeRules) -> list[Value]:
    if node.memory_qos is None:
        return []
    rules = _rules(node.version, RESERVATION_POLICY)
    files = memory.pod_qos(pod, node.memory_qos, node.version)
    return [Value(file, value, "the pod's effective memory request", rules) for file, value in files.items()]


def _swap_max(pod: Pod, container: Container, node: NodeRules) -> Value:
    behavior, version = node.swap_behavior, node.version
    if behavior == "NoSwap":
        rules = _rules(version, NO_SWAP)
        return Value("memory.swap.max", "0", "NoSwap" if version >= NO_SWAP else "swap is off", rules)
    value = memory.swap_max(
        pod, container, behavior,
        node_memory_bytes=node.memory_bytes, node_swap_bytes=node.swap_bytes, version=version,
    )  # fmt: skip
    if behavior != "LimitedSwap":
        return Value("memory.swap.max", value, behavior, _rules(version, NO_SWAP))
    how = f"LimitedSwap: {_limited_swap(pod, container, node)}"
    return Value("memory.swap.max", value, how, _rules(version, CRITICAL_PODS_DO_NOT_SWAP))


def _limited_swap(pod: Pod, container: Container, node: NodeRules) -> str:
    request, qos = container.request(MEMORY), qos_class(pod)
    if pod.critical and node.version >= CRITICAL_PODS_DO_NOT_SWAP:
        return "not for critical pods"
    if qos != "Burstable":
        return f"not for {qos} pods"
    if request == container.limit(MEMORY):
        return "not where request and limit are equal" if request else "not without a memory request"
    if request > node.memory_bytes:
        return "not where the request is above the node's memory"
    share = f"request {format_bytes(request)} / memory {format_bytes(node.memory_bytes)}"
    return f"{share} * swap {format_bytes(node.swap_bytes)}"


def _oom_group(node: NodeRules) -> Value:
    on = node.counts_the_group_as_one
    how = "the kubelet does not set it" if node.version < OOM_GROUP else "an OOM kill takes the whole container"
    if node.version >= OOM_GROUP_IS_A_CHOICE:
        how = f"singleProcessOOMKill {str(node.single_process_oom_kill).lower()}"
    return Value("memory.oom.group", "1" if on else "0", how, _rules(node.version, OOM_GROUP, OOM_GROUP_IS_A_CHOICE))


def _linear(shares: int, millicores: int | None, what: str) -> str:
    of = "" if millicores is None else f" of {millicores}m"
    return f"1 + (shares - 2) * 9999 / 262142, shares {shares}{of} {what}"


def _container_weight(pod: Pod, container: Container) -> Value:
    millicores = memory.cpu_request(pod, container)
    shares = cpu_shares(millicores)
    value, newer = cpu_weight(shares), runtime_cpu_weight(shares)
    how = _linear(shares, millicores, "requested")
    if newer != value:
        how += f"; {newer} from runc 1.3.2 or crun 1.23 on"
    return Value("cpu.weight", str(value), how)


def _cpu_max(millicores: int) -> Value:
    if not millicores:
        return Value("cpu.max", f"{NO_LIMIT} {PERIOD_USEC}", "no limits.cpu")
    quota = cpu_quota_usec(millicores)
    return Value("cpu.max", f"{quota} {PERIOD_USEC}", f"{millicores}m * {PERIOD_USEC} us, at least 1000 us")


def _without_limit(pod: Pod, resource: str) -> str:
    word = "CPU" if resource == CPU else "memory"
    lacking = [one.name for one in pod.all_containers if not one.limit(resource)]
    return f"{lacking[0]} has no {word} limit" if lacking else "no limit"


def _oom_score_adj(pod: Pod, container: Container, node: NodeRules) -> Value:
    qos = qos_class(pod)
    value = oom_score_adj(pod, container, node.memory_bytes, node.version)
    if pod.node_critical:
        return Value(OOM_SCORE_ADJ, str(value), "node-critical pod")
    if qos != "Burstable":
        return Value(OOM_SCORE_ADJ, str(value), f"{qos} pod")
    request, share = container.request(MEMORY), share_of_the_rest(pod)
    more = f" + {format_bytes(share)}, its part of what the pod itself requests above its containers" if share else ""
    asked = f"({format_bytes(request)}{more})" if share else format_bytes(request)
    whole = f"1000 - 1000 * request {asked} / memory {format_bytes(node.memory_bytes)}, from 3 to 999"
    if not container.sidecar:
        return Value(OOM_SCORE_ADJ, str(value), whole)
    if node.version >= SIDECAR_OOM_SCORE:
        whole += "; of a sidecar, no more than of the container with the least request"
    return Value(OOM_SCORE_ADJ, str(value), whole, _rules(node.version, SIDECAR_OOM_SCORE))
