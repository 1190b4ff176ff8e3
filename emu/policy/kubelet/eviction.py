"""Node-pressure eviction: which pod a kubelet evicts when the node is short of memory, and what it says.

One look at a time, from pkg/kubelet/eviction/eviction_manager.go and helpers.go. The kubelet looks every 10 s; on
cgroup v2 nothing calls it sooner. Time is an argument; pods are as the API server keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emu.policy.effective import MEMORY
from emu.policy.kubelet.ending import eviction_grace_s
from emu.policy.kubelet.pod import Pod
from emu.policy.kubelet.thresholds import MEMORY_SIGNALS, Threshold
from emu.policy.kubelet.version import NEWEST, Version
from emu.policy.qos import qos_class
from emu.policy.quantity import NANO, Quantity, in_bytes

LOOK_S = 10.0
PRESSURE_TRANSITION_S = 300.0
EVICTED = "Evicted"
MEMORY_PRESSURE = "MemoryPressure"
_CONDITIONS = {
    **dict.fromkeys(MEMORY_SIGNALS, MEMORY_PRESSURE),
    "pid.available": "PIDPressure",
    **{
        f"{fs}.{what}": "DiskPressure"
        for fs in ("nodefs", "imagefs", "containerfs")
        for what in ("available", "inodesFree")
    },
}
Condition = str


@dataclass(frozen=True)
class Settings:
    """The kubelet's."""

    thresholds: Sequence[Threshold]
    max_pod_grace_s: int = 0
    """evictionMaxPodGracePeriod, for soft thresholds."""
    pressure_transition_s: float = PRESSURE_TRANSITION_S
    """How long a condition stays after it was last seen."""
    local_storage: bool = False
    """Whether volumes are held to their sizes (localStorageCapacityIsolation)."""
    version: Version = NEWEST


@dataclass(frozen=True)
class Observation:
    """Of one signal. Bytes; `t` is when it was measured."""

    available: int
    capacity: int
    t: float


@dataclass(frozen=True)
class PodUse:
    """Working sets, bytes."""

    containers: Mapping[str, int]
    volumes: Mapping[str, int] = field(default_factory=dict)
    """What its emptyDirs hold, by name."""
    total: int | None = None
    """Of the pod's cgroup; None: the sum of its containers."""

    @property
    def working_set(self) -> int:
        """The pod's."""
        return sum(self.containers.values()) if self.total is None else self.total


@dataclass(frozen=True)
class Active:
    """A pod that runs on the node."""

    pod: Pod
    use: PodUse | None
    """None: there are no statistics of it."""
    size_limits: Mapping[str, Quantity] = field(default_factory=dict)
    """Of its emptyDirs that have one."""
    written: Mapping[str, Quantity] = field(default_factory=dict)
    """Its containers' memory requests as they are written, by name; one that is absent is written in bytes."""
    own_written: Quantity | None = None
    """And the pod's own."""


@dataclass(frozen=True)
class State:
    """What the kubelet remembers between looks."""

    first_met: Mapping[Threshold, float] = field(default_factory=dict)
    met: Sequence[Threshold] = ()
    """Met for as long as their grace period."""
    last_seen: Mapping[Condition, float] = field(default_factory=dict)
    conditions: Sequence[Condition] = ()
    observed: Mapping[str, Observation] = field(default_factory=dict)


@dataclass(frozen=True)
class Eviction:
    """A pod that is to end: Failed, with this message."""

    pod: Pod
    grace_s: int
    message: str
    for_pressure: bool = True
    """Then it has the condition DisruptionTarget too."""


@dataclass(frozen=True)
class Look:
    """What one look of the eviction manager found and decided."""

    state: State
    attempted: bool = False
    """The node has the event EvictionThresholdMet."""
    evictions: Sequence[Eviction] = ()


def observations(
    *, capacity: int, node_working_set: int, kubepods_max: int | None, kubepods_working_set: int, t: float
) -> dict[str, Observation]:
    """The two memory signals: of the node, and of what kubepods may use (None: it has no limit). Bytes."""
    found = {MEMORY_SIGNALS[0]: Observation(capacity - node_working_set, capacity, t)}
    if kubepods_max is not None:
        found[MEMORY_SIGNALS[1]] = Observation(kubepods_max - kubepods_working_set, kubepods_max, t)
    return found


