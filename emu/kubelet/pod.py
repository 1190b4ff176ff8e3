"""A pod's cgroup and containers, as a context manager that undoes just what it made.

What a pod is to the kernel: a pod cgroup; in it the pause container, which holds the pod's network so that a
restarted container finds the same loopback and address; beside it the containers of its template, each with its own
limits. What Docker has no option for (memory.high, memory.low, memory.min, memory.oom.group) is written into the
container's cgroup as soon as that exists, which is before its process runs. All values are those of
`emu.policy.kubelet.derived`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cgroups.io import IoMax
from emu.kubelet.controls import SWAP_MAX, ZSWAP_MAX, Controls, written_by_pod
from emu.kubelet.emptydirs import EmptyDirs
from emu.kubelet.environment import ContainerConfigError, full_name, program_of
from emu.kubelet.host import Host
from emu.kubelet.template import ContainerTemplate, PodTemplate
from emu.kubelet.volumes import Volumes
from emu.messages import SANDBOX
from emu.policy import qos
from emu.policy.effective import CPU, MEMORY
from emu.policy.kubelet import security
from emu.policy.kubelet.actuation import Write, control_files
from emu.policy.kubelet.cpu import LEAST_CPU_SHARES, cpu_shares
from emu.policy.kubelet.derived import NO_LIMIT, OOM_SCORE_ADJ, as_files
from emu.policy.kubelet.environment import hostname
from emu.policy.kubelet.memory import cpu_request
from emu.policy.lifecycle import Role
from emu.record.events import (
    SCALE_DOWN,
    ContainerCreated,
    ContainerExited,
    ContainerStarted,
    ContainerStopping,
    EventLog,
    now,
)
from emu.runtime import images
from emu.runtime.api import (
    LABEL_CONTAINER,
    LABEL_OWNER,
    LABEL_POD,
    LABEL_RUN,
    ContainerRequest,
    EngineGone,
    VolumeMount,
)
from emu.runtime.podcgroup import PodCgroup

_KILLED = 128 + signal.SIGKILL
"""The exit code of a container that was removed while it ran."""
_BACK_S = 30.0
"""How long a restarted engine is waited for, so that it can be asked to remove what is left."""


@dataclass(frozen=True)
class Instance:
    """One instance of a container; a restart makes a new one, as the kubelet does."""

    pod: str
    container: str
    attempt: int
    id: str
    name: str
    cgroup: Path
    """Where its cgroup is while it runs."""
    role: Role = "container"
    """As in its template."""
    oom_group: bool = True
    """An OOM kill takes all of it."""


class Pod:
    """One pod of a run, with a name of its own. Entering makes its cgroup, `open` its pause container; containers are
    made one by one by `create` and `start`.
    """

    def __init__(
        self,
        template: PodTemplate,
        name: str,
        host: Host,
        cgroup: PodCgroup,
        log: EventLog,
        volumes: Volumes,
    ) -> None:
        self.template = template
        self.name = name
        self._volumes = volumes
        self.cgroup = cgroup
        self._host = host
        self._engine = host.engine
        self._log = log
        self._files = as_files(template.values(host.node))
        self._container_values = {name: template.container_values(name, host.node) for name in template.names}
        self._labels = {LABEL_RUN: host.run_id, LABEL_POD: name, LABEL_OWNER: host.owner}
        self._empty_dirs = EmptyDirs(
            template.empty_dirs,
            host.engine,
            f"{host.run_id}-{name}",
            self._labels,
            objects=template.objects,
            pod_memory_max=_limit(self._files["memory.max"]),
            node=host.node,
        )
        self._stack = ExitStack()
        self._sandbox_id: str | None = None
        self.on_create: Callable[[Instance], None] = lambda _: None
        """Called with each new instance before it is started; the recorder wants to know whose a cgroup will be."""
        self.instances: list[Instance] = []
        """Every instance made so far."""
        self.address = ""
        """The pod's IP address, once it is open."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # undoing is noted before doing: an interrupt may come between the two
            stack.callback(self.cgroup.remove)
            self.cgroup.create()
            self.cgroup.control(self._files)
            stack.callback(self._empty_dirs.remove)
            self._empty_dirs.make()
            # Last noted, first undone: volumes and the cgroup can go once nothing runs in them.
            stack.callback(self._remove_containers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def resize(self, template: PodTemplate, writes: Sequence[Write]) -> None:
        """Make it what `template` says: write to its cgroup and to those of its containers, in order."""
        self.template = template
        self._files = as_files(template.values(self._host.node))
        self._container_values = {name: template.container_values(name, self._host.node) for name in template.names}
        for one in writes:
            if one.get("pod"):
                self.cgroup.control(control_files(one))
                continue
            running = next((made for made in reversed(self.instances) if made.container == one["container"]), None)
            if running is not None:
                high = as_files(self._container_values[running.container]).get("memory.high")
                self._controls(running).settle(control_files(one) | ({} if high is None else {"memory.high": high}))

    def image(self, container: str) -> str:
        """The image of a container, the pause container included."""
        return images.BASE if container == SANDBOX else self.template.container(container).image

    @property
    def containers(self) -> tuple[str, ...]:
        """The containers' names in the order in which the kubelet starts them."""
        return self.template.names

    def is_its_sandbox(self, container_id: str) -> bool:
        """Whether that is its pause container, the newest one."""
        newest = next((one for one in reversed(self.instances) if one.container == SANDBOX), None)
        return newest is not None and newest.id == container_id

    def open(self, attempt: int = 0) -> Instance:
        """Start the pause container: from here on the pod has an address, and containers share its network."""
        instance = self.create(SANDBOX, attempt)
        self.start(instance)
        self._sandbox_id = instance.id
        self.address = self._engine.address(instance.id)
        return instance

    def close(self, why: str = SCALE_DOWN) -> None:
        """Remove its containers, which have ended, and the pause container, as of a pod that is deleted, then its
        cgroup. `why` is recorded. EngineGone.
        """
        for instance in reversed(self.instances):
            if instance.container == SANDBOX:  # made first, and gone last
                self._log.append(
                    ContainerStopping(t=now(), container=SANDBOX, attempt=instance.attempt, why=why, grace_s=0.0)
                )
                self.remove(instance)
            else:
                self._engine.remove(instance.id)
        self._stack.close()

    def remove(self, instance: Instance) -> None:
        """Kill an instance if it runs, and remove it, before the pod itself goes."""
        state = self._engine.state(instance.id)
        self._engine.remove(instance.id)
        if state.phase != "created":
            self._log.append(
                ContainerExited(
                    t=now(),
                    container=instance.container,
                    attempt=instance.attempt,
                    id=instance.id,
                    exit_code=_KILLED,
                    docker_oom_killed=state.oom_killed,
                    asked=True,
                )
            )

    def create(self, container: str, attempt: int) -> Instance:
        """Make the next instance of a container; not started, and without a cgroup yet. ContainerConfigError."""
        name = f"{self._host.run_id}.{self.name}.{container}.{attempt}"
        template = None if container == SANDBOX else self.template.container(container)
        request = self._sandbox_request(name) if template is None else self._request(template, name)
        role: Role = "container" if template is None else template.role
        files = {} if template is None else as_files(self._container_values[container])
        made = self._engine.create(request)
        self._log.append(
            ContainerCreated(
                t=now(),
                container=container,
                attempt=attempt,
                id=made,
                name=name,
                image=request.image,
                stands_in_for="" if template is None else template.stands_in_for,
                memory_max=request.memory_max,
                memory_high=_limit(files.get("memory.high", NO_LIMIT)),
                memory_high_from="" if template is None else self._memory_high_from(container),
                swap_max=request.swap_max,
                oom_score_adj=request.oom_score_adj,
                probes=[] if template is None else list(template.declared_probes),
                role="container" if template is None else template.role,
                shm_bytes=request.shm_bytes,
                pod_memory_request=self._memory_request() if template is None else None,
                io_max=[str(one) for one in self._io_max(container)],
            )
        )
        path, group = self.cgroup.container_path(made), files.get("memory.oom.group") == "1"
        instance = Instance(self.name, container, attempt, made, name, path, role, oom_group=group)
        self.instances.append(instance)
        # Before it starts: else the recorder would know its cgroup by the directory's name alone.
        self.on_create(instance)
        return instance

    def _memory_request(self) -> int:
        return self.template.stored(self._host.node.version).effective.requests.get(MEMORY, 0)

    def _sandbox_request(self, name: str) -> ContainerRequest:
        return ContainerRequest(
            name,
            images.BASE,
            {**self._labels, LABEL_CONTAINER: SANDBOX},
            command=["sleep", "infinity"],
            hostname=hostname(self.name),
            cpu_shares=LEAST_CPU_SHARES,
            oom_score_adj=qos.SANDBOX_ADJ,
            cgroup_parent=self.cgroup.docker_parent,
            user="65532:65532",
            mounts=[
                VolumeMount(volume, f"/run/emu/volumes/{index}")
                for index, volume in enumerate(self._empty_dirs.in_memory)
            ],
            shm_bytes=self.template.shm_bytes,
        )

    def _memory_high_from(self, container: str) -> str:
        """How the kubelet came to a container's memory.high; empty where it has none, or the scenario set it."""
        found = next((one for one in self._container_values[container] if one.file == "memory.high"), None)
        return (
            ""
            if found is None or found.given or found.value == NO_LIMIT
            else f"{found.how} (Kubernetes {found.rules})"
        )

    def _controls(self, instance: Instance) -> Controls:
        return Controls(self.cgroup, self._log, instance.container, instance.id)

    def _request(self, container: ContainerTemplate, name: str) -> ContainerRequest:
        files, pod = as_files(self._container_values[container.name]), self.template.stored(self._host.node.version)
        volume = container.volume
        of_run = [] if volume is None else [VolumeMount(self._volumes.named(volume[0]), volume[1], filled=True)]
        program = program_of(container, self.template, self.name, self.address, self._host.node)
        return ContainerRequest(
            name=name,
            image=container.image,
            labels={**self._labels, LABEL_CONTAINER: container.name},
            entrypoint=program.entrypoint,
            command=program.command,
            env=program.env,
            memory_max=self.template.limit(container.name, MEMORY),
            swap_max=_limit(files[SWAP_MAX]),
            millicores=self.template.limit(container.name, CPU),
            cpu_shares=cpu_shares(cpu_request(pod, container.asked)),
            oom_score_adj=int(files[OOM_SCORE_ADJ]),
            cgroup_parent=self.cgroup.docker_parent,
            network_of=self._sandbox_id,
            mounts=[*of_run, *self._empty_dirs.mounted(container.mounts)],
            bind=container.bind,
            log_driver=self._host.log_driver,
            confined=container.confined,
            user=self._user(container),
            working_dir=container.working_dir,
            read_only=container.security.read_only_root,
            cap_add=container.security.add,
            cap_drop=container.security.drop,
        )

    def _user(self, container: ContainerTemplate) -> str | None:
        """Whom it runs as; None: whom the image says. ContainerConfigError."""
        asked = container.security
        image = self._engine.image_user_text(container.image) if asked.asks_the_image else ""
        if (why := security.refusal(asked, image, full_name(self.name), container.name)) is not None:
            raise ContainerConfigError(container.name, why)
        return security.user_of(asked, image)

    def start(self, instance: Instance) -> None:
        """Start an instance; when this returns, the kernel's limits are set and Docker says that it runs (or ran)."""
        failure: list[BaseException] = []

        def start() -> None:
            try:
                self._engine.start(instance.id)
            except BaseException as error:
                failure.append(error)

        starter = threading.Thread(target=start, name=f"start-{instance.container}", daemon=True)
        starter.start()
        controls, wanted = self._controls(instance), self._written(instance.container)
        rates = self._io_max(instance.container)
        if wanted or rates:
            controls.await_birth(starter)  # the cgroup is there before the process in it runs
            controls.write(wanted)
            controls.limit_io(rates)
        starter.join()
        if failure:
            raise failure[0]
        if wanted and self.cgroup.manager_writes_controls:
            controls.settle(controls.with_swap(wanted, as_files(self._container_values[instance.container])))
        state = self._engine.state(instance.id)
        self._log.append(
            ContainerStarted(
                t=now(),
                container=instance.container,
                attempt=instance.attempt,
                id=instance.id,
                pid=state.pid,
                cgroup=str(controls.path),
                image_id=state.image_id,
            )
        )

    def _written(self, container: str) -> dict[str, str]:
        """The control files of a container that the pod writes itself, and their values."""
        if container == SANDBOX:
            return {}
        limited = self.template.limit(container, MEMORY) is not None
        values = as_files(self._container_values[container])
        if self._host.zswap:
            values = {ZSWAP_MAX: "0", **values}
        return written_by_pod(values, limited=limited)

    def _io_max(self, container: str) -> list[IoMax]:
        """The lines of io.max of a container."""
        return [] if container == SANDBOX else self._host.disks.lines(self.template.container(container).io)

    def _remove_containers(self) -> None:
        """All of them. Without the engine their processes are ended all the same; what it knows of them is removed if
        it comes back soon, else it stays for `emu clean`. EngineGone.
        """
        try:
            self._remove_all()
        except EngineGone:
            self.cgroup.kill()
            if not self._engine.await_back(_BACK_S):
                raise
            self._remove_all()

    def _remove_all(self) -> None:
        for found in self._engine.labelled(f"{LABEL_RUN}={self._host.run_id}"):
            if found.labels.get(LABEL_POD) == self.name:
                self._engine.remove(found.id)


def _limit(value: str) -> int | None:
    """A control file's value as a number; None is no limit."""
    return None if value == NO_LIMIT else int(value)
