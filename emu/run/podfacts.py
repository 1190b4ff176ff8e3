"""What happened to the pod so far, for phases of the load that wait for it. The record has more."""

from __future__ import annotations

from collections import Counter

from cgroups import parse
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.worker import PodWorker
from emu.policy.lifecycle import ContainerState
from emu.policy.until import PodFacts
from emu.serving.autoscaler import ScaledPod

_OOM_KILLED = "OOMKilled"


class PodWitness:
    """Counts exits as they are seen, and looks at memory.events for kills that a container survived."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._exits: Counter[str] = Counter()
        self._kills: dict[tuple[str, int], int] = {}

    def saw_exit(self, name: str, state: ContainerState) -> None:
        """A container ended."""
        self._exits[name] += 1
        if state.last_reason == _OOM_KILLED:
            self._kills[name, state.attempt] = 1

    def facts(self, workload: PodWorker | ScaledPod) -> PodFacts:
        """All of it now."""
        for container in self._pod.template.containers:
            name = container.name
            instance = workload.instance(name)
            if instance is not None:
                survived = self._survived(instance)
                known = self._kills.get((name, instance.attempt), 0)
                # With memory.oom.group one kill takes all of a container's processes, and counts each.
                self._kills[name, instance.attempt] = max(
                    known, min(survived, 1) if container.memory.oom_group else survived
                )
        kills: Counter[str] = Counter()
        for (name, _), number in self._kills.items():
            kills[name] += number
        view = workload.view
        restarts = {name: state.restarts for name, state in workload.states.items()}
        return PodFacts(kills, restarts, dict(self._exits), view.ready, view.status)

    def _survived(self, instance: Instance) -> int:
        path = self._pod.cgroup.container_path(instance.id) / "memory.events"
        try:
            return parse.parse_flat(path.read_text()).get("oom_kill", 0)
        except (OSError, ValueError):  # it is gone, and its exit says so
            return 0
