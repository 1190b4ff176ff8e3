"""What is known of a finished run: plain values, made from a run directory by `emu.study.study.read_study`.

All times named `_s`, and every `t` column, are seconds since the run began, on CLOCK_MONOTONIC. Bytes are ints.
What was not measured is None (an absent file, a torn end), never 0. Counters are as the kernel counts them:
they only rise within one cgroup, and begin at 0 again in the cgroup of a restarted container.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from emu.policy.starts import Stage
from emu.record.events import SCALE_DOWN, Owner
from emu.record.rundir import RunDir
from emu.study.ends import End, Ends

Column = list[int | None]
"""A value for each `t` of its timeline; None where it was not measured."""

SANDBOX = "sandbox"
"""The pause container that holds the pod's network: part of the pod, of no interest to most readers."""


@dataclass(frozen=True)
class Machine:
    """Where it ran. `devices` maps `98:0` to its name and role (`docker`, `process`, `swap` or `other`)."""

    kernel: str | None = None
    cgroup_driver: str | None = None
    docker: str | None = None
    """Docker's version; None where no engine ran the pod."""
    runtime: str | None = None
    """What ran the pod's containers: `docker` or `process`."""
    cpus: int | None = None
    memory_bytes: int | None = None
    swap_bytes: int | None = None
    psi: bool | None = None
    page_bytes: int = 4096
    devices: dict[str, Device] = field(default_factory=dict)


@dataclass(frozen=True)
class Device:
    """A block device of io.stat."""

    number: str
    name: str
    role: str

    @property
    def is_swap(self) -> bool:
        """Whether pages are swapped to it."""
        return self.role == "swap"


@dataclass(frozen=True)
class Stop:
    """A container was told to end."""

    why: str
    """`liveness` or `startup` (a probe failed), `pod` (the pod was to end), `scale-down` (it was scaled to zero),
    `run` (the run was over).
    """
    asked_s: float
    """When its preStop hook began, or SIGTERM came at once."""
    grace_s: float
    sigterm_s: float | None = None
    """When Docker sent SIGTERM; None if the container had ended by then."""
    sigkill_s: float | None = None
    """When Docker sent SIGKILL; None if it was not needed."""

    @property
    def with_pod(self) -> bool:
        """Its pod was to end while the run went on."""
        return self.why in ("pod", SCALE_DOWN)


@dataclass(frozen=True)
class Instance:
    """One container instance. A restart makes a new one with the next `attempt`, in a new cgroup."""

    container: str
    attempt: int
    id: str = ""
    name: str = ""
    image: str = ""
    memory_max: int | None = None
    """Bytes; None is no limit."""
    memory_high: int | None = None
    swap_max: int | None = None
    oom_score_adj: int = 0
    probes: tuple[str, ...] | None = None
    """Which probes the scenario gives it; None where that was not recorded."""
    created_s: float | None = None
    started_s: float | None = None
    ready_s: float | None = None
    """When it first accepted connections; None if it never did."""
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
    """What its readiness said last, before it was told to end; None if it never was ready."""
    killed_for: str | None = None
    """`liveness` or `startup`: the probe for whose failure it was killed."""
    stop: Stop | None = None
    """How it was told to end; None if it was not."""

    with_engine: bool = False
    """The engine ended it, because it was stopped itself."""
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def is_finding(self) -> bool:
        """Its end was not our own doing; an OOM kill never is, even while the run is being ended."""
        return self.exited_s is not None and (not self.asked or self.oom_ended)

    @property
    def owner(self) -> Owner:
        """Whose timeline is its."""
        return Owner(self.pod, self.container, self.attempt)


@dataclass
class IoColumns:
    """Bytes that went through one block device, a counter for each `t`."""

    read_bytes: Column = field(default_factory=list)
    write_bytes: Column = field(default_factory=list)


