"""OOM kills: the verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field

from emu.record.events import Owner


@dataclass(frozen=True)
class Culprit:
    """Whose processes held most of a container's memory when it ran out."""

    kind: str
    """`main` (its main process), `child` (others that it started), or what a probe or hook ran in it: `liveness`,
    `readiness`, `startup`, `preStop`.
    """
    command: str | None = None
    """The probe's or hook's command."""
    rss_bytes: int | None = None
    """What they held: of killed ones anonymous and shared memory, of others all that was resident, by the kernel's
    log; None where it has neither.
    """
    processes: int = 1
    """Of the whole container, by the kernel's table of tasks."""
    all_rss_bytes: int | None = None
    """Anonymous and shared memory of all of them, added up: a page that two map counts twice. Of processes that were
    not killed it is an estimate, by the file pages of the one that was.
    """


@dataclass(frozen=True)
class Candidate:
    """A container among those that the kernel chose from: its process with the most points."""

    pod: str
    container: str
    held_bytes: int
    """Its resident memory, swap and page tables."""
    oom_score_adj: int
    points_bytes: int
    """What it held, and oom_score_adj thousandths of what ran out, swap included: the kernel kills the process with
    most.
    """


@dataclass(frozen=True)
class OomVerdict:
    """One OOM kill of a container: who hit which limit, who asked, who died, and how well we know."""

    time_s: float
    container: str
    """Who lost a process."""
    attempt: int | None
    level: str
    """Whose memory ran out: `container`, `pod`, `node` (the cgroup that all pods are in) or `host`."""
    invoker: str | None = None
    """The command that asked for the memory which was not there."""
    victim: str | None = None
    """The command that was killed."""
    pid: int | None = None
    pids: tuple[int, ...] = ()
    """All processes killed (memory.oom.group kills the whole container)."""
    child: bool = False
    """A child process died and the container lived on."""
    frozen: bool = False
    """The container was frozen when it was killed: what it held was too much without its doing."""
    at_end: bool = False
    """The run was already ending the container."""
    anon_rss_bytes: int | None = None
    file_rss_bytes: int | None = None
    shmem_rss_bytes: int | None = None
    limit_bytes: int | None = None
    """The limit that was hit (of the container, the pod or the node)."""
    usage_bytes: int | None = None
    """What the level that ran out held then."""
    held: dict[str, int] = field(default_factory=dict)
    """What that was: bytes of `anon`, `page_cache`, `shmem`, `kernel` and `sock` (of the container where the whole
    machine ran out). From the kernel's log, else from the last sample before.
    """
    dirty_bytes: int | None = None
    """Of `held["page_cache"]`, what is not on disk yet (dirty, or being written), and so could not be dropped; None
    where the kernel does not say.
    """
    held_kernel: dict[str, int] = field(default_factory=dict)
    """Of `held["kernel"]`, by memory.stat's names: slab_reclaimable (the kernel gives it up when memory is short),
    slab_unreclaimable, kernel_stack, pagetables, percpu; and kernel_other, for which it has no name.
    """
    victim_is: str | None = None
    """As `Culprit.kind`: whose process was killed; None where it is not known."""
    culprit: Culprit | None = None
    """None where the victim is not known."""
    swap_bytes: int | None = None
    """What the container had in swap just before."""
    swap_limit_bytes: int | None = None
    """memory.swap.max of the level that ran out; of a pod those of its containers together. None is no limit, or not
    known.
    """
    swap_left: str | None = None
    """Why nothing more went to swap: `not-allowed` (memory.swap.max is 0), `limit` (it was used up), `no-swap` (the
    machine has none), `machine-full`; `some` where there was some left; None where that is not known.
    """
    in_flight: int | None = None
    """Requests sent and not yet answered then."""
    in_backlog: int | None = None
    """Of queue-proxy alone: so many of them it had not accepted yet, for want of time or memory."""
    after_first_request_s: float | None = None
    evidence: tuple[str, ...] = ()
    """Which of `memory.events`, `kmsg`, `exit-code`, `docker-flag` reported it."""
    contradicts: tuple[str, ...] = ()
    """What said otherwise, in words: `docker-flag: false`."""
    log: tuple[str, ...] = ()
    """The kernel's own lines that matter: who invoked, the summary, the kill."""
    kernel_us: int | None = None
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""
    candidates: tuple[Candidate, ...] = ()
    """Whom the kernel chose from above a container's level, the most points first; empty where its table of tasks was
    rate limited.
    """

    @property
    def owner(self) -> Owner:
        """Who lost a process."""
        return Owner(self.pod, self.container, self.attempt)
