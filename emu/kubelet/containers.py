"""A pod's containers as they are on this machine: what their cgroups show, and how probes and hooks reach them."""

from __future__ import annotations

from functools import partial

from cgroups import freeze
from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.errors import EmuError
from emu.kubelet import execution
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.prober import Target
from emu.record.events import EventLog, Note, now
from emu.runtime.api import Runtime


class Containers:
    """What the kubelet looks up of a pod's running containers, and does to them."""

    def __init__(self, pod: Pod, engine: Runtime, log: EventLog) -> None:
        self._pod = pod
        self._engine = engine
        self._log = log
        self._kills_seen = 0

    def target(self, instance: Instance, why: str) -> Target:
        """For a probe or a hook; `why` is which."""
        owner = (instance.container, instance.attempt, instance.id)
        path = self._pod.cgroup.container_path(instance.id)
        run = partial(execution.execute, self._engine, self._log, owner, path, why)
        return Target(self._pod.address, self._pod.template.container(instance.container).port, run)

    def has_ended(self, instance: Instance) -> bool:
        """Whether no process of it is left."""
        try:
            return not self._group(instance).events().populated
        except CgroupError:
            return True

    def is_frozen(self, instance: Instance) -> bool:
        """Whether its cgroup is frozen, or is being frozen."""
        try:
            group = self._group(instance)
            return group.core.freeze is True or group.events().frozen is True
        except CgroupError:  # it is gone, or this kernel has no freezer
            return False

    def thaw(self, instance: Instance) -> None:
        """A frozen process would act on no signal but SIGKILL: let it run, so that it can end in order."""
        if not self.is_frozen(instance):
            return
        try:
            self._engine.unpause(instance.id)
            freeze.thaw(self._group(instance))
        except (EmuError, CgroupError) as error:
            why = f"{error.what}: {error.why}"
            self._log.append(Note(t=now(), what=f"{instance.container} could not be thawed before its stop", why=why))

    def counted_a_kill(self, instance: Instance) -> bool:
        """Whether a process of it was ever OOM-killed, by its own count, where that is still there."""
        try:
            counted = self._group(instance).memory.events
            return counted is not None and bool(counted.oom_kill)
        except CgroupError:
            return False

    def pod_counted_a_kill(self) -> bool:
        """Whether the pod's own count rose, which takes in its containers' and outlives them; each rise counts for
        one container. A guess for the screen: the report judges.
        """
        try:
            counted = Cgroup(self._pod.cgroup.path).memory.events
        except CgroupError:
            return False
        before, self._kills_seen = self._kills_seen, 0 if counted is None else counted.oom_kill or 0
        return self._kills_seen > before

    def _group(self, instance: Instance) -> Cgroup:
        return Cgroup(self._pod.cgroup.container_path(instance.id))
