"""What metrics-server reads of a pod: each running container's CPU and working set, from its cgroup."""

from __future__ import annotations

from collections.abc import Iterable

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.kubelet.pod import Instance
from emu.kubelet.worker import PodWorker
from emu.policy.hpa.usage import Point, working_set
from emu.record.events import now


def scrape(workers: Iterable[PodWorker]) -> dict[str, dict[str, Point]]:
    """By pod and container. The pause container is none of them, as the kubelet serves it apart."""
    found = {}
    for worker in workers:
        points = {one.container: point for one in worker.running if (point := _point(worker, one)) is not None}
        if points:
            found[worker.pod] = points
    return found


def _point(worker: PodWorker, instance: Instance) -> Point | None:
    """None where the container has ended meanwhile."""
    started_s = worker.states[instance.container].started_at
    group = Cgroup(instance.cgroup)
    try:
        cpu, memory, current = group.cpu.stat, group.memory.stat, group.memory.current
    except CgroupError:
        return None
    if started_s is None or cpu is None or cpu.usage_usec is None or memory is None or current is None:
        return None
    return Point(started_s, now(), cpu.usage_usec, working_set(current, memory.inactive_file or 0))
