"""What a pod is made from: its containers, volumes, grace period and restarts, as Kubernetes' PodSpec has them.

Plain values; whoever makes one decides what is in it. `emu.kubelet` runs any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from emu.policy import effective
from emu.policy.kubelet import derived
from emu.policy.kubelet.derived import GIVEN, IO_WEIGHT, NodeRules, as_files, container_values, pod_values, reaching
from emu.policy.kubelet.environment import Data, Source, Value
from emu.policy.kubelet.environment import Kind as ObjectKind
from emu.policy.kubelet.memory import limit
from emu.policy.kubelet.objectfiles import ObjectFiles
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.kubelet.security import PLAIN, Security
from emu.policy.kubelet.version import Version
from emu.policy.lifecycle import BackOffRule, Role
from emu.policy.probing import Kind, ProbeRule
from emu.spec import (
    ExecSpec,
    FileSpec,
    GrpcSpec,
    HttpGetSpec,
    IoControls,
    MemoryControls,
    PodMemory,
    ProbeSpec,
    RestartPolicy,
    SleepSpec,
    TcpSocketSpec,
)
from emu.spec import Resources as ContainerResources

Hook = ExecSpec | HttpGetSpec | SleepSpec
"""What a preStop hook does."""


@dataclass(frozen=True)
class PodProbe:
    """A probe as the kubelet runs it."""

    handler: HttpGetSpec | TcpSocketSpec | ExecSpec | GrpcSpec
    rule: ProbeRule
    timeout_s: float
    grace_s: float | None = None
    """From SIGTERM to SIGKILL when it kills; None is the pod's."""
    ours: bool = False
    """Not of the scenario's: only how we learn when a container listens."""

    @classmethod
    def of(cls, spec: ProbeSpec) -> Self:
        """From a probe as the scenario has it."""
        return cls(spec.handler, spec.rule, spec.timeout_seconds, spec.termination_grace_period_seconds)


@dataclass(frozen=True)
class Volume:
    """A volume on the engine's disk that lives as long as the run, and the files made in it before the pod starts."""

    name: str
    files: tuple[FileSpec, ...] = ()


@dataclass(frozen=True)
class EmptyDir:
    """A volume that lives as long as the pod, which any user may write to unless it is of ConfigMaps and Secrets."""

    name: str
    in_memory: bool = False
    """A tmpfs; else it is on the engine's disk."""
    size_limit: int | None = None
    """Of a tmpfs, in bytes; None: what the pod may use."""
    files: ObjectFiles | None = None
    """Of a ConfigMap or Secret, to read only; None: it is empty."""


@dataclass(frozen=True)
class Mount:
    """An emptyDir in a container."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class ContainerTemplate:
    """What the kubelet makes a container from, at its first start and at each restart."""

    name: str
    image: str
    role: Role = "container"
    """Whether it is an init container, or a sidecar that is one."""
    command: tuple[str, ...] | None = None
    """In place of the image's entrypoint."""
    args: tuple[str, ...] | None = None
    env: Mapping[str, Value] = field(default_factory=dict)
    env_from: tuple[Source, ...] = ()
    working_dir: str | None = None
    """Where it starts; None: where the image says."""
    security: Security = PLAIN
    resources: ContainerResources = field(default_factory=ContainerResources)
    memory: MemoryControls = field(default_factory=MemoryControls)
    io: IoControls = field(default_factory=IoControls)
    port: int | None = None
    """Where probes connect unless they say otherwise."""
    probes: Mapping[Kind, PodProbe] = field(default_factory=dict)
    declared_probes: tuple[Kind, ...] = ()
    """The kinds of probe that its user gave it, for the record: a platform may have it probed otherwise."""
    pre_stop: Hook | None = None
    volume: tuple[str, str] | None = None
    """The name of a volume of the run, and where it is mounted."""
    mounts: tuple[Mount, ...] = ()
    """Volumes of the pod."""
    bind: tuple[str, str] | None = None
    """A folder of this machine and where it is mounted, to read only."""
    confined: bool = True
    """As of the request that is made of it: what emu's own images are, and Knative's queue-proxy."""
    stands_in_for: str = ""
    """The image of a manifest that is not run here."""

    @property
    def asked(self) -> Container:
        """What it asks for, in the kubelet's terms."""
        requests, limits = self.resources.requests, self.resources.limits
        asked = effective.Asked(requests.memory, limits.memory, requests.cpu, limits.cpu)
        return Container(self.name, effective.Resources.of(asked).defaulted, sidecar=self.role == "sidecar")

    @property
    def signalled_at_once(self) -> bool:
        """At the pod's end: neither a hook nor other containers come before its SIGTERM."""
        return self.pre_stop is None and self.role != "sidecar"