@dataclass
class Timeline:
    """A cgroup through time: columns of the same length as `t`, ready to be drawn (None is a gap)."""

    owner: Owner
    t: list[float] = field(default_factory=list)
    memory_current: Column = field(default_factory=list)
    limit: Column = field(default_factory=list)
    """memory.max; None also where there is no limit."""
    high: Column = field(default_factory=list)
    """memory.high; None also where there is none."""
    swap_limit: Column = field(default_factory=list)
    """memory.swap.max; None also where there is no limit."""
    swap_high: Column = field(default_factory=list)
    anon: Column = field(default_factory=list)
    page_cache: Column = field(default_factory=list)
    """`file` without `shmem`: what the kernel can drop or write back."""
    shmem: Column = field(default_factory=list)
    kernel: Column = field(default_factory=list)
    slab_reclaimable: Column = field(default_factory=list)
    """Of `kernel`: dentries, inodes and the like, which the kernel gives up when memory is short."""
    kernel_unreclaimable: Column = field(default_factory=list)
    """The rest of `kernel`: it goes only with what it is held for (threads, mappings, open files). Of it, the next
    four.
    """
    slab_unreclaimable: Column = field(default_factory=list)
    kernel_stack: Column = field(default_factory=list)
    pagetables: Column = field(default_factory=list)
    percpu: Column = field(default_factory=list)
    sock: Column = field(default_factory=list)
    swap: Column = field(default_factory=list)
    """memory.swap.current."""
    working_set: Column = field(default_factory=list)
    """memory.current - inactive_file: what `kubectl top` and `docker stats` show."""
    dirty: Column = field(default_factory=list)
    """file_dirty + file_writeback, less `swap_writeback`: page cache that must be written before it can go."""
    swap_writeback: Column = field(default_factory=list)
    """Of file_writeback what may be pages on their way to swap, which the kernel counts there too: as much of it as
    the swap cache holds.
    """
    refaults: Column = field(default_factory=list)
    """workingset_refault_file: pages of files read again after they were dropped. Counter, in pages."""
    refaults_anon: Column = field(default_factory=list)
    """workingset_refault_anon: pages brought back from swap. Counter, in pages."""
    pgmajfault: Column = field(default_factory=list)
    cpu_usec: Column = field(default_factory=list)
    throttled_usec: Column = field(default_factory=list)
    """cpu.stat: how long its tasks together were kept from running by cpu.max. Counter."""
    psi_some_usec: Column = field(default_factory=list)
    """memory.pressure, total stall of at least one task. Counter; None on kernels without PSI."""
    psi_full_usec: Column = field(default_factory=list)
    io_some_usec: Column = field(default_factory=list)
    """io.pressure, likewise."""
    io_full_usec: Column = field(default_factory=list)
    frozen: Column = field(default_factory=list)
    """1 while cgroup.events says frozen."""
    processes: Column = field(default_factory=list)
    backlog: Column = field(default_factory=list)
    """Of the pod alone: connections at queue-proxy's port that wait to be accepted."""
    events: dict[str, Column] = field(default_factory=dict)
    """memory.events.local: low, high, max, oom, oom_kill, oom_group_kill of this level alone."""
    events_all: dict[str, Column] = field(default_factory=dict)
    """memory.events: this level and all below it."""
    swap_events: dict[str, Column] = field(default_factory=dict)
    """memory.swap.events: `high`, `max` (its memory.swap.max was reached), `fail` (no swap was to be had: its own
    limit, or the machine's swap was full). Counters.
    """
    io: dict[str, IoColumns] = field(default_factory=dict)
    """By device number (`98:0`); empty where io.stat was absent or named no device."""
    has_io: bool = False
    """io.stat could be read, so that no device means no bytes."""
    memory_peak: int | None = None
    """The last memory.peak (the kernel's own), or the largest sample on kernels without it."""

    @property
    def label(self) -> str:
        """Whose it is: `pod`, `queue-proxy`, `app`, `sandbox`."""
        return self.owner.label

    def plain_columns(self) -> dict[str, Column]:
        """Every column that is a plain list, by its name."""
        lists = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "t"}
        return {name: value for name, value in lists.items() if isinstance(value, list)}


@dataclass
class HostTimeline:
    """The machine's memory through time (/proc/meminfo); for the sandbox, its kernel's."""

    t: list[float] = field(default_factory=list)
    total: Column = field(default_factory=list)
    available: Column = field(default_factory=list)
    free: Column = field(default_factory=list)
    page_cache: Column = field(default_factory=list)
    anon: Column = field(default_factory=list)
    swap_used: Column = field(default_factory=list)
    swap_total: Column = field(default_factory=list)
    reclaim_stalls: Column = field(default_factory=list)
    """/proc/vmstat, allocstall: how often an allocation found no free memory and had to reclaim first. Counter of the
    machine, since it booted; reclaim within a cgroup's own limit is not counted.
    """


