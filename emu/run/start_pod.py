"""The pod of a run that measures starts: its containers come and go, its cgroup stays."""

from __future__ import annotations

import threading
from dataclasses import asdict

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.daemon.freezer.methods import held, is_frozen, reclaim
from emu.daemon.freezer.pods import Target
from emu.kubelet.output import keep_output, not_followed
from emu.kubelet.pod import Instance, Pod
from emu.messages import APP, QUEUE_PROXY, SANDBOX
from emu.record.events import ContainerReady, EventLog, MemoryReclaimed, now
from emu.record.rundir import RunDir
from emu.runtime.api import Runtime

_RECLAIM_ALL = "all"
_JOIN_S = 5.0
NO_COUNTS: dict[str, int | None] = dict.fromkeys(
    ("pgfault", "pgmajfault", "swap_in_pages", "io_read_bytes", "io_write_bytes"), 0
)
"""What `StartPod.counts` gives of an app that does not exist."""


class StartPod:
    """Its containers one by one, what they hold and what the kernel counts."""

    def __init__(self, pod: Pod, engine: Runtime, run: RunDir, log: EventLog) -> None:
        self._pod = pod
        self._engine = engine
        self._run = run
        self._log = log
        self.attempt = -1
        """How often it was opened, from 0 on."""
        self._instances: dict[str, Instance] = {}
        self._started: set[str] = set()
        self._followers: list[threading.Thread] = []

    @property
    def containers(self) -> tuple[str, ...]:
        """Their names in the order in which they are started."""
        return self._pod.containers

    @property
    def name(self) -> str:
        """Its name, the same in all trials: its cgroup stays, and with it the page cache that is charged there."""
        return self._pod.name

    @property
    def address(self) -> str:
        """Where it is reached once it is open."""
        return self._pod.address

    @property
    def opened(self) -> bool:
        """Whether it has a pause container."""
        return SANDBOX in self._instances

    @property
    def running(self) -> bool:
        """Whether the app has been started; it may be frozen."""
        return APP in self._started

    def created(self, name: str) -> bool:
        """Whether there is a container with this name."""
        return name in self._instances

    def open(self) -> None:
        """Start the pause container."""
        self.attempt += 1
        self._instances[SANDBOX] = self._pod.open(self.attempt)

    def create(self, name: str) -> None:
        """Make a container; it is not started."""
        self._instances[name] = self._pod.create(name, self.attempt)

    def start(self, name: str) -> None:
        """Start one that has been made, and follow its output."""
        instance = self._instances[name]
        self._pod.start(instance)
        self._started.add(name)
        follower = threading.Thread(target=self._follow_output, args=(instance,), daemon=True)
        follower.start()
        self._followers.append(follower)

    def record_ready(self) -> None:
        """Record that queue-proxy and the app are ready now."""
        for name in (QUEUE_PROXY, APP):
            self._log.append(ContainerReady(t=now(), container=name, attempt=self.attempt, ready=True))

    def clear(self) -> None:
        """No container is left; queue-proxy goes first, so that it asks nothing of the freezer for those that go."""
        for name in (QUEUE_PROXY, *(name for name in self._instances if name not in (QUEUE_PROXY, SANDBOX)), SANDBOX):
            if name in self._instances:
                self._pod.remove(self._instances.pop(name))
        self._started.clear()

    def join(self) -> None:
        """Wait until the output of those that are gone has been written."""
        for follower in self._followers:
            follower.join(_JOIN_S)

    def reclaim(self) -> None:
        """Ask the kernel for all of the app's memory."""
        target = self._target()
        got = reclaim(target, _RECLAIM_ALL, lambda: False)
        self._log.append(
            MemoryReclaimed(
                t=now(),
                container=target.name,
                attempt=target.attempt,
                id=target.id,
                wanted_bytes=got.wanted_bytes,
                before=asdict(got.before),
                after=asdict(got.after),
                took_s=got.took_s,
                why=got.why,
            )
        )

    def _follow_output(self, instance: Instance) -> None:
        try:
            keep_output(self._engine, self._run, instance)
        except Exception as error:
            self._log.append(not_followed(instance, error))

    # --- what is read

    @property
    def frozen(self) -> bool:
        """Whether the kernel says that the app is frozen."""
        return is_frozen(self._target())

    def held_by(self, name: str) -> tuple[int, int]:
        """memory.current and memory.swap.current of a container; 0 where it has no cgroup."""
        try:
            now_held = held(Cgroup(self._pod.cgroup.container_path(self._instances[name].id)))
        except CgroupError:
            return 0, 0
        return now_held.current, now_held.swap or 0

    def held(self) -> tuple[int, int]:
        """The same of all containers together."""
        each = [self.held_by(name) for name in self._instances]
        return sum(memory for memory, _ in each), sum(swap for _, swap in each)

    def counts(self) -> dict[str, int | None]:
        """The counters of the app's cgroup."""
        if APP not in self._instances:
            return dict(NO_COUNTS)
        group = Cgroup(self._pod.cgroup.container_path(self._instances[APP].id))
        counts: dict[str, int | None] = dict.fromkeys(NO_COUNTS)
        try:
            stat, devices = group.memory.stat, group.io.stat
        except CgroupError:
            return counts
        if stat is None or devices is None:
            return counts
        return {
            "pgfault": stat.pgfault,
            "pgmajfault": stat.pgmajfault,
            "swap_in_pages": stat.workingset_refault_anon,
            "io_read_bytes": sum(device.rbytes or 0 for device in devices.values()),
            "io_write_bytes": sum(device.wbytes or 0 for device in devices.values()),
        }

    def _target(self) -> Target:
        app = self._instances[APP]
        return Target(app.container, app.attempt, app.id, self._pod.cgroup.container_path(app.id))
