"""How much memory a container uses, as four programs answer at one moment, and what a kubelet says that the node has
left: at the end of each phase.

All are computed from memory.current and memory.stat of one sample. They differ in page cache: which of it they count.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import inf

from emu.policy.kubelet.node import docker_stats, working_set
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline


@dataclass(frozen=True)
class Use:
    """A cgroup at one moment; None is what was not measured, all of it where the cgroup was not there."""

    memory_current_bytes: int | None = None
    """All that is charged."""
    docker_stats_bytes: int | None = None
    """MEM USAGE of `docker stats`."""
    working_set_bytes: int | None = None
    """The kubelet's and `kubectl top`'s."""
    anon_bytes: int | None = None
    """RSS, as cAdvisor has it."""
    active_file_bytes: int | None = None
    """Page cache that all of the above count, but RSS."""
    inactive_file_bytes: int | None = None
    """Page cache that memory.current alone counts."""


@dataclass(frozen=True)
class Moment:
    """All that runs, and the node, when a phase had ended."""

    phase: str
    time_s: float | None
    """Of the sample; None where there is none."""
    uses: dict[str, Use]
    """Of each container; of several pods of a workload the one that held most."""
    node: Use
    """Of all pods together."""
    node_memory_bytes: int | None
    """kubepods' memory.max, else the machine's memory."""

    @property
    def available_bytes(self) -> int | None:
        """The kubelet's allocatableMemory.available. Where the node has no memory but that of its pods, it is
        memory.available too.
        """
        used, whole = self.node.working_set_bytes, self.node_memory_bytes
        return None if used is None or whole is None else whole - used


def moments(study: Study) -> list[Moment]:
    """At the end of each phase: by the last sample before what comes after it, or before the run stops its pods: what
    a cgroup holds after that is what its processes left.
    """
    over = min((one.stop.asked_s for one in study.instances if one.stop and one.stop.why == "run"), default=inf)
    return [moment(study, min(phase.until_s, over), phase.name) for phase in study.phases]


def moment(study: Study, until_s: float, phase: str = "") -> Moment:
    """By the last sample until then."""
    lines = [*study.timelines.values(), *([study.node] if study.node else [])]
    time_s = max((line.t[at] for line in lines if (at := _at(line, until_s)) is not None), default=None)
    node = study.node
    limit = None if node is None else _value(node, "memory_max", time_s)
    return Moment(
        phase=phase,
        time_s=time_s,
        uses={name: _most(study.timelines_of(name), time_s) for name in study.containers},
        node=Use() if node is None else _use(node, time_s),
        node_memory_bytes=study.machine.memory_bytes if limit is None else limit,
    )


def _most(lines: list[Timeline], time_s: float | None) -> Use:
    return max((_use(line, time_s) for line in lines), key=lambda use: use.memory_current_bytes or -1, default=Use())


def _use(line: Timeline, time_s: float | None) -> Use:
    current, inactive = _value(line, "memory_current", time_s), _value(line, "inactive_file", time_s)
    both = None if current is None or inactive is None else (current, inactive)
    return Use(
        memory_current_bytes=current,
        docker_stats_bytes=None if both is None else docker_stats(*both),
        working_set_bytes=None if both is None else working_set(*both),
        anon_bytes=_value(line, "anon", time_s),
        active_file_bytes=_value(line, "active_file", time_s),
        inactive_file_bytes=inactive,
    )


def _value(line: Timeline, column: str, time_s: float | None) -> int | None:
    """In the sample of this time; None where the cgroup was not part of it."""
    at = None if time_s is None else _at(line, time_s)
    return None if at is None or line.t[at] != time_s else getattr(line, column)[at]


def _at(line: Timeline, until_s: float) -> int | None:
    """The number of its last sample until then."""
    return bisect_right(line.t, until_s) - 1 if line.t and line.t[0] <= until_s else None
