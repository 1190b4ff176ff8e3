"""Reads a run directory into a `Study`: once, in one go, from files alone.

It asks the machine that it runs on nothing, so a run can be copied and studied anywhere, years later, without
root. A run that was cut off holds less; what is missing is listed in `Study.notes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from emu.files import typed
from emu.messages import SANDBOX
from emu.policy.kubelet.messages import back_off_message
from emu.record.events import (
    LONGEST_RUN_S,
    POD_LABEL,
    BackOffBegan,
    CgroupSeen,
    CommandRan,
    ContainerCreated,
    ContainerExited,
    ContainerReady,
    ContainerStarted,
    ContainerStopping,
    Damage,
    DockerEvent,
    Event,
    KernelLogGap,
    KubeletEvent,
    MemoryEventsRose,
    Note,
    OomKillLogged,
    Owner,
    PhaseBegan,
    PhaseEnded,
    PodEvicted,
    PodPreempted,
    PodResized,
    PodScaled,
    PodStatus,
    RecorderReport,
    RunBegan,
    RunEnded,
    RunFailed,
    ScaleDecided,
    read_events,
)
from emu.record.rundir import RunDir
from emu.record.samples import NODE
from emu.study.freezes import freezer_use, measure_freezes, recorded_freezes
from emu.study.kernel_log import KernelLog, read_kernel_log
from emu.study.model.freezes import Freeze, frozen_span
from emu.study.model.instances import Command, Instance, PodEvent, Stop
from emu.study.model.machine import Device, Machine
from emu.study.model.requests import PhaseSpan
from emu.study.model.study import Failure, Happening, RecorderCost, Study
from emu.study.model.timeline import MemoryMark
from emu.study.oom import exit_reason, judge
from emu.study.reached import in_flight_by_pod, with_pods
from emu.study.reasons import give_reasons, read_ends
from emu.study.requests import count_in_flight, read_requests
from emu.study.scaling import scale_use, with_reasons
from emu.study.services import rollouts, services
from emu.study.starts import measure_starts
from emu.study.timelines import read_timelines

__all__ = ["Study", "read_study"]

GOING_S = 2.0
"""An engine that stops signals all containers at the same time; it took half a second on a busy machine."""
_SIGTERM, _SIGKILL = "15", "9"
SomeEvent = TypeVar("SomeEvent", bound=Event)


def read_study(run: RunDir) -> Study:
    """Everything known of a run. Files that are missing or torn leave gaps and notes, never an error."""
    study = Study(run)
    events = _events(study)
    _begin(study, events)
    sampled = read_timelines(run.samples, study.origin)
    study.host, study.node, study.freezes = sampled.host, sampled.node, sampled.freezes
    for complaint in sampled.complaints:
        _complain(study, complaint)
    damage = Damage()
    study.requests = read_requests(run.requests, study.origin, damage)
    _note_damage(study, run.requests.name, damage)
    study.duration_s = _duration(events, sampled.end, study.origin)
    study.instances = _instances(events, study.origin)
    scaled = any(isinstance(event, PodScaled | ScaleDecided) for event in events)
    study.requests = with_pods(study.requests, study.instances, events, study.origin, scaled=scaled)
    study.in_flight = count_in_flight(study.requests or [])
    study.in_flight_by_pod = in_flight_by_pod(study.requests or [])
    for line in sampled.timelines.values():
        line.owner = _owner(study, line.owner)
        study.timelines[line.owner] = line
    study.pids = {pid: _owner(study, owner) for pid, owner in sampled.pids.items()}
    study.phases = _phases(events, study.origin, study.duration_s)
    _happenings(study, events)
    study.pod_events = _pod_events(_of(events, KubeletEvent), study.origin)
    study.instances = [_signalled(study, entry) for entry in study.instances]
    study.instances = with_reasons(_with_the_engine(study), events, study.origin)
    study.freezes = recorded_freezes(study, events) or study.freezes or _pauses(study)
    study.freezes = measure_freezes(study, events)
    study.freezer = freezer_use(study, events)
    study.scaling = scale_use(study, events)
    study.services = services(study, events)
    study.rollouts = rollouts(events, study.origin)
    study.starts = measure_starts(study, events)
    ends = [(one.pid, one.exited_s) for one in study.instances if one.pid is not None and one.exited_s is not None]
    log = read_kernel_log(run.kmsg, list(_of(events, OomKillLogged)), study.origin, study.machine.page_bytes, ends)
    _judge(study, log)
    study.ends = read_ends(study, events)
    study.requests = give_reasons(study)
    return study


def _judge(study: Study, log: KernelLog) -> None:
    study.kernel_lines = log.lines
    for complaint in log.complaints:
        _complain(study, complaint)
    study.kills = judge(study, log.kills)
    ours = {pid for kill in study.kills for pid in kill.pids}
    study.other_kills = [kill.comm for kill in log.kills if kill.is_global and kill.pid not in ours]
    fatal = {kill.owner for kill in study.kills if not kill.child}
    study.instances = [
        replace(entry, reason=exit_reason(entry, study.kills), oom_ended=entry.owner in fatal)
        for entry in study.instances
    ]


def _events(study: Study) -> list[Event]:
    damage, name = Damage(), study.run.events.name
    try:
        events = list(read_events(study.run.events, damage))
    except FileNotFoundError:
        _complain(study, f"there are no events: {name} is missing")
        return []
    except OSError as error:
        _complain(study, f"there are no events: {name} cannot be read ({error.strerror or error})")
        return []
    whole = _of_one_run(events)
    damage.lines += len(events) - len(whole)
    _note_damage(study, name, damage)
    return whole


def _of_one_run(events: list[Event]) -> list[Event]:
    """Without those whose time is out of all reach of the others': of a damaged line, or of another boot."""
    if not events:
        return events
    middle = events[len(events) // 2].t
    return [event for event in events if abs(event.t - middle) <= LONGEST_RUN_S]


def _note_damage(study: Study, file: str, damage: Damage) -> None:
    if damage.lines:
        lines = "1 damaged line, which was" if damage.lines == 1 else f"{damage.lines} damaged lines, which were"
        _complain(study, f"{file} has {lines} left out")


def _of(events: list[Event], kind: type[SomeEvent]) -> Iterator[SomeEvent]:
    return (event for event in events if isinstance(event, kind))


def _begin(study: Study, events: list[Event]) -> None:
    began = next(_of(events, RunBegan), None)
    if began is None:
        study.origin = events[0].t if events else 0.0
        _complain(study, "the run's first event is missing: which machine and scenario it was is not known")
    else:
        study.origin = began.t
        study.run_id, study.scenario, study.where = began.run_id, began.scenario, began.where
        study.wall_time = began.wall_time
        study.pod_cgroup = began.cgroup or began.pod_cgroup
        study.emu, study.format, study.time_scale = began.emu, began.format, began.time_scale
        study.machine = _machine(began)
    ended = next(_of(events, RunEnded), None)
    study.ended, study.interrupted = ended is not None, ended is not None and ended.interrupted
    if ended is None:
        _complain(study, "the run was cut off: it has no end, and what was under way then is not known")
    elif ended.interrupted:
        _complain(study, "the run was interrupted")
    failed = next(_of(events, RunFailed), None)
    if failed is not None:
        study.failed = Failure(failed.t - study.origin, failed.what, failed.why, failed.fix)


def _machine(began: RunBegan) -> Machine:
    recorded = began.machine
    devices = recorded.get("devices")
    names = (
        "kernel", "cgroup_driver", "docker", "runtime", "cpus", "memory_bytes", "swap_bytes", "psi",
        "kubernetes", "accelerator",
    )  # fmt: skip
    machine = Machine(
        **typed.fitting(Machine, recorded, names),
        page_bytes=_page_bytes(recorded.get("page_size")),
        io_max=_texts(recorded.get("node_io_max")),
        devices={
            number: Device(number, str(entry.get("name", number)), str(entry.get("role", "other")))
            for number, entry in (devices if isinstance(devices, dict) else {}).items()
            if isinstance(entry, dict)
        },
    )
    if machine.runtime is None and machine.docker:  # runs had no other, once
        return replace(machine, runtime="docker")
    return machine


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _page_bytes(size: object) -> int:
    return size if isinstance(size, int) and 0 < size <= 2**20 else 4096


_OF_INSTANCES = ContainerCreated | ContainerStarted | ContainerReady | ContainerStopping | ContainerExited


def _instances(events: list[Event], origin: float) -> list[Instance]:
    found: dict[Owner, Instance] = {}
    for event in events:
        if not isinstance(event, _OF_INSTANCES):
            continue
        t = event.t - origin
        entry = found.get(event.owner) or Instance(event.container, event.attempt, pod=event.pod)
        if isinstance(event, ContainerCreated):
            names = (
                "id",
                "name",
                "image",
                "stands_in_for",
                "memory_max",
                "memory_high",
                "memory_high_from",
                "swap_max",
                "oom_score_adj",
                "role",
                "shm_bytes",
                "pod_memory_request",
            )
            probes = None if event.probes is None else tuple(event.probes)
            known = {name: getattr(event, name) for name in names}
            entry = replace(entry, created_s=t, probes=probes, io_max=tuple(event.io_max), **known)
        elif isinstance(event, ContainerStarted):
            entry = replace(entry, id=event.id, started_s=t, pid=event.pid, cgroup=event.cgroup)
        elif isinstance(event, ContainerReady):
            if event.ready and entry.ready_s is None:
                entry = replace(entry, ready_s=t)
            if entry.stop is None or not (entry.stop.with_pod or entry.stop.why == "run"):
                entry = replace(entry, ready=event.ready)
        elif isinstance(event, ContainerStopping):
            entry = replace(entry, stop=entry.stop or Stop(event.why, t, event.grace_s))
        else:
            entry = replace(
                entry,
                id=event.id,
                exited_s=t,
                exit_code=event.exit_code,
                docker_oom_killed=event.docker_oom_killed,
                asked=event.asked,
                killed_for=event.killed_for,
            )
            if entry.completed:
                entry = replace(entry, ready_s=t, ready=True)
        found[event.owner] = entry
    return list(found.values())


def _owner(study: Study, owner: Owner) -> Owner:
    """Whose a cgroup is. One that the recorder saw before its name is labelled with its directory's name, which
    holds the container's id under both of Docker's cgroup drivers.
    """
    if owner.attempt is not None:
        return owner
    return next((one.owner for one in study.instances if one.id and one.id in owner.container), owner)


def _duration(events: list[Event], last_sample: float | None, origin: float) -> float:
    """To the run's end; where it was cut off, to the last record. Phases do not count: theirs is the plan's time."""
    ended = [event.t for event in _of(events, RunEnded)]
    times = [event.t for event in events if not isinstance(event, PhaseBegan | PhaseEnded)]
    times += [last_sample] if last_sample is not None else []
    return max(0.0, max(ended or times, default=origin) - origin)


def _phases(events: list[Event], origin: float, end_s: float) -> list[PhaseSpan]:
    """The phases that began. The plan may reach beyond the run, where it was interrupted."""
    began = [event for event in _of(events, PhaseBegan) if event.t - origin <= end_s]
    ended = {event.phase: event for event in _of(events, PhaseEnded)}
    begins = [*(event.t - origin for event in began), end_s]
    return [
        _phase(event, ended.get(event.phase), begin, until, origin, end_s)
        for event, begin, until in zip(began, begins, begins[1:], strict=False)
    ]


def _phase(
    began: PhaseBegan, ended: PhaseEnded | None, begin: float, until: float, origin: float, end_s: float
) -> PhaseSpan:
    end = begin + began.duration_s if ended is None else ended.t - origin
    met, unsent = (None, 0) if ended is None else (ended.met, ended.unsent)
    return PhaseSpan(
        began.phase, begin, min(end_s, end), until, began.until, met, began.duration_s, unsent,
        pod=began.pod, container=began.container, reads=began.reads, files_of=began.files_of,
    )  # fmt: skip


def _happenings(study: Study, events: list[Event]) -> None:
    mine = {entry.id: entry for entry in study.instances if entry.id}
    for event in events:
        t = event.t - study.origin
        match event:
            case CgroupSeen(label=label) if label == POD_LABEL and event.pod:
                study.cgroups[event.pod] = event.path
            case MemoryEventsRose():
                owner = _owner(study, event.owner)
                mark = MemoryMark(t, owner, event.local, event.delta, event.values)
                (study.node_marks if owner == NODE else study.memory_marks).append(mark)
            case DockerEvent():
                detail = {"id": event.id, "name": event.name, "time_nano": event.time_nano, **event.attributes}
                known = mine.get(event.id)
                whose, pod = (event.name, "") if known is None else (known.container, known.pod)
                study.docker_events.append(Happening(t, "docker", whose, event.action, detail, pod))
            case PodStatus():
                detail = {"ready": event.ready, "restarts": event.restarts}
                study.pod_statuses.append(Happening(t, "pod-status", "pod", event.status, detail, event.pod))
            case BackOffBegan():
                detail = {"restarts": event.restarts, "delay_s": event.delay_s}
                text = f"restarting failed container={event.container} at once"
                text = back_off_message(event.delay_s, event.container) if event.delay_s else text
                study.back_offs.append(Happening(t, "back-off", event.container, text, detail, event.pod))
            case PodEvicted():
                detail = {"grace_s": event.grace_s}
                study.evictions.append(Happening(t, "eviction", "pod", event.message, detail, event.pod))
            case PodPreempted():
                detail = {"priority": event.priority, "by": event.by, "by_priority": event.by_priority}
                study.preemptions.append(Happening(t, "preemption", "pod", event.message, detail, event.pod))
            case PodResized():
                detail = {"outcome": event.outcome, "memory_max": event.memory_max}
                study.resizes.append(Happening(t, "resize", event.container, event.message, detail, event.pod))
            case CommandRan():
                study.commands.append(
                    Command(
                        event.container, event.attempt, event.why, tuple(event.command),
                        event.began - study.origin, t, tuple(event.pids), event.pod,
                    )
                )  # fmt: skip
            case KubeletEvent(reason="Unhealthy"):
                study.failed_probes.append(Happening(t, "probe", event.container, event.message, pod=event.pod))
            case Note():
                detail = {"level": event.level, "why": event.why}
                study.notes.append(Happening(t, "note", "", event.what, detail))
            case KernelLogGap():
                lost = "records" if event.lost is None else f"{event.lost} records"
                _complain(study, f"the kernel overwrote {lost} of its log before they could be read", t, "kmsg-gap")
            case RecorderReport():
                study.recorder = RecorderCost(
                    event.interval_s,
                    event.samples,
                    event.late,
                    event.cpu_s,
                    event.rss_bytes,
                    event.longest_interval_s,
                )


def _pod_events(events: Iterator[KubeletEvent], origin: float) -> list[PodEvent]:
    """Those that read the same are one, as the API server counts them."""
    found: dict[tuple[str, str, str, str, str], PodEvent] = {}
    for event in events:
        words, t = (event.type, event.reason, event.container, event.message), event.t - origin
        known = found.get((event.pod, *words))
        begin, times = (known.first_s, known.count + 1) if known else (t, 1)
        found[event.pod, *words] = PodEvent(*words, begin, t, times, event.pod)
    return list(found.values())


def _signalled(study: Study, entry: Instance) -> Instance:
    """With the signals that Docker sent to end it."""
    if entry.stop is None:
        return entry
    sent: dict[str, float] = {}
    for event in study.docker_events:
        if event.text == "kill" and event.detail.get("id") == entry.id and event.t >= entry.stop.asked_s:
            sent.setdefault(str(event.detail.get("signal")), event.t)
    stop = replace(entry.stop, sigterm_s=sent.get(_SIGTERM), sigkill_s=sent.get(_SIGKILL))
    return replace(entry, stop=stop)


def _with_the_engine(study: Study) -> list[Instance]:
    """The instances, with those marked that an engine ended on its own way out: it signals every container, the
    pause container too, which nobody else does.
    """
    signalled = {event.detail["id"]: event.t for event in reversed(study.docker_events) if event.text == "kill"}
    sandbox = next((one.id for one in reversed(study.instances) if one.container == SANDBOX), "")
    going = signalled.get(sandbox)
    if going is None or study.failed is None:
        return study.instances
    return [
        replace(one, with_engine=True) if one.id in signalled and _ended_after(one, going - GOING_S) else one
        for one in study.instances
    ]


def _ended_after(one: Instance, t: float) -> bool:
    return one.exited_s is not None and not one.asked and one.exited_s >= t


def _pauses(study: Study) -> list[Freeze]:
    """Freezes as Docker reported them, where cgroup.events was not recorded. What each cost is not known then."""
    found: list[Freeze] = []
    open_at: dict[str, float] = {}
    mine = {one.id: one for one in study.instances}
    for event in study.docker_events:
        ident = str(event.detail.get("id", ""))
        if ident not in mine:
            continue
        if event.text == "pause":
            open_at[ident] = event.t
        elif event.text in ("unpause", "die") and ident in open_at:
            found.append(frozen_span(mine[ident].owner, open_at.pop(ident), event.t))
    found += [frozen_span(mine[ident].owner, t) for ident, t in open_at.items()]
    return sorted(found, key=lambda freeze: freeze.frozen_at_s)


def _complain(study: Study, text: str, t: float = 0.0, kind: str = "note") -> None:
    study.notes.append(Happening(t, kind, "", text, {"level": "warning", "why": ""}))