@dataclass(frozen=True, kw_only=True)
class PodTemplate:
    """A pod that can be made, as often as is wanted."""

    containers: tuple[ContainerTemplate, ...]
    """In the order in which they are started, the init containers first."""
    memory: PodMemory = field(default_factory=PodMemory)
    resources: effective.Resources | None = None
    """Of the pod itself (`spec.resources`); None: what its containers come to."""
    io_weight: int | None = None
    """io.weight of its cgroup; None: the kernel's default."""
    volumes: tuple[Volume, ...] = ()
    empty_dirs: tuple[EmptyDir, ...] = ()
    shm_bytes: int = 64 << 20
    """The size of /dev/shm, which its containers share."""
    grace_s: int = 30
    """Seconds from SIGTERM to SIGKILL, preStop hook included."""
    last_grace_s: int = 0
    """The same when the run is over: the pod is no longer needed."""
    priority: int = 0
    """The value of its priority class."""
    priority_class: str = ""
    preempts: bool = True
    """Whether pods of lower priority are removed for it."""
    restart_policy: RestartPolicy = "Always"
    back_off: BackOffRule = field(default_factory=BackOffRule)
    port: int | None = None
    """Where requests to the pod are sent."""
    labels: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[ObjectKind, Data] = field(default_factory=dict)
    """The ConfigMaps and Secrets that it names."""

    @property
    def names(self) -> tuple[str, ...]:
        """The containers' names, in the order in which they are started."""
        return tuple(one.name for one in self.containers)

    @property
    def serving(self) -> str:
        """The container that listens where requests to the pod are sent; empty where none does."""
        own = (one for one in self.containers if one.role == "container" and one.port is not None)
        return "" if self.port is None else next((one.name for one in own if one.port == self.port), "")

    @property
    def asked(self) -> Pod:
        """What it asks for, in the kubelet's terms."""
        return Pod(
            [one.asked for one in self.containers if one.role == "container"],
            [one.asked for one in self.containers if one.role != "container"],
            resources=self.resources,
            priority=self.priority,
            priority_class=self.priority_class,
            grace_s=self.grace_s,
        )

    def stored(self, version: Version) -> Pod:
        """What it asks for, as the API server of that version keeps it."""
        return stored(self.asked, version)

    def values(self, node: NodeRules) -> list[derived.Value]:
        """What the pod's cgroup gets; what its user gave goes first."""
        most, swap = self.memory.max, self.memory.swap_max
        given = {} if most is None else {"memory.max": str(most)}
        given |= {} if swap is None else {"memory.swap.max": str(swap)}
        below = (as_files(self.container_values(one.name, node)) for one in self.containers if one.role != "init")
        found = reaching(pod_values(self.stored(node.version), node, given), below)
        weight = self.io_weight
        return found if weight is None else [*found, derived.Value(IO_WEIGHT, str(weight), GIVEN, given=True)]

    def container_values(self, name: str, node: NodeRules) -> list[derived.Value]:
        """What a container's cgroup gets, and its oom_score_adj; what its user gave goes first."""
        pod = self.stored(node.version)
        asked = next(one for one in pod.all_containers if one.name == name)
        return container_values(pod, asked, node, self.container(name).memory.given)

    def limit(self, name: str, resource: str) -> int | None:
        """Of a container: its own, else the whole of the pod's; None without one."""
        return limit(self.asked, self.container(name).asked, resource) or None

    def resized(self, name: str, resources: ContainerResources) -> PodTemplate:
        """The same with other resources of one container."""
        changed = (replace(one, resources=resources) if one.name == name else one for one in self.containers)
        return replace(self, containers=tuple(changed))

    def container(self, name: str) -> ContainerTemplate:
        """The container of this name."""
        return next(one for one in self.containers if one.name == name)
