"""The containers of a run: each instance, how it was stopped, and what probes and hooks ran in it."""

from __future__ import annotations

from dataclasses import dataclass

from emu.record.events import EVICTED, GONE_PREEMPTED, PREEMPTED, REMOVED, SCALED_DOWN, SCALED_TO_ZERO, Owner


def container_of(name: str) -> str:
    """A container's own name, also of one that is named with its workload."""
    return name.rpartition("/")[2]


@dataclass(frozen=True)
class Stop:
    """A container was asked to stop."""

    why: str
    """`liveness` or `startup` (a probe failed), `pod` (the pod was to end), `scale-down` (it was scaled away),
    `evicted` (its pod was evicted), `preempted` (its pod was removed for one of higher priority), `run` (the run was
    over).
    """
    asked_s: float
    """When its preStop hook began, or SIGTERM came at once."""
    grace_s: float
    sigterm_s: float | None = None
    """When Docker sent SIGTERM; None if the container had ended by then."""
    sigkill_s: float | None = None
    """When Docker sent SIGKILL; None if it was not needed."""
    to_zero: bool = True
    """Of a pod that was scaled away: no pod of its service was to stay."""
    cut_s: float | None = None
    """When the run was over and ended its pod, of which a container had not ended yet; None where all had their
    time.
    """

    @property
    def gone(self) -> str:
        """STATUS of such a pod once it is gone; the word is emu's."""
        if self.why == PREEMPTED:
            return GONE_PREEMPTED
        return SCALED_TO_ZERO if self.to_zero else SCALED_DOWN

    @property
    def with_pod(self) -> bool:
        """Its pod was to end during the run."""
        return self.why in ("pod", EVICTED, *REMOVED)


@dataclass(frozen=True)
class Instance:
    """One container instance. A restart makes a new one with the next `attempt`, in a new cgroup."""

    container: str
    attempt: int
    id: str = ""
    name: str = ""
    image: str = ""
    stands_in_for: str = ""
    """The image of a manifest in whose place it ran; empty: of none."""
    memory_max: int | None = None
    """Bytes; None is no limit."""
    memory_high: int | None = None
    memory_high_from: str = ""
    """How Memory QoS derived it; empty where it did not."""
    swap_max: int | None = None
    oom_score_adj: int = 0
    probes: tuple[str, ...] | None = None
    """Which probes the scenario gives it; None where that was not recorded."""
    role: str = "container"
    """`init` or `sidecar`: an init container that ends, or one that keeps running."""
    shm_bytes: int | None = None
    """Of the pause container: the size of the pod's /dev/shm."""
    pod_memory_request: int | None = None
    """Of the pause container: the pod's effective memory request."""
    io_max: tuple[str, ...] = ()
    """Its lines of io.max."""
    created_s: float | None = None
    started_s: float | None = None
    ready_s: float | None = None
    """When it first accepted connections, and an init container when it had completed; None if it never did."""
    exited_s: float | None = None
    """None while it runs, and where the run was cut off before its end."""
    exit_code: int | None = None
    docker_oom_killed: bool | None = None
    """Docker's own flag at the exit. It lies; `reason` does not depend on it."""
    asked: bool = False
    """We ended it ourselves, at the end of the run."""
    reason: str | None = None
    """As kubectl words it: `OOMKilled` (our verdict, also where a child alone was killed, at any time), `Error`,
    `Completed`; None while it runs.
    """
    oom_ended: bool = False
    """An OOM kill ended it: its main process, or all of it."""
    pid: int | None = None
    cgroup: str | None = None
    ready: bool | None = None
    """What its readiness said last, before it was stopped; None if it never was ready."""
    killed_for: str | None = None
    """`liveness` or `startup`: the probe for whose failure it was killed."""
    stop: Stop | None = None
    """How it was stopped; None if it was not."""

    with_engine: bool = False
    """The engine ended it, because it was stopped itself."""
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def is_finding(self) -> bool:
        """Its end was not our own doing; an OOM kill never is, even while the run is being ended."""
        return self.exited_s is not None and (not self.asked or self.oom_ended)

    @property
    def cut_short(self) -> bool:
        """It was to end, and the run's end came first."""
        cut_s = None if self.stop is None else self.stop.cut_s
        return cut_s is not None and (self.exited_s is None or self.exited_s >= cut_s)

    @property
    def completed(self) -> bool:
        """It is an init container that ended as it should."""
        return self.role == "init" and self.exit_code == 0 and not self.oom_ended

    @property
    def owner(self) -> Owner:
        """Whose timeline is its."""
        return Owner(self.pod, self.container, self.attempt)


@dataclass(frozen=True)
class Command:
    """A command that a probe or a hook ran in a container; what it took was charged to it."""

    container: str
    attempt: int
    why: str
    """`liveness`, `readiness`, `startup` or `preStop`."""
    command: tuple[str, ...]
    began_s: float
    ended_s: float
    pids: tuple[int, ...]
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def owner(self) -> Owner:
        """In which container."""
        return Owner(self.pod, self.container, self.attempt)


@dataclass(frozen=True)
class PodEvent:
    """Events of the pod that read the same, as `kubectl describe pod` lists them."""

    type: str
    """`Normal` or `Warning`."""
    reason: str
    container: str
    message: str
    first_s: float
    last_s: float
    count: int
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""
