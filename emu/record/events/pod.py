"""Events of a pod and its containers, as whoever runs them saw them: the kubelet, the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from emu.record.events.base import Event, OfContainer, OfPod

SCALE_DOWN = "scale-down"
"""Why a container is stopped whose pod is scaled away."""
PREEMPTED = "preempted"
"""Why a container is stopped whose pod is removed for one of higher priority."""
EVICTED = "evicted"
"""Why a container is stopped whose pod is evicted."""
REMOVED = (SCALE_DOWN, PREEMPTED)
"""Such a pod is gone once its containers have ended, and another may take its place."""
SCALED_TO_ZERO = "ScaledToZero"
"""A pod's status, in kubectl's manner, while there is none."""
SCALED_DOWN = "ScaledDown"
"""The same of a pod that is gone while others of its service were to stay. kubectl lists neither."""
GONE_PREEMPTED = "Preempted"
"""The same of one that was removed for a pod of higher priority."""


@dataclass(frozen=True, kw_only=True)
class ContainerCreated(OfContainer):
    """Docker made a container instance; it has no cgroup yet. Limits in bytes; None is no limit."""

    kind: ClassVar[str] = "container-created"
    id: str
    name: str
    image: str
    stands_in_for: str = ""
    """The image of a manifest in whose place it runs; empty: of none."""
    memory_max: int | None = None
    memory_high: int | None = None
    memory_high_from: str = ""
    """How the kubelet's Memory QoS derived it; empty where it did not."""
    swap_max: int | None = None
    oom_score_adj: int = 0
    probes: list[str] | None = None
    """Which probes the scenario gives it (`liveness`, `readiness`, `startup`); None where that was not recorded."""
    role: str = "container"
    """`init`: it runs before the containers, to its end; `sidecar`: an init container that keeps running."""
    shm_bytes: int | None = None
    """Of the pause container: the size of the pod's /dev/shm; None where that was not recorded."""
    pod_memory_request: int | None = None
    """Of the pause container: the pod's effective memory request in bytes; None where that was not recorded."""
    io_max: list[str] = field(default_factory=list)
    """Its lines of io.max, as the kernel has them."""


@dataclass(frozen=True, kw_only=True)
class ContainerStarted(OfContainer):
    """Docker says that it runs."""

    kind: ClassVar[str] = "container-started"
    id: str
    pid: int
    cgroup: str
    image_id: str = ""
    """Of the image that it runs, as the engine has it (`sha256:…`); empty: it has none."""


@dataclass(frozen=True, kw_only=True)
class ContainerReady(OfContainer):
    """It became ready by its readiness probe, or no longer is."""

    kind: ClassVar[str] = "container-ready"
    ready: bool


@dataclass(frozen=True, kw_only=True)
class ContainerExited(OfContainer):
    """It ended. `docker_oom_killed` is Docker's own flag, which is known to lie; it is recorded, never believed. None
    where no Docker engine ran it.
    """

    kind: ClassVar[str] = "container-exited"
    id: str
    exit_code: int
    docker_oom_killed: bool | None
    asked: bool = False
    """We stopped it ourselves (the end of the run), so that the exit is no finding."""
    started_at: str | None = None
    finished_at: str | None = None
    killed_for: str | None = None
    """`liveness` or `startup`: the probe for whose failure it was killed."""


@dataclass(frozen=True, kw_only=True)
class ContainerStopping(OfContainer):
    """It is being ended: its preStop hook begins, or SIGTERM comes at once."""

    kind: ClassVar[str] = "container-stopping"
    why: str
    """`liveness` or `startup` (a probe failed), `pod` (the pod is to end), `scale-down` (it is scaled to zero),
    `evicted` (the pod is evicted), `preempted` (it is removed for a pod of higher priority), `run` (the run is over).
    """
    grace_s: float
    """From now to SIGKILL."""


@dataclass(frozen=True, kw_only=True)
class CommandRan(OfContainer):
    """A command that a probe or a hook ran in a container has ended (at `t`), or was killed. It is charged to the
    container, and whatever it takes is the container's.
    """

    kind: ClassVar[str] = "command-ran"
    why: str
    """`liveness`, `readiness`, `startup` or `preStop`."""
    command: list[str]
    began: float
    pids: list[int]
    """The processes of it that were seen: in the container's cgroup, and no descendants of its main process."""
    exit_code: int | None
    """None: it was killed for its time, or could not be run."""


@dataclass(frozen=True, kw_only=True)
class KubeletEvent(OfContainer):
    """What a kubelet would record of the pod, as `kubectl describe pod` lists it."""

    kind: ClassVar[str] = "kubelet-event"
    type: str
    """`Normal` or `Warning`."""
    reason: str
    """Unhealthy, Killing, BackOff …"""
    message: str


@dataclass(frozen=True, kw_only=True)
class PodEvicted(OfPod):
    """The kubelet ends the pod because the node is short of memory; it is not started again."""

    kind: ClassVar[str] = "pod-evicted"
    message: str
    """As in the pod's status."""
    grace_s: int


@dataclass(frozen=True, kw_only=True)
class PodPreempted(OfPod):
    """The scheduler removes the pod to make room for one of higher priority, for which it nominates the node."""

    kind: ClassVar[str] = "pod-preempted"
    message: str
    """As in the pod's event."""
    priority: int
    by: str
    """The pod that it makes room for."""
    by_priority: int


@dataclass(frozen=True, kw_only=True)
class PodResized(OfPod):
    """What came of an in-place resize of a container."""

    kind: ClassVar[str] = "pod-resized"
    container: str
    outcome: str
    """`started`, `completed`, `error` (memory is not below the new limit), `deferred` or `infeasible` (no room)."""
    memory_max: int | None
    """The limit that was asked for; None is no limit."""
    message: str
    """As in the pod's condition or event."""


@dataclass(frozen=True, kw_only=True)
class BackOffBegan(OfPod):
    """The next start waits, as the kubelet's would."""

    kind: ClassVar[str] = "back-off"
    container: str
    restarts: int
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class PodStatus(OfPod):
    """The pod as kubectl would show it; written when it changes."""

    kind: ClassVar[str] = "pod-status"
    ready: str
    """`1/2`"""
    status: str
    """Running, OOMKilled, CrashLoopBackOff, Error, ContainerCreating, Completed …; ScaledToZero is ours."""
    restarts: int


@dataclass(frozen=True, kw_only=True)
class DockerEvent(Event):
    """An event as the engine reported it."""

    kind: ClassVar[str] = "docker-event"
    action: str
    id: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    time_nano: int = 0