OK = "2xx"
"""The outcome of a request that was answered with success."""


@dataclass(frozen=True)
class Request:
    """One request. `error` is `unanswered` where the run ended before it did."""

    id: int
    phase: str
    due_s: float
    sent_s: float
    first_byte_s: float | None
    done_s: float | None
    status: int | None
    error: str | None
    bytes: int = 0
    reason: str | None = None
    """Why it was not answered well, as summary.json names it; None where nothing went wrong."""
    end: End | None = None
    """What queue-proxy or the activator recorded of its end; None where the app answered it, or nothing is known."""
    begun_s: float | None = None
    """When the load generator took it up; None where it did not say so, and `due_s` stands for it."""

    @property
    def begin_s(self) -> float:
        """From when its latency counts."""
        return self.due_s if self.begun_s is None else self.begun_s

    @property
    def late_s(self) -> float | None:
        """How long after it was due the load generator took it up; None where that was not recorded."""
        return None if self.begun_s is None else max(0.0, self.begun_s - self.due_s)

    @property
    def took_s(self) -> float | None:
        """From its begin to its end, whatever that was; None where the run ended first."""
        return None if self.done_s is None else self.done_s - self.begin_s

    @property
    def outcome(self) -> str:
        """What became of it: `2xx`, any other status by its number, or the name of an error."""
        if self.error is not None or self.status is None:
            return self.error or "unanswered"
        return OK if 200 <= self.status < 300 else str(self.status)

    @property
    def answered(self) -> bool:
        """A whole answer arrived, whatever its status."""
        return self.error is None

    @property
    def latency_s(self) -> float | None:
        """From when it was begun to its end: connecting counts, what the load generator was late does not. None for
        one that was not answered.
        """
        return self.took_s if self.answered else None


@dataclass
class InFlight:
    """How many requests were sent and not yet done: a step curve, `n[i]` from `t[i]` on."""

    t: list[float] = field(default_factory=list)
    n: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class PhaseSpan:
    """A phase of the load. What it set going is counted to it until the next one begins."""

    name: str
    begin_s: float
    end_s: float
    """When its load ended."""
    until_s: float
    """When the next phase begins, or the run ended."""
    waits_for: str | None = None
    """What was to end it before its time, in words."""
    met: bool | None = None
    """Whether that came; None where it waited for nothing, or the run ended first."""
    bound_s: float | None = None
    """How long it may take."""
    unsent: int = 0
    """Of one that waits: how many requests were due by its end and not sent."""


@dataclass(frozen=True)
class MemoryMark:
    """memory.events or memory.events.local rose."""

    t: float
    owner: Owner
    local: bool
    delta: dict[str, int]
    values: dict[str, int]

    @property
    def label(self) -> str:
        """Whose it is: `pod`, `queue-proxy`, `app`, `sandbox`."""
        return self.owner.label


@dataclass(frozen=True)
class KernelLine:
    """A line of the kernel's log. Both stamps are kept: the kernel's own, and when it was read."""

    t: float
    """The kernel's stamp on the run's clock."""
    kernel_us: int
    """Microseconds since boot, by printk's clock."""
    read_s: float | None
    level: int
    """0 emergency … 3 error, 4 warning, 6 info, 7 debug."""
    text: str
    sequence: int | None = None
    oom: bool = False
    """Part of an OOM block."""


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


