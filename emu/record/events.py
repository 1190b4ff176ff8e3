"""One dataclass per thing recorded in events.jsonl, to and from JSON lines: the contract of recorder and report.

`t` is CLOCK_MONOTONIC in seconds, taken by the process that wrote the line; a stamp of the kernel's own stands
beside it under its own name. Lines are appended whole by several processes (O_APPEND), so they are ordered by
`t` when read, and a line torn by a kill is passed over.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from emu.files import typed
from emu.files.regular import read_lines
from emu.messages import REQUESTS_ENDED, REQUESTS_WAITED

LONGEST_RUN_S = 31 * 24 * 3600.0
"""No run is longer; a time that is further from its begin is not of it."""
SCALE_DOWN = "scale-down"
"""Why a container is told to end that is scaled to zero."""
SCALED_TO_ZERO = "ScaledToZero"
"""A pod's status, in kubectl's manner, while there is none."""


POD_LABEL = "pod"
"""The label of a pod's own cgroup."""


class Owner(NamedTuple):
    """Whose something is: a container instance's, or with empty parts a whole pod's. Runs from before pods had names
    have an empty `pod`.
    """

    pod: str
    container: str
    attempt: int | None

    @property
    def label(self) -> str:
        """The container's name, or `pod`."""
        return self.container or POD_LABEL

    @property
    def whole_pod(self) -> Owner:
        """The pod that it is in."""
        return Owner(self.pod, "", None)


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base: when, by CLOCK_MONOTONIC."""

    t: float
    kind: ClassVar[str] = ""

    def to_line(self) -> str:
        """One JSON line with its newline."""
        return json.dumps({"kind": self.kind, **asdict(self)}, separators=(",", ":"), default=str) + "\n"


@dataclass(frozen=True, kw_only=True)
class OfPod(Event):
    """An event of one pod."""

    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""


@dataclass(frozen=True, kw_only=True)
class OfContainer(OfPod):
    """An event of one container instance."""

    container: str
    """`queue-proxy` or `app` (or `sandbox`, the pause container that holds the pod's network)."""
    attempt: int
    """0 for the first instance; a restart makes a new one, as the kubelet does."""

    @property
    def owner(self) -> Owner:
        """Whose event it is."""
        return Owner(self.pod, self.container, self.attempt)


@dataclass(frozen=True, kw_only=True)
class OfCgroup(OfPod):
    """An event of one cgroup."""

    label: str
    """`pod`, `queue-proxy`, `app`, `sandbox`, or the directory's name where nobody said whose it is."""
    attempt: int | None
    path: str

    @property
    def owner(self) -> Owner:
        """Whose cgroup it is."""
        return Owner(self.pod, "" if self.label == POD_LABEL else self.label, self.attempt)


@dataclass(frozen=True, kw_only=True)
class RunBegan(Event):
    """The first event: everything that heads a report."""

    kind: ClassVar[str] = "run-began"
    run_id: str
    scenario: str
    where: str
    """`host`, or `sandbox:uml`, `sandbox:qemu`."""
    wall_time: str
    """UTC, ISO 8601, at `t`."""
    machine: dict[str, Any]
    """kernel, cgroup_driver, runtime (`docker`, `process`), docker (its version), cpus, memory_bytes, swap_bytes,
    psi (bool), devices {"98:0": {name, role}} with role `docker`, `process`, `swap` or `other`.
    """
    pod_cgroup: str | None = None
    clock_ticks: int = 100
    emu: str | None = None
    """The version of emu that recorded it; None in runs from before that was noted."""
    format: int | None = None
    """`rundir.FORMAT` then."""


@dataclass(frozen=True, kw_only=True)
class LoadBegan(Event):
    """The load generator was ready: `t` is second 0 of its plan."""

    kind: ClassVar[str] = "load-began"


@dataclass(frozen=True, kw_only=True)
class PhaseBegan(Event):
    """A phase of the load began (by the plan; `t` is when it was due)."""

    kind: ClassVar[str] = "phase-began"
    phase: str
    duration_s: float
    until: str | None = None
    """What ends it before that, in words."""


@dataclass(frozen=True, kw_only=True)
class PhaseEnded(Event):
    """A phase of the load ended: by the plan, or because what it waited for came."""

    kind: ClassVar[str] = "phase-ended"
    phase: str
    met: bool | None = None
    """What it waited for (`until`) came; None where it waited for nothing."""
    unsent: int = 0
    """Of a phase that waits: how many requests were due by then, and the load generator had not got to them."""


@dataclass(frozen=True, kw_only=True)
class ContainerCreated(OfContainer):
    """Docker made a container instance; it has no cgroup yet. Limits in bytes; None is no limit."""

    kind: ClassVar[str] = "container-created"
    id: str
    name: str
    image: str
    memory_max: int | None = None
    memory_high: int | None = None
    swap_max: int | None = None
    oom_score_adj: int = 0
    probes: list[str] | None = None
    """Which probes the scenario gives it (`liveness`, `readiness`, `startup`); None where that was not recorded."""


@dataclass(frozen=True, kw_only=True)
class ContainerStarted(OfContainer):
    """Docker says that it runs."""

    kind: ClassVar[str] = "container-started"
    id: str
    pid: int
    cgroup: str


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
    """`liveness` or `startup` (a probe failed), `pod` (the pod is to end), `scale-down` (it is scaled to zero), `run`
    (the run is over).
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
class CgroupSeen(OfCgroup):
    """The recorder found a cgroup and began to read its files."""

    kind: ClassVar[str] = "cgroup-seen"


@dataclass(frozen=True, kw_only=True)
class CgroupGone(OfCgroup):
    """A cgroup was removed (its last process ended)."""

    kind: ClassVar[str] = "cgroup-gone"


@dataclass(frozen=True, kw_only=True)
class MemoryEventsRose(OfCgroup):
    """memory.events or memory.events.local of a cgroup changed. `oom` rises where the limit was hit, `oom_kill`
    where the victim died; memory.events counts descendants too, memory.events.local only its own level.
    """

    kind: ClassVar[str] = "memory-events"
    local: bool
    delta: dict[str, int]
    values: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class OomKillLogged(Event):
    """The kernel's log told of a kill. `log` holds the fields by the kernel's own names (cgroups.oom.OomKill)."""

    kind: ClassVar[str] = "oom-kill-logged"
    kernel_us: int
    """The kernel's stamp: microseconds since boot, printk's clock."""
    log: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class KernelLogGap(Event):
    """Records of /dev/kmsg were overwritten before they could be read."""

    kind: ClassVar[str] = "kmsg-gap"
    lost: int | None
    """How many records; None where the kernel did not tell."""


@dataclass(frozen=True, kw_only=True)
class DockerEvent(Event):
    """An event of the engine, as it told it."""

    kind: ClassVar[str] = "docker-event"
    action: str
    id: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    time_nano: int = 0


@dataclass(frozen=True, kw_only=True)
class ContainerPaused(OfContainer):
    """The freezer daemon has paused it; `t` is when the kernel had confirmed it."""

    kind: ClassVar[str] = "container-paused"
    id: str
    method: str
    """`docker` or `cgroup`."""
    took_s: float
    """Since the daemon was asked."""
    engine_s: float | None
    """The engine's call alone; None where it was not asked."""
    kernel_s: float
    """From there to the kernel's word."""


@dataclass(frozen=True, kw_only=True)
class ContainerResumed(OfContainer):
    """The freezer daemon has let it run again; `t` is when the kernel had confirmed it."""

    kind: ClassVar[str] = "container-resumed"
    id: str
    method: str
    """`docker` or `cgroup`; `other` where somebody else was faster, as the engine is when it stops one."""
    took_s: float
    engine_s: float | None
    kernel_s: float


@dataclass(frozen=True, kw_only=True)
class FreezerFailed(OfPod):
    """The freezer daemon could not do what it was asked."""

    kind: ClassVar[str] = "freezer-failed"
    action: str
    """`pause`, `resume`, `reclaim` or `prefetch`."""
    container: str
    """Empty where it was none in particular."""
    why: str


@dataclass(frozen=True, kw_only=True)
class MemoryReclaimed(OfContainer):
    """Memory of a paused container was asked back. Bytes."""

    kind: ClassVar[str] = "memory-reclaimed"
    id: str
    wanted_bytes: int
    before: dict[str, int | None]
    """`current`, `anon`, `file` (page cache) and `swap` before."""
    after: dict[str, int | None]
    took_s: float
    why: str = ""
    """Why not all of it came back; empty where it did."""


@dataclass(frozen=True, kw_only=True)
class MemoryPrefetched(OfContainer):
    """Swapped memory of a paused container was read back ahead, just before it was resumed. Bytes."""

    kind: ClassVar[str] = "memory-prefetched"
    id: str
    swapped_bytes: int
    """What was in swap after the last reclaim."""
    known_bytes: int | None
    """Of it, what the wake before touched; None: none was seen yet."""
    prefetched_bytes: int
    took_s: float
    """Until the kernel had taken it on; it is in the resume's `took_s`."""
    why: str = ""
    """Why it was less than was wanted."""


@dataclass(frozen=True, kw_only=True)
class StartMeasured(OfPod):
    """One trial of a start: a request that came to a pod of a known temperature was answered, or was not. `t` is the
    end of its answer; all times are CLOCK_MONOTONIC seconds.
    """

    kind: ClassVar[str] = "start-measured"
    trial: int
    wanted: str
    """The temperature that was prepared."""
    temperature: str
    """What was found when the request came; the answer's `X-Emu-Start` header says so."""
    attempt: int
    """Of the pod's containers in this trial."""
    arrived: float
    """The activator had read the request."""
    stamps: list[tuple[str, float]]
    """What the activator did, in order, with when each was done; `forward`: the request was sent to queue-proxy."""
    first_byte: float | None
    status: int | None
    error: str | None
    before: dict[str, int | None]
    """Counters of the app's cgroup when the request came; 0 where it had none: `pgfault`, `pgmajfault`,
    `swap_in_pages`, `io_read_bytes`, `io_write_bytes`.
    """
    after: dict[str, int | None]
    """The same at `t`."""
    held_bytes: int
    """memory.current of all the pod's containers together while it waited for the request."""
    held_swap_bytes: int
    """memory.swap.current of them."""
    image_cached_bytes: int | None = None
    """Of the image's files, how much was in the page cache; None where the app's container was there already."""
    image_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class PodScaled(Event):
    """There is to be a pod from now on, or none; or that has come about."""

    kind: ClassVar[str] = "pod-scaled"
    pods: int
    """1, or 0: scaled to zero."""
    reached: bool
    """False: decided. True: the pod is gone with its cgroup, or it is ready and took the requests that waited."""
    why: str = ""
    concurrency: float | None = None
    """Requests under way, averaged over the stable window, when it was decided; None where nothing was told."""
    waiting: int = 0
    """Requests that waited in the activator then."""


@dataclass(frozen=True, kw_only=True)
class RequestsHeld(Event):
    """Requests that had waited in the activator for a pod do so no more."""

    kind: ClassVar[str] = "requests-held"
    outcome: str
    """`forwarded` to the pod, in this order; `timeout`: answered 504; `abandoned`: the client went away."""
    waited_s: list[float]
    """Each, from its arrival."""


@dataclass(frozen=True, kw_only=True)
class RequestsEnded(Event):
    """Requests that queue-proxy or the activator answered itself or broke, or whose clients left, of one kind.
    queue-proxy's are in its log, in the same words.
    """

    kind: ClassVar[str] = REQUESTS_ENDED
    who: str
    """`queue-proxy` or `activator`."""
    status: int
    """Of the answer; 0 where there was none."""
    reason: str
    """`queue-full`, `not-resumed` (the freezer could not resume the app), `dial-failed` (no connection to the app),
    `app-broke` (the connection ended without an answer), `answer-cut` (in the middle of one), `response-timeout`,
    `response-start-timeout`, `idle-timeout`, `protocol` (an upgrade that cannot be), `client-left`.
    """
    each: list[list[float | None]]
    """For each: its CLOCK_MONOTONIC second, how long it had waited for a place, how long for the app to be resumed,
    and how long it had been in the app; None where it never was. Seconds.
    """
    why: str = ""
    """The first one's, in the words of Go's network library where it is a connection's."""
    inside: int = 0
    """Requests that had a place, when the first one ended."""
    waiting: int = 0
    """Requests that waited for one then."""
    period_s: float | None = None
    """Of the timer that ran out."""


@dataclass(frozen=True, kw_only=True)
class RequestsWaited(Event):
    """Requests that had waited for a place in the app have one now. queue-proxy's are in its log."""

    kind: ClassVar[str] = REQUESTS_WAITED
    who: str
    since: float
    """The CLOCK_MONOTONIC second from which `at` counts."""
    at: list[int]
    """When each had its place, in microseconds."""
    waited: list[int]
    """How long each had waited, in microseconds."""

    @property
    def each(self) -> list[tuple[float, float]]:
        """When each had its place, as a CLOCK_MONOTONIC second, and how many seconds it had waited."""
        return [(self.since + at / 1e6, waited / 1e6) for at, waited in zip(self.at, self.waited, strict=False)]


@dataclass(frozen=True, kw_only=True)
class RecorderReport(Event):
    """What recording itself cost; written every few seconds and at its end. The last one counts."""

    kind: ClassVar[str] = "recorder-report"
    interval_s: float
    samples: int
    late: int
    """Ticks that passed without a sample, because the one before came more than an interval late."""
    cpu_s: float
    rss_bytes: int
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """Something a reader should know: a control that could not be set, a log that could not be read, an interrupt."""

    kind: ClassVar[str] = "note"
    what: str
    why: str = ""
    level: str = "warning"
    """info, warning or error"""


@dataclass(frozen=True, kw_only=True)
class RunFailed(Event):
    """The run cannot go on: something that it needs was lost on the way. It is ended in order from here on."""

    kind: ClassVar[str] = "run-failed"
    what: str
    why: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The last event of a run that ended in order."""

    kind: ClassVar[str] = "run-ended"
    interrupted: bool = False


_KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        RunBegan,
        LoadBegan,
        PhaseBegan,
        PhaseEnded,
        ContainerCreated,
        ContainerStarted,
        ContainerReady,
        ContainerExited,
        ContainerStopping,
        CommandRan,
        KubeletEvent,
        BackOffBegan,
        PodStatus,
        CgroupSeen,
        CgroupGone,
        MemoryEventsRose,
        OomKillLogged,
        KernelLogGap,
        DockerEvent,
        ContainerPaused,
        ContainerResumed,
        FreezerFailed,
        MemoryReclaimed,
        MemoryPrefetched,
        StartMeasured,
        PodScaled,
        RequestsHeld,
        RequestsEnded,
        RequestsWaited,
        RecorderReport,
        Note,
        RunFailed,
        RunEnded,
    )
}


def now() -> float:
    """CLOCK_MONOTONIC in seconds: the one clock of every record."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class _File:
    """events.jsonl as one process appends to it, however many logs write there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self.lost = 0
        self.failure: OSError | None = None
        self._torn = False

    def append(self, line: bytes) -> None:
        """Write a line now; if that fails, it is lost and counted."""
        try:
            if self.fd < 0:
                self.fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            written = os.write(self.fd, b"\n" + line if self._torn else line)
            if written < len(line):
                self._torn = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.failure = error
            self.lost += 1
            return
        self._torn, self.failure = False, None

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class EventLog:
    """Appends events to events.jsonl, whole lines, straight to the kernel: a kill loses nothing written.

    An event that cannot be written is lost and counted; whoever appends has better to do than to fail for it. Who
    owns the log looks at `failure` now and then.
    """

    def __init__(self, path: Path) -> None:
        self._file = _File(path)
        self._pod = ""

    def of_pod(self, name: str) -> EventLog:
        """The same log for whoever runs one pod: it fills in the pod's name where an event has one."""
        log = EventLog(self._file.path)
        log._file, log._pod = self._file, name
        return log

    @property
    def fd(self) -> int:
        """The open file's descriptor; -1 before the first append."""
        return self._file.fd

    @property
    def lost(self) -> int:
        """Events that could not be written."""
        return self._file.lost

    @property
    def failure(self) -> OSError | None:
        """Why not, the last time; None once one could be written again."""
        return self._file.failure

    def append(self, event: Event) -> None:
        """Write one event now."""
        if self._pod and isinstance(event, OfPod) and not event.pod:
            event = replace(event, pod=self._pod)
        self._file.append(event.to_line().encode())

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        self._file.close()


_BEGIN = '{"kind":'


class DamagedLineError(ValueError):
    """A line that no emu wrote, or not to its end."""


def from_line(line: str) -> Event | None:
    """The event on a line; None for a damaged line, or a kind that this version does not know."""
    try:
        return parse_line(line)
    except DamagedLineError:
        return None


def parse_line(line: str) -> Event | None:
    """The event on a line; None for a kind that this version does not know. DamagedLineError where a value is missing
    or of another type.
    """
    try:
        data = typed.parse_object(line)
    except ValueError:
        whole = line.rfind(_BEGIN)  # another process wrote on where this line was torn
        if whole > 0:
            return parse_line(line[whole:])
        raise DamagedLineError(line[:80]) from None
    if not isinstance(name := data.pop("kind", None), str):
        raise DamagedLineError(line[:80])
    kind = _KINDS.get(name)
    try:
        return None if kind is None else typed.make(kind, data)
    except ValueError as error:
        raise DamagedLineError(str(error)) from None


@dataclass
class Damage:
    """How many lines of a file were left out, because they made no sense."""

    lines: int = 0
    frames: int = 0
    """Of a file that is packed: parts of it that could not be unpacked."""


def read_events(path: Path, damage: Damage | None = None) -> Iterator[Event]:
    """All events of a run, ordered by time. A line that makes no sense is left out, and counted in `damage`; a torn
    end is not counted.
    """
    damage = Damage() if damage is None else damage
    events: list[Event] = []
    for line in read_lines(path):
        try:
            event = parse_line(line.decode(errors="replace"))
        except DamagedLineError:
            damage.lines += line.endswith(b"\n")
            continue
        if event is not None:
            events.append(event)
    yield from sorted(events, key=lambda event: event.t)