def look(
    state: State, settings: Settings, observed: Mapping[str, Observation], active: Sequence[Active], now: float
) -> Look:
    """One look: at most one pod is evicted for pressure, and only on statistics newer than at the last look."""
    met = [one for one in settings.thresholds if _is_met(one, observed)]
    met += [one for one in state.met if one not in met and _is_met(one, observed, reclaim=True)]
    first_met = {one: state.first_met.get(one, now) for one in met}
    last_seen = {**state.last_seen, **{_CONDITIONS[one.signal]: now for one in met}}
    conditions = [one for one, t in last_seen.items() if now - t < settings.pressure_transition_s]
    due = [one for one in met if now - first_met[one] >= one.grace_s]
    after = State(first_met, due, last_seen, conditions, observed)
    if settings.local_storage:
        over = [one for one in map(_over_its_size, active) if one]
        if over:
            return Look(after, evictions=over)
    fresh = [one for one in due if _is_fresh(one, observed, state.observed)]
    fresh.reverse()
    fresh.sort(key=lambda one: one.signal not in MEMORY_SIGNALS)
    if not fresh or fresh[0].signal not in MEMORY_SIGNALS:
        return Look(after)
    threshold, quantities = fresh[0], observed[fresh[0].signal]
    text = (
        f"The node was low on resource: memory. Threshold quantity: {threshold.value.text_of(quantities.capacity)}, "
        f"available: {in_bytes(quantities.available)}. "
    )
    victim = next((one for one in rank(active) if not one.pod.critical), None)
    if victim is None:
        return Look(after, attempted=True)
    grace_s = eviction_grace_s(
        victim.pod.grace_s, settings.max_pod_grace_s, hard=threshold.hard, version=settings.version
    )
    return Look(after, True, [Eviction(victim.pod, grace_s, text + _who_used_what(victim))])


def rank(active: Sequence[Active]) -> list[Active]:
    """The first to be evicted first: without statistics; above its request; of lower priority; further above."""

    def key(one: Active) -> tuple[bool, bool, int, int]:
        request, priority = one.pod.evictable_request, one.pod.priority or 0
        if one.use is None:
            return False, False, priority, 0
        use = one.use.working_set
        return True, use <= request, priority, request - use

    return sorted(active, key=key)


def _is_met(threshold: Threshold, observed: Mapping[str, Observation], *, reclaim: bool = False) -> bool:
    """`reclaim`: as one that was met before, until its minimum is reclaimed."""
    one = observed.get(threshold.signal)
    if one is None:
        return False
    wanted = threshold.value.of(one.capacity)
    if reclaim and threshold.min_reclaim is not None:
        wanted += threshold.min_reclaim.of(one.capacity)
    return one.available < wanted


def _is_fresh(threshold: Threshold, now: Mapping[str, Observation], before: Mapping[str, Observation]) -> bool:
    last = before.get(threshold.signal)
    return last is None or now[threshold.signal].t > last.t


def _who_used_what(victim: Active) -> str:
    """Each container above its request, in the order of the statistics; before them the pod, if it requests any."""
    if victim.use is None:
        return ""
    pod, text = victim.pod, ""
    if pod.own is not None and MEMORY in pod.own.requests:
        text += _larger(f"Pod {pod.name}", victim.use.working_set, victim.own_written, pod.own.requests[MEMORY])
    requests = {one.name: one.request(MEMORY) for one in reversed(pod.all_containers)}
    for name, use in victim.use.containers.items():
        if name in requests and use > requests[name]:
            text += _larger(f"Container {name}", use, victim.written.get(name), requests[name])
    return text


def _larger(who: str, use: int, written: Quantity | None, request: int) -> str:
    wanted = in_bytes(request) if written is None else written
    return f"{who} was using {in_bytes(use)}, request is {wanted}, has larger consumption of memory. "


def _over_its_size(one: Active) -> Eviction | None:
    """A volume above its size, whatever the node has."""
    if one.use is None or one.pod.critical:
        return None
    for name, limit in one.size_limits.items():
        if 0 < limit.nano < one.use.volumes.get(name, 0) * NANO:
            text = f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
            return Eviction(one.pod, 1, text, for_pressure=False)
    return None


def condition_words(status: bool) -> tuple[str, str]:
    """Reason and message of MemoryPressure in the node's status (pkg/kubelet/nodestatus/setters.go)."""
    said = "sufficient" if not status else "insufficient"
    return f"KubeletHas{said.capitalize()}Memory", f"kubelet has {said} memory available"


TAINT = "node.kubernetes.io/memory-pressure"


def tolerates(key: str, operator: str, value: str, effect: str) -> bool:
    """Whether a toleration is of the taint that a node under MemoryPressure has; empty is not said."""
    if effect not in ("", "NoSchedule") or (key and key != TAINT):
        return False
    return operator == "Exists" or (bool(key) and not value and operator in ("", "Equal"))


def admits(state: State, pod: Pod, *, tolerates_pressure: bool = False) -> str:
    """Why the node takes no such pod now; empty: it does. Under MemoryPressure alone only BestEffort pods are
    refused, unless they tolerate its taint.
    """
    if not state.conditions or pod.critical:
        return ""
    if list(state.conditions) == [MEMORY_PRESSURE] and (tolerates_pressure or qos_class(pod) != "BestEffort"):
        return ""
    return f"The node had condition: [{' '.join(state.conditions)}]. "