@dataclass(frozen=True)
class OomVerdict:
    """One OOM kill of a container: who hit which limit, who asked, who died, and how well we know."""

    time_s: float
    container: str
    """Who lost a process."""
    attempt: int | None
    level: str
    """Whose memory ran out: `container`, `pod` or `host`."""
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
    """The container stood still, frozen, when it was killed: what it held was too much without its doing."""
    at_end: bool = False
    """The run was ending the container then: nobody asked anything of it any more."""
    anon_rss_bytes: int | None = None
    file_rss_bytes: int | None = None
    shmem_rss_bytes: int | None = None
    limit_bytes: int | None = None
    """The limit that was hit (of the container or the pod)."""
    usage_bytes: int | None = None
    """What the level that ran out held then."""
    held: dict[str, int] = field(default_factory=dict)
    """What that was: bytes of `anon`, `page_cache`, `shmem`, `kernel` and `sock` (of the container where the whole
    machine ran out). From the kernel's log, else from the last sample before.
    """
    held_kernel: dict[str, int] = field(default_factory=dict)
    """Of `held["kernel"]`, by memory.stat's names: slab_reclaimable (the kernel gives it up when memory is short),
    slab_unreclaimable, kernel_stack, pagetables, percpu.
    """
    victim_is: str | None = None
    """As `Culprit.kind`: whose process was killed; None where it is not known."""
    culprit: Culprit | None = None
    """None where the victim is not known."""
    swap_bytes: int | None = None
    """What the container had in swap just before."""
    swap_limit_bytes: int | None = None
    """memory.swap.max of the level that ran out; None is no limit, or not known."""
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
    """Which of `memory.events`, `kmsg`, `exit-code`, `docker-flag` told of it."""
    contradicts: tuple[str, ...] = ()
    """What said otherwise, in words: `docker-flag: false`."""
    log: tuple[str, ...] = ()
    """The kernel's own lines that matter: who invoked, the summary, the kill."""
    kernel_us: int | None = None
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def owner(self) -> Owner:
        """Who lost a process."""
        return Owner(self.pod, self.container, self.attempt)


@dataclass(frozen=True)
class Happening:
    """A docker event, pod status, back-off or note: something at a time, for marks and tables."""

    t: float
    kind: str
    """`docker`, `pod-status`, `back-off`, `note`, `kmsg-gap`."""
    subject: str
    """The container, or ``."""
    text: str
    detail: dict[str, Any] = field(default_factory=dict)


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


@dataclass(frozen=True)
class FrozenMemory:
    """What a container held when it was frozen, when it was thawed again (or at the run's end), and when it was
    frozen the next time (or at the end). Bytes; None is not measured, or did not come to pass.
    """

    anon_before_bytes: int | None = None
    anon_frozen_bytes: int | None = None
    anon_after_bytes: int | None = None
    file_before_bytes: int | None = None
    file_frozen_bytes: int | None = None
    file_after_bytes: int | None = None
    swap_before_bytes: int | None = None
    swap_frozen_bytes: int | None = None
    swap_after_bytes: int | None = None
    reclaimed_bytes: int | None = None
    """What the kernel gave back of it while it was frozen; None: nobody asked."""
    kept_why: str | None = None
    """Why not all that was asked for."""


@dataclass(frozen=True)
class Wake:
    """What it cost to go on, from the thaw to the next freeze or the end."""

    latency_ms: float | None = None
    """Of the request that waited for the thaw, to the end of its answer."""
    major_faults: int | None = None
    swap_in_bytes: int | None = None
    prefetched_bytes: int | None = None
    """Read back from swap ahead of the thaw; None: nobody did."""
    prefetch_ms: float | None = None
    """How long that held up the thaw; it is in `thaw_ms`."""
    prefetch_known_bytes: int | None = None
    """Of it, at most, what the wake before had touched; None: none was seen yet."""


@dataclass(frozen=True)
class Freeze:
    """A container stood still. `thawed_at_s` is None if it still did at the end; the two costs are None unless
    someone measured them.
    """

    container: str
    attempt: int | None
    frozen_at_s: float
    thawed_at_s: float | None = None
    freeze_ms: float | None = None
    """From when the freezer daemon was asked to the kernel's word."""
    thaw_ms: float | None = None
    method: str | None = None
    """`docker` or `cgroup`; None where no freezer daemon told."""
    memory: FrozenMemory = FrozenMemory()
    wake: Wake = Wake()
    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""

    @property
    def owner(self) -> Owner:
        """What stood still."""
        return Owner(self.pod, self.container, self.attempt)


def frozen_span(owner: Owner, frozen_at_s: float, thawed_at_s: float | None = None) -> Freeze:
    """A stretch in which an instance stood still, of which no more is known."""
    return Freeze(owner.container, owner.attempt, frozen_at_s, thawed_at_s, pod=owner.pod)


