"""What happened to the pod so far, for phases of the load that wait for it. The record has more."""

from __future__ import annotations

from collections import Counter

from cgroups import parse
from emu.kubelet.pod import Instance
from emu.policy.lifecycle import ContainerState
from emu.policy.until import PodFacts
from emu.record.events import Owner
from emu.run.workload import Workload

_OOM_KILLED = "OOMKilled"


class PodWitness:
    """Counts exits as they are seen, and looks at memory.events for kills that a container survived."""

    def __init__(self) -> None:
        self._exits: Counter[str] = Counter()
        self._kills: dict[Owner, int] = {}

    def saw_exit(self, instance: Instance, state: ContainerState) -> None:
        """A container ended."""
        self._exits[instance.container] += 1
        if state.last_reason == _OOM_KILLED:
            self._kills[_owner(instance)] = 1

    def facts(self, workload: Workload) -> PodFacts:
        """All of it now."""
        for container in workload.template.containers:
            name = container.name
            instance = workload.instance(name)
            if instance is not None:
                survived = self._survived(instance)
                known = self._kills.get(_owner(instance), 0)
                # With memory.oom.group one kill takes all of a container's processes, and counts each.
                self._kills[_owner(instance)] = max(
                    known, min(survived, 1) if container.memory.oom_group else survived
                )
        kills: Counter[str] = Counter()
        for owner, number in self._kills.items():
            kills[owner.container] += number
        view = workload.view
        restarts = {name: state.restarts for name, state in workload.states.items()}
        return PodFacts(kills, restarts, dict(self._exits), view.ready, view.status)

    def _survived(self, instance: Instance) -> int:
        path = instance.cgroup / "memory.events"
        try:
            return parse.parse_flat(path.read_text()).get("oom_kill", 0)
        except (OSError, ValueError):  # it is gone, and its exit says so
            return 0


def _owner(instance: Instance) -> Owner:
    return Owner(instance.pod, instance.container, instance.attempt)
