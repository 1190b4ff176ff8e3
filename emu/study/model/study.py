"""The whole study of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emu.messages import SANDBOX
from emu.record.events import POD_LABEL, Owner
from emu.record.rundir import RunDir
from emu.record.samples import NODE
from emu.study.ends import Ends
from emu.study.model.freezes import DYING_S, Freeze, FreezerUse
from emu.study.model.instances import Command, Instance, PodEvent, container_of
from emu.study.model.kills import OomVerdict
from emu.study.model.machine import HostTimeline, KernelLine, Machine
from emu.study.model.requests import InFlight, PhaseSpan, Request
from emu.study.model.scaling import ScaleUse, Start
from emu.study.model.services import Rollout, Service
from emu.study.model.timeline import MemoryMark, Timeline


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
    pod: str = ""
    """The pod's name; empty where it is of none, and in runs from before pods had names."""


@dataclass(frozen=True)
class RecorderCost:
    """What recording itself cost."""

    interval_s: float
    samples: int
    late: int
    cpu_s: float
    rss_bytes: int
    longest_interval_s: float = 0.0
    """0 in older records."""


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
    """The cgroup that all pods are in; where the run says nothing of its pods' this is the pod's."""
    cgroups: dict[str, str] = field(default_factory=dict)
    """Each pod's cgroup, by the pod's name."""
    emu: str | None = None
    """The version of emu that recorded it."""
    format: int | None = None
    """Of the record: `rundir.FORMAT` then."""
    time_scale: float = 1.0
    """How many times as fast as usual the control plane was."""
    origin: float = 0.0
    """CLOCK_MONOTONIC second that is 0 here."""
    duration_s: float = 0.0
    ended: bool = False
    """The run ended in order; False for one that was cut off."""
    interrupted: bool = False
    failed: Failure | None = None
    """Why it was ended early; None for one that was not."""
    instances: list[Instance] = field(default_factory=list)
    """In order of start; the pod's `sandbox` container among them if it was recorded."""
    timelines: dict[Owner, Timeline] = field(default_factory=dict)
    host: HostTimeline = field(default_factory=HostTimeline)
    node: Timeline | None = None
    """The cgroup that all pods are in; None where it was not watched."""
    node_marks: list[MemoryMark] = field(default_factory=list)
    """As `memory_marks`, of that cgroup."""
    requests: list[Request] | None = None
    """None where no request was ever recorded (no requests.jsonl)."""
    ends: Ends = field(default_factory=Ends)
    in_flight: InFlight = field(default_factory=InFlight)
    in_flight_by_pod: dict[str, InFlight] = field(default_factory=dict)
    """Each pod's own; empty where it is not known of all requests to which pod they went. Where none reached a pod,
    an empty one under no name.
    """
    phases: list[PhaseSpan] = field(default_factory=list)
    memory_marks: list[MemoryMark] = field(default_factory=list)
    kills: list[OomVerdict] = field(default_factory=list)
    kernel_lines: list[KernelLine] = field(default_factory=list)
    docker_events: list[Happening] = field(default_factory=list)
    pod_statuses: list[Happening] = field(default_factory=list)
    """`text` is the status (`Running`, `CrashLoopBackOff` …), `detail` has ready and restarts."""
    back_offs: list[Happening] = field(default_factory=list)
    evictions: list[Happening] = field(default_factory=list)
    node_conditions: list[Happening] = field(default_factory=list)
    """`text` is the message, `detail` has condition, status and reason."""
    preemptions: list[Happening] = field(default_factory=list)
    resizes: list[Happening] = field(default_factory=list)
    pod_events: list[PodEvent] = field(default_factory=list)
    """In order of their first."""
    freezes: list[Freeze] = field(default_factory=list)
    freezer: FreezerUse | None = None
    """None where no freezer daemon reported anything."""
    scaling: ScaleUse | None = None
    """None where the pod was not to be scaled."""
    services: list[Service] = field(default_factory=list)
    """Those that an autoscaler decided for."""
    rollouts: list[Rollout] = field(default_factory=list)
    """In order of when they were asked for."""
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

    def timeline_of(self, owner: Owner) -> Timeline | None:
        """The timeline of a container instance, of a pod, or of the cgroup that all pods are in."""
        return self.node if owner == NODE else self.timelines.get(owner)

    def marks_of(self, owner: Owner) -> list[MemoryMark]:
        """When memory.events of such a cgroup rose."""
        return self.node_marks if owner == NODE else [mark for mark in self.memory_marks if mark.owner == owner]

    @property
    def pods(self) -> list[Owner]:
        """Each pod as a whole, in order of its first container."""
        owners = [*(one.owner for one in self.instances), *self.timelines, *(one.owner for one in self.memory_marks)]
        return list(dict.fromkeys(owner.whole_pod for owner in owners))

    @property
    def pod_timelines(self) -> list[Timeline]:
        """The timelines of pods as a whole, those that were recorded."""
        return self.timelines_of(POD_LABEL)

    @property
    def containers(self) -> list[str]:
        """The pod's containers by name, in order of first start, without the sandbox container."""
        names = dict.fromkeys(entry.container for entry in self.instances)
        if not names:
            names = dict.fromkeys(owner.container for owner in self.timelines if owner.attempt is not None)
        return [name for name in names if container_of(name) != SANDBOX]

    def instances_of(self, container: str) -> list[Instance]:
        """A container's instances, the first one first."""
        return [entry for entry in self.instances if entry.container == container]

    def restarts_of(self, container: str) -> int | None:
        """How often it was started again in its pod after it had ended by itself; None where it never was started."""
        instances = self.instances_of(container)
        last = {entry.pod: entry for entry in instances}
        return sum(not one.asked for one in instances if one is not last[one.pod]) if instances else None

    def timelines_of(self, container: str) -> list[Timeline]:
        """A container's timelines, one for each instance that was seen; `pod`: those of whole pods."""
        return [line for line in self.timelines.values() if line.label == container]

    def kills_of(self, container: str) -> list[OomVerdict]:
        """The OOM kills that this container suffered."""
        return [kill for kill in self.kills if kill.container == container]

    def was_frozen(self, owner: Owner, t: float) -> bool:
        """Whether an instance was frozen at a time, as far as that is recorded. The end of one that was never
        several report that it was resumed, within DYING_S.
        """
        mine = (one for one in self.freezes if one.owner == owner and one.frozen_at_s <= t)
        slack_s = ((one.thawed_at_s, DYING_S if one.thaw_ms is None else 0.0) for one in mine)
        return any(thawed is None or t <= thawed + slack for thawed, slack in slack_s)

    def in_flight_to(self, pod: str) -> InFlight:
        """Requests under way to a pod; those of all pods where they are not known apart."""
        return self.in_flight_by_pod.get(pod, InFlight()) if self.in_flight_by_pod else self.in_flight

    def first_request_to(self, pod: str) -> float | None:
        """When the first request went out to a pod; the first of all where they are not known apart."""
        return next(iter(self.in_flight_to(pod).t), None)

    @property
    def first_request_s(self) -> float | None:
        """When the first request went out."""
        return min((request.sent_s for request in self.requests), default=None) if self.requests else None