@dataclass(frozen=True)
class FreezerUse:
    """What a freezer daemon did in a run. Milliseconds of those that succeeded, in order of time."""

    pause_ms: tuple[float, ...] = ()
    resume_ms: tuple[float, ...] = ()
    failed: tuple[str, ...] = ()
    """Why, each time."""
    served_frozen: int | None = None
    """Stretches in which queue-proxy forwarded requests while the daemon had the app frozen; None: not recorded."""


@dataclass(frozen=True)
class Start:
    """One trial of a start: a request came to a pod that was as warm as `temperature`. Bytes, seconds, counts."""

    trial: int
    wanted: str
    """The temperature that was prepared."""
    temperature: str
    """What was found."""
    attempt: int
    arrived_s: float
    first_byte_s: float | None
    done_s: float
    status: int | None
    error: str | None
    stages: tuple[Stage, ...] = ()
    """One after the other from the arrival to the first byte."""
    faults: int | None = None
    """Page faults of the app from the arrival to the end of the answer; for one that was started, all since."""
    major_faults: int | None = None
    swap_in_bytes: int | None = None
    io_read_bytes: int | None = None
    held_bytes: int = 0
    """Memory of the pod's containers while it waited."""
    held_swap_bytes: int = 0
    image_cached_bytes: int | None = None

    @property
    def answered(self) -> bool:
        """The app answered: an activator that gave up says 503."""
        return self.error is None and self.first_byte_s is not None and self.status is not None and self.status < 500


@dataclass(frozen=True)
class Absence:
    """The pod was scaled to zero, and back if it was. Seconds; None is not come to pass."""

    decided_s: float
    """It was to go."""
    gone_s: float | None = None
    """Its containers and its cgroup were gone."""
    wanted_s: float | None = None
    """There was to be a pod again. It may be before the old one was gone."""
    ready_s: float | None = None
    """It was ready, and took the requests that waited."""
    waited: int = 0
    """How many those were."""
    why: str = ""
    """Why it was to go."""

    def zero_s(self, end_s: float) -> tuple[float, float] | None:
        """From when to when there was no pod, and none on its way; None if that never was so."""
        if self.gone_s is None:
            return None
        until = end_s if self.wanted_s is None else self.wanted_s
        return (self.gone_s, until) if until > self.gone_s else None


@dataclass(frozen=True)
class ScaleUse:
    """What the autoscaler and the activator did in a run."""

    absences: tuple[Absence, ...] = ()
    """In order of time."""
    waited_s: tuple[float, ...] = ()
    """How long each request waited in the activator that was then forwarded."""
    timed_out: int = 0
    """Requests that were answered 504 while they waited."""
    abandoned: int = 0
    """Requests whose client went away while they waited."""


@dataclass(frozen=True)
class RecorderCost:
    """What recording itself cost."""

    interval_s: float
    samples: int
    late: int
    cpu_s: float
    rss_bytes: int


DYING_S = 1.0
"""What different readers tell of one death is so close together."""


@dataclass(frozen=True)
class Failure:
    """Something that a run needs was lost on the way: when, and the error's three parts."""

    time_s: float
    what: str
    why: str
    fix: str


