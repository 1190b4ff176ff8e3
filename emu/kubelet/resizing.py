"""In-place resizes of running pods: checked, refused or written to the cgroups as the kubelet does.

What to write, in which order, and whether at all is `emu.policy.kubelet.actuation`'s. A resize that was refused is
tried again every 10 s, as a pod is looked at again, until it succeeds or another one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.kubelet.template import PodTemplate
from emu.kubelet.worker import PodWorker
from emu.policy.effective import MEMORY
from emu.policy.kubelet.actuation import Actuation, PodNow, actuate
from emu.policy.kubelet.admission import resize_pending
from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.pod import Pod
from emu.policy.qos import qos_class
from emu.record.events import EventLog, PodResized, now

SYNC_S = 10.0
_NO_LIMIT = -1


@dataclass(eq=False)
class _Asked:
    """A resize that is not done yet."""

    worker: PodWorker
    container: str
    template: PodTemplate
    """The pod's, after it."""
    ignore_usage: bool
    next_at: float = 0.0
    outcome: str = ""
    """What came of the last try."""


class Resizing:
    """Of one node. `act` is called at every turn of the run."""

    def __init__(self, node: NodeRules, log: EventLog, on_done: Callable[[], None]) -> None:
        """`on_done` is called after each that was carried out."""
        self._node = node
        self._on_done = on_done
        self._log = log
        self._asked: list[_Asked] = []

    def ask(self, worker: PodWorker, container: str, template: PodTemplate, *, ignore_usage: bool) -> None:
        """Resize a container of a pod, so that it is as in `template`. `ignore_usage`: write the limits whatever is
        used, as if that had been taken between the check and the write.
        """
        self._asked = [one for one in self._asked if one.worker is not worker]
        self._asked.append(_Asked(worker, container, template, ignore_usage))

    def act(self, workers: Sequence[PodWorker], t: float) -> None:
        """Try what is due."""
        for one in [one for one in self._asked if t >= one.next_at]:
            one.next_at = t + SYNC_S
            if self._try(one, workers):
                self._asked.remove(one)

    def _try(self, one: _Asked, workers: Sequence[PodWorker]) -> bool:
        """Whether there is nothing more to do."""
        worker, version = one.worker, self._node.version
        new, old = one.template.stored(version), worker.template.stored(version)
        others = sum(
            _request(other.template.stored(version)) for other in workers if other is not worker and other.runs
        )
        pending = resize_pending(_request(new), others, self._node.allocatable, version)
        if not pending.admitted:
            self._say(one, pending.reason.lower(), f"Resize{pending.reason}", pending.message, "Warning")
            return pending.reason == "Infeasible"
        found = self._actuation(one, new, old)
        if found is not None and found.message:
            self._say(one, "error", "ResizeError", found.message, "Warning")
            return False
        text = f"{one.container}: {_sizes(one.template, one.container)}"
        self._say(one, "started", "ResizeStarted", f"Pod resize started: {text}", "Normal")
        worker.resize(one.template, () if found is None else found.writes)
        self._on_done()
        self._say(one, "completed", "ResizeCompleted", f"Pod resize completed: {text}", "Normal")
        return True

    def _actuation(self, one: _Asked, new: Pod, old: Pod) -> Actuation | None:
        cgroup = old.cgroup(best_effort=qos_class(old) == "BestEffort")
        quota = _NO_LIMIT if cgroup.cpu_quota_usec is None else cgroup.cpu_quota_usec
        used = {} if one.ignore_usage else _used(one.worker)
        return actuate(
            new,
            old,
            PodNow(cgroup.memory_max, quota, cgroup.cpu_shares),
            pod_usage=0 if one.ignore_usage else _current(Cgroup(one.worker.cgroup)) or 0,
            usage=used,
            restart_for={},
            node_memory_bytes=self._node.memory_bytes,
            version=self._node.version,
        )

    def _say(self, one: _Asked, outcome: str, reason: str, message: str, kind: str) -> None:
        """What comes of it, once for each time that it changes."""
        if outcome == one.outcome:
            return
        one.outcome = outcome
        limit = one.template.container(one.container).resources.limits.memory
        one.worker.record(one.container, kind, reason, message)
        self._log.of_pod(one.worker.pod).append(
            PodResized(t=now(), container=one.container, outcome=outcome, memory_max=limit, message=message)
        )
        if outcome != "started":
            one.worker.resizes += 1


def _request(pod: Pod) -> int:
    return pod.effective.requests.get(MEMORY, 0)


def _used(worker: PodWorker) -> dict[str, int]:
    """memory.current of each container that runs."""
    known = {one.container: _current(Cgroup(one.cgroup)) for one in worker.running}
    return {name: used for name, used in known.items() if used is not None}


def _current(group: Cgroup) -> int | None:
    try:
        return group.memory.current
    except CgroupError:
        return None


def _sizes(template: PodTemplate, name: str) -> str:
    """`requests memory=64Mi, limits memory=80Mi`."""
    resources = template.container(name).asked.resources
    return ", ".join(
        f"{side} " + " ".join(f"{what}={value}" for what, value in amounts.items())
        for side, amounts in (("requests", resources.requests), ("limits", resources.limits))
        if amounts
    )
