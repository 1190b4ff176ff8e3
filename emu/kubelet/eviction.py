"""The kubelet's eviction manager in a run: every 10 s it looks at what the node has left, and may evict a pod.

What to do is `emu.policy.kubelet.eviction`'s. The figures are those that a kubelet has: working sets, which are
memory.current less inactive_file. On cgroup v2 nothing calls it between two looks, so what takes memory fast meets
the kernel's OOM killer first. After an eviction it looks again as soon as the pod's containers have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.kubelet.pod import Instance
from emu.kubelet.template import PodTemplate
from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.eviction import (
    LOOK_S,
    MEMORY_PRESSURE,
    Active,
    Observation,
    PodUse,
    Settings,
    State,
    condition_words,
    look,
    observations,
)
from emu.policy.kubelet.node import working_set
from emu.record.events import EventLog, NodeCondition, Note

_CLEANED_UP_S = 30.0
"""How long the next look waits for a pod that was evicted."""


class Evictable(Protocol):
    """A pod's worker is one."""

    @property
    def pod(self) -> str:
        """The pod's name, which the event Evicted has."""

    @property
    def template(self) -> PodTemplate:
        """The pod's template: its requests and priority decide who is evicted first."""

    @property
    def runs(self) -> bool:
        """A container has started and not ended."""

    @property
    def evicted(self) -> bool:
        """It was evicted before."""

    @property
    def running(self) -> Sequence[Instance]:
        """The instances of its containers that run."""

    @property
    def cgroup(self) -> Path:
        """The pod's."""

    def evict(self, message: str, grace_s: int) -> None:
        """End it: Failed, with this message."""


class Evictions:
    """Of one node. `act` is called at every turn of the run."""

    def __init__(self, node: NodeRules, root: Path, kubepods: Path, log: EventLog, began: float) -> None:
        """`root`: where cgroup2 is mounted. `kubepods`: the cgroup of all pods, which is all that there is of a node
        with a memory of its own. `began`: the first look is 10 s later.
        """
        self._node = node
        self._kubepods = Cgroup(kubepods)
        self._root = Cgroup(root) if node.kubepods_max is None else self._kubepods
        self._log = log
        self._settings = Settings(node.eviction, node.eviction_max_pod_grace_s, version=node.version)
        self._state = State()
        self._next_at = began + LOOK_S
        self._leaving: tuple[Evictable, float] | None = None

    def act(self, pods: Sequence[Evictable], t: float) -> None:
        """Look, if it is time to."""
        if self._leaving is not None:
            pod, give_up = self._leaving
            if pod.runs and t < give_up:
                return
            self._leaving, self._next_at = None, t
        if t < self._next_at:
            return
        self._next_at = t + LOOK_S
        observed = self._observed(t)
        if observed is not None:
            self._look(observed, [one for one in pods if one.runs and not one.evicted], t)

    def _look(self, observed: dict[str, Observation], pods: Sequence[Evictable], t: float) -> None:
        known = {one.pod: self._active(one) for one in pods}
        found = look(self._state, self._settings, observed, list(known.values()), t)
        self._note_condition(found.state, t)
        self._state = found.state
        if found.attempted:
            self._log.append(Note(t=t, what="EvictionThresholdMet", why="Attempting to reclaim memory", level="info"))
        for eviction in found.evictions:
            victim = next(one for one in pods if known[one.pod].pod is eviction.pod)
            victim.evict(eviction.message, eviction.grace_s)
            self._leaving = (victim, t + _CLEANED_UP_S)

    def _note_condition(self, state: State, t: float) -> None:
        """On record when it changes."""
        status = MEMORY_PRESSURE in state.conditions
        if status != (MEMORY_PRESSURE in self._state.conditions):
            reason, message = condition_words(status)
            self._log.append(
                NodeCondition(t=t, condition=MEMORY_PRESSURE, status=status, reason=reason, message=message)
            )

    def _observed(self, t: float) -> dict[str, Observation] | None:
        """The two signals; None where the kernel does not say. The root has no memory.current: what it uses is anon
        and file, without kernel memory. A node that has memory of its own holds nothing but pods.
        """
        stat = self._root.memory.stat
        if stat is None or stat.anon is None or stat.file is None:
            return None
        most, of_pods = self._node.kubepods_max, _working_set(self._kubepods) or 0
        return observations(
            capacity=self._node.memory_bytes,
            node_working_set=working_set(stat.anon + stat.file, stat.inactive_file or 0) if most is None else of_pods,
            kubepods_max=self._node.memory_bytes if most is None else most,
            kubepods_working_set=of_pods,
            t=t,
        )

    def _active(self, one: Evictable) -> Active:
        """What it uses is its cgroup's: a volume in memory whose writer is gone, and the pause container, count."""
        pod = replace(one.template.stored(self._node.version), name=one.pod)
        use = {
            instance.container: held
            for instance in one.running
            if (held := _working_set(Cgroup(instance.cgroup))) is not None
        }
        return Active(pod, PodUse(use, total=_working_set(Cgroup(one.cgroup))) if use else None)


def _working_set(group: Cgroup) -> int | None:
    """None where it is gone."""
    try:
        current, stat = group.memory.current, group.memory.stat
    except CgroupError:
        return None
    return None if current is None or stat is None else working_set(current, stat.inactive_file or 0)
