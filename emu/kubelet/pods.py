"""The pods of a run: each has a name that no other has, and all are made under one cgroup, the node's `kubepods`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from emu.kubelet.host import Host
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.template import PodTemplate
from emu.kubelet.volumes import Volumes
from emu.policy.kubelet.derived import as_files, class_values, node_values, reaching, with_lowered
from emu.policy.kubelet.memory import levels
from emu.policy.kubelet.names import KUBEPODS, pod_name, qos_name
from emu.policy.qos import QosClass, qos_class
from emu.record.events import SCALE_DOWN, EventLog
from emu.runtime.podcgroup import PodCgroup


class Pods:
    """A context manager: entering makes the run's cgroup, and in it the one that all pods are in; leaving removes the
    pods that are left, the newest first, and then these.
    """

    def __init__(self, host: Host, run: PodCgroup, log: EventLog) -> None:
        """`run`: the run's cgroup, which is to the kubelet what its --cgroup-root is."""
        self._host = host
        self._node = host.node
        self._run = run
        self._kubepods = run.child(KUBEPODS)
        self._log = log
        self._classes: dict[QosClass, PodCgroup] = {}
        self._controls: dict[QosClass, dict[str, str]] = {}
        """What was last written to them."""
        self._stack = ExitStack()
        self._made: list[Pod] = []
        self._containers: list[str] = []
        self.on_make: Callable[[Pod], None] = lambda _: None
        """Called with each pod once its cgroup is there."""
        self.on_remove: Callable[[str], None] = lambda _: None
        """Called with the name of each pod that is gone before the run ends."""
        self.on_create: Callable[[Instance], None] = lambda _: None
        """Called with each new instance before it is started; the recorder wants to know whose a cgroup will be."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # undoing is noted before doing: an interrupt may come between the two
            stack.callback(self._run.remove)
            self._run.create()
            self._run.own(self._host.owner)
            self._kubepods.create()
            stack.callback(self._remove_all)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def cgroup(self) -> Path:
        """Of all pods: the node's `kubepods`."""
        return self._kubepods.path

    @property
    def containers(self) -> list[str]:
        """The engine's name of every container that was ever made in them."""
        return list(self._containers)

    def plan(self, template: PodTemplate, name: str, volumes: Volumes) -> Pod:
        """A pod that is not on this machine yet."""
        pod = Pod(
            template,
            name,
            self._host,
            self._class(qos_class(template.stored(self._node.version))).child(pod_name(name)),
            self._log.of_pod(name),
            volumes,
        )
        pod.on_create = self._created
        return pod

    def place(self, pod: Pod) -> None:
        """Make the cgroup of a pod that was planned; its containers come with `Pod.open` and a worker."""
        # Noted before it is made: what is half made is removed, too.
        self._made.append(pod)
        self.update()
        pod.__enter__()
        self.on_make(pod)

    def remove(self, pod: Pod, why: str = SCALE_DOWN) -> None:
        """Remove a pod, whose containers have ended, and its cgroup, where it was placed. EngineGone."""
        if pod not in self._made:
            return
        pod.close(why)
        # Only now: until its cgroup is gone, what protects its memory stays above it.
        self._made.remove(pod)
        self.update()
        self.on_remove(pod.name)

    def _class(self, qos: QosClass) -> PodCgroup:
        """The cgroup that pods of a class are in; Guaranteed ones are in that of all pods."""
        if qos == "Guaranteed":
            return self._kubepods
        if qos not in self._classes:
            group = self._kubepods.child(qos_name(qos))
            group.create()
            self._classes[qos] = group
        return self._classes[qos]

    def update(self) -> None:
        """What the kubelet writes above the pods changes with each that comes, goes or is resized."""
        pods = [one.template.stored(self._node.version) for one in self._made]
        found = levels(pods, self._node.memory_qos, self._node.version)
        self._kubepods.control(as_files(node_values(found, self._node)))
        for qos, group in self._classes.items():
            below = [as_files(one.template.values(self._node)) for one in self._made if self._qos(one) == qos]
            wanted = as_files(reaching(class_values(qos, found, self._node), below))
            self._controls[qos] = with_lowered(self._controls.get(qos, {}), wanted)
            group.control(self._controls[qos])

    def _qos(self, pod: Pod) -> QosClass:
        return qos_class(pod.template.stored(self._node.version))

    def _created(self, instance: Instance) -> None:
        self._containers.append(instance.name)
        self.on_create(instance)

    def _remove_all(self) -> None:
        with ExitStack() as stack:
            for pod in self._made:
                stack.callback(pod.__exit__, None, None, None)