@dataclass
class Study:
    """A run directory, read. Everything is empty or None where the run has no record of it; `notes` say so."""

    run: RunDir
    run_id: str | None = None
    scenario: str | None = None
    where: str | None = None
    wall_time: str | None = None
    machine: Machine = field(default_factory=Machine)
    pod_cgroup: str | None = None
    emu: str | None = None
    """The version of emu that recorded it."""
    format: int | None = None
    """Of the record: `rundir.FORMAT` then."""
    origin: float = 0.0
    """CLOCK_MONOTONIC second that is 0 here."""
    duration_s: float = 0.0
    ended: bool = False
    """The run ended in order; False for one that was cut off."""
    interrupted: bool = False
    failed: Failure | None = None
    """Why it could not go on; None for one that could."""
    instances: list[Instance] = field(default_factory=list)
    """In order of start; the pod's `sandbox` container among them if it was recorded."""
    timelines: dict[Owner, Timeline] = field(default_factory=dict)
    host: HostTimeline = field(default_factory=HostTimeline)
    requests: list[Request] | None = None
    """None where no request was ever recorded (no requests.jsonl)."""
    ends: Ends = field(default_factory=Ends)
    in_flight: InFlight = field(default_factory=InFlight)
    phases: list[PhaseSpan] = field(default_factory=list)
    memory_marks: list[MemoryMark] = field(default_factory=list)
    kills: list[OomVerdict] = field(default_factory=list)
    kernel_lines: list[KernelLine] = field(default_factory=list)
    docker_events: list[Happening] = field(default_factory=list)
    pod_statuses: list[Happening] = field(default_factory=list)
    """`text` is the status (`Running`, `CrashLoopBackOff` …), `detail` has ready and restarts."""
    back_offs: list[Happening] = field(default_factory=list)
    pod_events: list[PodEvent] = field(default_factory=list)
    """In order of their first."""
    freezes: list[Freeze] = field(default_factory=list)
    freezer: FreezerUse | None = None
    """None where no freezer daemon told of anything."""
    scaling: ScaleUse | None = None
    """None where the pod was not to be scaled."""
    starts: list[Start] = field(default_factory=list)
    """Trials of starts, in order of time."""
    notes: list[Happening] = field(default_factory=list)
    """What the run noted and what reading it noted: `detail["level"]` is info, warning or error."""
    recorder: RecorderCost | None = None
    pids: dict[int, Owner] = field(default_factory=dict)
    """Every process that was ever seen in a cgroup."""
    commands: list[Command] = field(default_factory=list)
    """What probes and hooks ran in containers, in order of their ends."""
    failed_probes: list[Happening] = field(default_factory=list)
    """Each single time: `subject` is the container, `text` the message."""
    other_kills: list[str] = field(default_factory=list)
    """Commands outside the pod that the kernel killed because the whole machine had no memory left."""

    @property
    def pods(self) -> list[Owner]:
        """Each pod as a whole, in order of its first container."""
        owners = [*(one.owner for one in self.instances), *self.timelines, *(one.owner for one in self.memory_marks)]
        return list(dict.fromkeys(owner.whole_pod for owner in owners))

    @property
    def pod(self) -> Owner:
        """The run's pod; the first one where there were several."""
        return next(iter(self.pods), Owner("", "", None))

    @property
    def pod_timeline(self) -> Timeline | None:
        """The timeline of the run's pod, if it was recorded."""
        return self.timelines.get(self.pod)

    @property
    def containers(self) -> list[str]:
        """The pod's containers by name, in order of first start, without the sandbox container."""
        names = dict.fromkeys(entry.container for entry in self.instances)
        if not names:
            names = dict.fromkeys(owner.container for owner in self.timelines if owner.attempt is not None)
        return [name for name in names if name != SANDBOX]

    def instances_of(self, container: str) -> list[Instance]:
        """A container's instances, the first one first."""
        return [entry for entry in self.instances if entry.container == container]

    def restarts_of(self, container: str) -> int | None:
        """How often it was started again after it had ended by itself; None where it never was started."""
        instances = self.instances_of(container)
        return sum(not before.asked for before in instances[:-1]) if instances else None

    def timelines_of(self, container: str) -> list[Timeline]:
        """A container's timelines, one for each instance that was seen; `pod`: those of whole pods."""
        return [line for line in self.timelines.values() if line.label == container]

    def kills_of(self, container: str) -> list[OomVerdict]:
        """The OOM kills that this container suffered."""
        return [kill for kill in self.kills if kill.container == container]

    def was_frozen(self, owner: Owner, t: float) -> bool:
        """Whether an instance stood still at a time, as far as that is on record. The end of one that was never
        resumed is told by several, within DYING_S.
        """
        mine = (one for one in self.freezes if one.owner == owner and one.frozen_at_s <= t)
        slack_s = ((one.thawed_at_s, DYING_S if one.thaw_ms is None else 0.0) for one in mine)
        return any(thawed is None or t <= thawed + slack for thawed, slack in slack_s)

    @property
    def first_request_s(self) -> float | None:
        """When the first request went out."""
        return min((request.sent_s for request in self.requests), default=None) if self.requests else None
