"""What happened to the pod so far, for phases of the load that wait for it. The record has more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from cgroups.memory import MemoryEvents
from emu.helpers.freezer import NOT_PAUSED
from emu.kubelet.pod import Instance
from emu.kubelet.worker import PodWorker
from emu.policy.lifecycle import ContainerState
from emu.policy.until import PodFacts
from emu.record.events import Owner
from emu.run.workload import Workload

_OOM_KILLED = "OOMKilled"
_NO_POD = "0/0"


class PodWitness:
    """Counts exits as they are seen, and looks at memory.events for kills that a container survived."""

    def __init__(self, reclaimed: Callable[[], bool] = lambda: False) -> None:
        """`reclaimed`: whether the freezer has reclaimed memory in all of its steps since the pod is frozen."""
        self._reclaimed = reclaimed
        self._exits: Counter[str] = Counter()
        self._kills: dict[Owner, int] = {}

    def saw_exit(self, instance: Instance, state: ContainerState) -> None:
        """A container ended."""
        self._exits[instance.container] += 1
        if state.last_reason == _OOM_KILLED:
            self._kills[_owner(instance)] = 1

    def facts(self, workload: Workload) -> PodFacts:
        """What `until` may wait for, as it is now."""
        for container in workload.template.containers:
            name = container.name
            instance = workload.instance(name)
            if instance is not None:
                known = self._kills.get(_owner(instance), 0)
                counted = self._counted(instance, oom_group=instance.oom_group)
                self._kills[_owner(instance)] = max(known, counted)
        kills: Counter[str] = Counter()
        for owner, number in self._kills.items():
            kills[owner.container] += number
        view = workload.view
        restarts = {name: state.restarts for name, state in workload.states.items()}
        frozen = is_frozen(workload)
        return PodFacts(
            kills, restarts, dict(self._exits), view.ready, view.status, workload.ready_pods, _resizes(workload),
            frozen, frozen and self._reclaimed(),
        )  # fmt: skip

    def _counted(self, instance: Instance, *, oom_group: bool) -> int:
        try:
            return kills_counted(Cgroup(instance.cgroup).memory.events, oom_group=oom_group)
        except CgroupError:  # it is gone, and its exit says so
            return 0


def together(each: Sequence[PodFacts]) -> PodFacts:
    """Of several revisions. READY and STATUS are those of the last one that has pods."""
    kills: Counter[str] = Counter()
    restarts: Counter[str] = Counter()
    exits: Counter[str] = Counter()
    for one in each:
        kills.update(one.oom_kills)
        restarts.update(one.restarts)
        exits.update(one.exits)
    shown = next((one for one in reversed(each) if one.ready != _NO_POD), each[-1])
    ready, resizes = (sum(getattr(one, name) for one in each) for name in ("ready_pods", "resizes"))
    frozen, reclaimed = (any(getattr(one, name) for one in each) for name in ("frozen", "reclaimed"))
    return PodFacts(kills, restarts, exits, shown.ready, shown.status, ready, resizes, frozen, reclaimed)


def _resizes(workload: Workload) -> int:
    return workload.resizes if isinstance(workload, PodWorker) else 0


def is_frozen(workload: Workload) -> bool:
    """Whether all containers that a freezer freezes are, by the kernel's word."""
    found = [workload.instance(one.name) for one in workload.template.containers if one.name not in NOT_PAUSED]
    there = [instance for instance in found if instance is not None]
    try:
        return bool(there) and all(Cgroup(one.cgroup).events().frozen for one in there)
    except CgroupError:  # one is gone
        return False


def _owner(instance: Instance) -> Owner:
    return Owner(instance.pod, instance.container, instance.attempt)


def kills_counted(events: MemoryEvents | None, *, oom_group: bool) -> int:
    """How many OOM kills a container's memory.events has counted. With memory.oom.group one kill takes all processes,
    and `oom_kill` counts each, the first one twice.
    """
    killed = 0 if events is None else events.oom_kill or 0
    return min(killed, 1) if oom_group else killed
