"""Reads a run directory into a `Study`: once, in one go, from files alone.

It reads nothing else of the machine that it runs on, so a run can be copied and studied anywhere, years later,
without root. A run that was cut off holds less; what is missing is listed in `Study.notes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from emu.files import typed
from emu.record.events import (
    LONGEST_RUN_S,
    Damage,
    Event,
    KubeletEvent,
    OomKillLogged,
    PhaseBegan,
    PhaseEnded,
    PodScaled,
    RunBegan,
    RunEnded,
    RunFailed,
    ScaleDecided,
    read_events,
)
from emu.record.rundir import RunDir
from emu.study import swap_files
from emu.study.freezes import freezer_use, measure_freezes, pauses, recorded_freezes
from emu.study.happenings import complain, pod_events, read_happenings
from emu.study.instances import owner_of, read_instances, with_signals, with_the_engine
from emu.study.kernel_log import KernelLog, read_kernel_log
from emu.study.model.machine import Device, Machine
from emu.study.model.requests import PhaseSpan
from emu.study.model.study import Failure, Study
from emu.study.model.timeline import Timeline
from emu.study.oom import exit_reason, judge
from emu.study.reached import in_flight_by_pod, with_pods
from emu.study.reasons import give_reasons
from emu.study.recorded_ends import read_ends
from emu.study.requests import count_in_flight, read_requests
from emu.study.scaling import scale_use, with_reasons
from emu.study.services import rollouts, services
from emu.study.starts import measure_starts
from emu.study.timelines import read_timelines

__all__ = ["Study", "read_study"]

SomeEvent = TypeVar("SomeEvent", bound=Event)


def read_study(run: RunDir) -> Study:
    """Everything known of a run. Files that are missing or torn leave gaps and notes, never an error."""
    study = Study(run)
    events = _events(study)
    _begin(study, events)
    sampled = read_timelines(run.samples, study.origin)
    study.host, study.node, study.freezes = sampled.host, sampled.node, sampled.freezes
    for complaint in sampled.complaints:
        complain(study, complaint)
    damage = Damage()
    study.requests = read_requests(run.requests, study.origin, damage)
    _note_damage(study, run.requests.name, damage)
    study.duration_s = _duration(events, sampled.end, study.origin)
    study.instances = read_instances(events, study.origin)
    scaled = any(isinstance(event, PodScaled | ScaleDecided) for event in events)
    study.requests = with_pods(study.requests, study.instances, events, study.origin, scaled=scaled)
    study.in_flight = count_in_flight(study.requests or [])
    study.in_flight_by_pod = in_flight_by_pod(study.requests or [])
    for line in sampled.timelines.values():
        line.owner = owner_of(study, line.owner)
        study.timelines[line.owner] = line
    swap_files.split(study.machine.devices, _measured(study), study.machine.page_bytes)
    study.pids = {pid: owner_of(study, owner) for pid, owner in sampled.pids.items()}
    study.phases = _phases(events, study.origin, study.duration_s)
    read_happenings(study, events)
    study.pod_events = pod_events(_of(events, KubeletEvent), study.origin)
    study.instances = [with_signals(study, entry) for entry in study.instances]
    study.instances = with_reasons(with_the_engine(study), events, study.origin)
    study.freezes = recorded_freezes(study, events) or study.freezes or pauses(study)
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


def _measured(study: Study) -> list[Timeline]:
    return [*study.timelines.values(), *([] if study.node is None else [study.node])]


def _judge(study: Study, log: KernelLog) -> None:
    study.kernel_lines = log.lines
    for complaint in log.complaints:
        complain(study, complaint)
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
        complain(study, f"there are no events: {name} is missing")
        return []
    except OSError as error:
        complain(study, f"there are no events: {name} cannot be read ({error.strerror or error})")
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
        complain(study, f"{file} has {lines} left out")


def _of(events: list[Event], kind: type[SomeEvent]) -> Iterator[SomeEvent]:
    return (event for event in events if isinstance(event, kind))


def _begin(study: Study, events: list[Event]) -> None:
    began = next(_of(events, RunBegan), None)
    if began is None:
        study.origin = events[0].t if events else 0.0
        complain(study, "the run's first event is missing: which machine and scenario it was is not known")
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
        complain(study, "the run was cut off: it has no end, and what was under way then is not known")
    elif ended.interrupted:
        complain(study, "the run was interrupted")
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
        io_weights=_weights(recorded.get("io_weights")),
        devices={
            number: Device(number, str(entry.get("name", number)), str(entry.get("role", "other")))
            for number, entry in (devices if isinstance(devices, dict) else {}).items()
            if isinstance(entry, dict)
        },
    )
    if machine.runtime is None and machine.docker:  # runs had no other, once
        return replace(machine, runtime="docker")
    return machine


def _weights(value: object) -> dict[str, int]:
    given = value if isinstance(value, dict) else {}
    return {str(pod): weight for pod, weight in given.items() if isinstance(weight, int)}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _page_bytes(size: object) -> int:
    return size if isinstance(size, int) and 0 < size <= 2**20 else 4096


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
    if began.until is None and until < begin + began.duration_s:  # by the plan, phases may overlap
        until = min(end_s, max(until, end))
    met, unsent = (None, 0) if ended is None else (ended.met, ended.unsent)
    return PhaseSpan(
        began.phase, begin, min(end_s, end), until, began.until, met, began.duration_s, unsent,
        pod=began.pod, container=began.container, reads=began.reads, files_of=began.files_of,
    )  # fmt: skip
