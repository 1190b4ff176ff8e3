"""summary.json: a run in numbers. Its names are what expectations, scripts and other tools build on.

Bytes are ints, times seconds since the run began unless the name says otherwise, and a figure that was not measured
is null, never 0. Names are only ever added.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from emu import __version__
from emu.errors import EmuError
from emu.files.yamlfile import parse, read_text
from emu.policy.expectations import Expectation, parse_expectation
from emu.record.events import POD_LABEL, SCALED_TO_ZERO
from emu.record.rundir import FORMAT, RunDir
from emu.report.describe import age_s, describe, pod_age_s
from emu.report.story import compose
from emu.report.topics.machine import global_stalls, machine_is_short
from emu.report.topics.registry import TOPICS
from emu.study.counters import value_at
from emu.study.measures import PEAKS, Window, add, first, last, rounded, startup_s, times
from emu.study.model.instances import Instance, PodEvent
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import named, of_pods, workloads
from emu.study.reasons_summary import failure_kinds, failures
from emu.study.request_figures import request_figures
from emu.study.restraints import held_back
from emu.study.stalls import Stall, stalls, thrashing
from emu.study.starts import starts_summary

Summary = dict[str, Any]


def summarize(
    study: Study, expectations: Sequence[Expectation] = (), warm_up: Collection[str] = frozenset()
) -> Summary:
    """Everything summary.json says. In a run of several workloads containers are called `workload/container`.
    `met`: the run ended in order, and all that was expected of it came true. `warm_up`: phases that only prepared the
    pod.
    """
    words = named(study)
    summary: Summary = {
        "format": FORMAT,
        "emu": {"recorded": study.emu, "studied": __version__, "record_format": study.format},
        "run_id": study.run_id,
        "scenario": study.scenario,
        "met": None,
        "expectations": [],
        "verdict": {},
        "where": study.where,
        "wall_time": study.wall_time,
        "duration_s": study.duration_s,
        "ended": study.ended,
        "interrupted": study.interrupted,
        "failed": asdict(study.failed) if study.failed else None,
        "machine": {name: value for name, value in asdict(study.machine).items() if name != "devices"},
        "containers": {name: _container(words, name) for name in words.containers},
        "pod": _pod(words),
        "pods": {pod.pod: _one_pod(of_pods(study, {pod.pod})) for pod in study.pods if pod.pod},
        "host": _host(study),
        "requests": {
            **request_figures(study, study.requests, 0.0, study.duration_s),
            "failures": failures(study),
            "failure_kinds": failure_kinds(study),
        },
        "load": _load(words, warm_up),
        "phases": {phase.name: _phase(words, phase.name) for phase in study.phases},
        "oom_kills": [_told(kill) for kill in study.kills],
        "stalls": [_told(stall) for stall in stalls(study)],
        "thrashing": [_told(stall) for stall in thrashing(study)],
        **{name: figures for topic in TOPICS for name, figures in topic.figures(study).items()},
        "starts": starts_summary(study.starts),
        "recorder": asdict(study.recorder) if study.recorder else None,
        "notes": [{"time_s": note.t, "what": note.text, **note.detail} for note in study.notes],
    }
    summary = rounded(summary)
    whole = study.ended and not study.interrupted and study.failed is None
    outcomes = [expectation.check(summary, whole=whole) for expectation in expectations]
    summary["expectations"] = [outcome.to_data() for outcome in outcomes]
    summary["met"] = whole and all(outcome.met for outcome in outcomes)
    story = compose(words, summary)
    summary["verdict"] = {"headline": story.headline, "sentences": list(story.sentences)}
    return summary


def write_summary(run: RunDir, summary: Summary) -> None:
    """Write summary.json."""
    run.write_whole(run.summary, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def recorded_expectations(run: RunDir) -> list[Expectation]:
    """What the scenario of a finished run expected; a line that this version cannot read is left out."""
    found: list[Expectation] = []
    for name, text in _mapping(_recorded_scenario(run).get("expect")).items():
        try:
            found.append(parse_expectation(str(name), text))
        except ValueError:
            continue
    return found


def recorded_warm_up(run: RunDir) -> frozenset[str]:
    """The phases of a finished run that its scenario calls a warm-up."""
    phases = _mapping(_recorded_scenario(run).get("load")).get("phases")
    listed = phases if isinstance(phases, list) else []
    return frozenset(str(one.get("name")) for one in listed if isinstance(one, Mapping) and one.get("warmUp"))


def recorded_name(run: RunDir) -> str:
    """What the scenario of a finished run is called; the folder's name where that is not on record."""
    name = _recorded_scenario(run).get("name")
    return name if isinstance(name, str) and name else run.path.name


def recorded_variants(run: RunDir) -> list[str]:
    """The variants of a finished run in the order of its scenario; those with a folder where it cannot be read."""
    variants = _mapping(_recorded_scenario(run).get("variants"))
    return list(variants) or sorted(path.name for path in run.variants.iterdir() if path.is_dir())


def _recorded_scenario(run: RunDir) -> Mapping[str, Any]:
    try:
        return _mapping(parse(read_text(run.scenario), str(run.scenario)).plain())
    except EmuError:  # it is not there any more, or is damaged
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _told(entry: OomVerdict | Stall | PodEvent) -> dict[str, Any]:
    """Everything; the pod is null in runs from before pods had names."""
    return {**asdict(entry), "pod": entry.pod or None}


def _container(study: Study, name: str) -> dict[str, Any]:
    instances, lines = study.instances_of(name), study.timelines_of(name)
    newest = instances[-1] if instances else None
    ended = [entry for entry in instances if entry.exit_code is not None and entry.is_finding]
    figures = _memory(Window(study), lines, study)
    peaks = [line.memory_peak for line in lines if line.memory_peak is not None]
    return {
        "oom_kills": _kills(study, name),
        "restarts": study.restarts_of(name),
        "exits": [_exit(entry) for entry in ended],
        "final_reason": ended[-1].reason if ended else None,
        "back_offs": [
            {"pod": wait.pod or None, "time_s": wait.t, "delay_s": wait.detail["delay_s"]}
            for wait in study.back_offs
            if wait.subject == name
        ],
        "stops": [_stop(entry) for entry in instances if entry.stop is not None and entry.stop.why != "run"],
        **_described(study, name),
        "events": _events(study, name),
        "age_s": age_s(study, name),
        "ready": None if newest is None else bool(newest.ready) and (newest.exited_s is None or newest.asked),
        "ready_s": next((entry.ready_s for entry in instances if entry.ready_s is not None), None),
        "startup_s": startup_s(study, [name]),
        "memory_limit_bytes": newest.memory_max if newest else None,
        "memory_high_bytes": newest.memory_high if newest else None,
        "swap_limit_bytes": newest.swap_max if newest else None,
        "held_back": [asdict(one) for one in held_back(study, name)],
        "swap_events": _swap_events(Window(study), lines),
        **figures,
        "memory_peak_bytes": max(peaks, default=None),
        **_ends(study, lines, _last_alive(study, newest)),
        "memory_events": Window(study).events([line.owner for line in lines] or [entry.owner for entry in instances]),
    }


def _kills(study: Study, name: str) -> int | None:
    """How many OOM kills it suffered; None where neither memory.events nor the kernel's log could be read."""
    kills = len(study.kills_of(name))
    watched = study.memory_marks or any(line.events or line.events_all for line in study.timelines.values())
    return kills if kills or watched or study.kernel_lines else None


def _exit(entry: Instance) -> dict[str, Any]:
    return {
        "pod": entry.pod or None,
        "attempt": entry.attempt,
        "time_s": entry.exited_s,
        "exit_code": entry.exit_code,
        "reason": entry.reason,
        "docker_oom_killed": entry.docker_oom_killed,
        "killed_for": entry.killed_for,
        "with_engine": entry.with_engine,
    }


def _stop(entry: Instance) -> dict[str, Any]:
    """How it was told to end, and how it did; `took_s` is from the first word to its end."""
    assert entry.stop is not None
    took_s = None if entry.exited_s is None else entry.exited_s - entry.stop.asked_s
    return {
        "pod": entry.pod or None,
        "attempt": entry.attempt,
        **asdict(entry.stop),
        "took_s": took_s,
        "exit_code": entry.exit_code,
    }


def _described(study: Study, name: str) -> dict[str, Any]:
    """`state` and `last_state` in kubectl's words."""
    told = describe(study, name)
    if told is None:
        return {"state": None, "last_state": None}
    return {"state": asdict(told.state), "last_state": asdict(told.last_state) if told.last_state else None}


def _events(study: Study, name: str) -> dict[str, int]:
    """How many events of each reason the kubelet recorded of a container."""
    counts: Counter[str] = Counter()
    for event in study.pod_events:
        if event.container == name:
            counts[event.reason] += event.count
    return dict(sorted(counts.items()))


def _memory(window: Window, lines: list[Timeline], study: Study) -> dict[str, Any]:
    """What a window of time saw of a container or the pod: for the whole run and for each phase alike."""
    page = study.machine.page_bytes
    cpu_usec = window.counted(lines, "cpu_usec")
    stalls = {
        f"{what}_stall_{name}_ms": window.counted(lines, f"{prefix}_{name}_usec")
        for what, prefix in (("memory", "psi"), ("io", "io"))
        for name in ("some", "full")
    }
    throttled_usec = window.counted(lines, "throttled_usec")
    return {
        **{name: window.peak(lines, column) for name, column in PEAKS.items()},
        "memory_held_gib_seconds": window.held(lines, "memory_current"),
        "swap_held_gib_seconds": window.held(lines, "swap"),
        **window.io(lines),
        "refault_bytes": times(window.counted(lines, "refaults"), page),
        "swap_refault_bytes": times(window.counted(lines, "refaults_anon"), page),
        "major_faults": window.counted(lines, "pgmajfault"),
        "cpu_s": None if cpu_usec is None else cpu_usec / 1e6,
        "cpu_throttled_s": None if throttled_usec is None else throttled_usec / 1e6,
        **{name: None if usec is None else usec / 1e3 for name, usec in stalls.items()},
    }


def _swap_events(window: Window, lines: list[Timeline]) -> dict[str, int | None]:
    """memory.swap.events, by counter; None each where it was never read."""
    return {
        name: window.rise((line.t, line.swap_events[name]) for line in lines if name in line.swap_events)
        for name in ("high", "max", "fail")
    }


def _last_alive(study: Study, newest: Instance | None) -> float:
    """When to ask how a container stands at its end: its memory is gone before its cgroup is, so just before it was
    killed, else when the load was over, else at the last sample.
    """
    kills = [kill for kill in study.kills if newest and kill.owner == newest.owner and not kill.child]
    if kills:
        return kills[-1].time_s
    exited = newest.exited_s if newest and newest.exited_s is not None else study.duration_s
    over = max((phase.end_s for phase in study.phases), default=exited)
    return min(over, exited)


def _ends(study: Study, lines: list[Timeline], end_s: float) -> dict[str, Any]:
    """How it stood in the end, and how far its anonymous memory had grown since the first request."""
    columns = {"memory": "memory_current", "anon": "anon", "file": "page_cache", "swap": "swap"}
    ends: dict[str, Any] = {}
    for name, column in columns.items():
        ends[f"{name}_end_bytes"] = value_at(lines[-1].t, getattr(lines[-1], column), end_s) if lines else None
    begin = study.first_request_s
    start = None
    if lines and begin is not None:
        start = value_at(lines[0].t, lines[0].anon, begin)
        start = first(lines[0].anon) if start is None else start
    peak = Window(study).peak(lines, "anon")
    grown = None if start is None or peak is None else peak - start
    return {**ends, "anon_start_bytes": start, "anon_growth_bytes": grown}


def _one_pod(study: Study) -> dict[str, Any]:
    """What is known of a pod by itself, and of its containers."""
    return {**_pod(study), "containers": {name: _container(study, name) for name in study.containers}}


def _pod(study: Study) -> dict[str, Any]:
    """Of pods as a whole, as of the instances of a container: peaks are the largest of any, counters of all together.
    What kubectl shows of one is null where there are several workloads.
    """
    lines = study.pod_timelines
    own = [pod for pod in study.pods if pod in study.timelines or any(one.owner == pod for one in study.memory_marks)]
    loads = workloads(study)
    status, ready = _pod_status(study) if len(loads) < 2 else (None, None)
    figures = _memory(Window(study), lines, study)
    return {
        "oom_kills": add(_kills(study, name) for name in study.containers),
        "restarts": add(study.restarts_of(name) for name in study.containers),
        "status": status,
        "ready": ready,
        "age_s": pod_age_s(study) if len(loads) < 2 else None,
        "held_back": [asdict(one) for one in held_back(study, POD_LABEL)] if len(loads) < 2 else [],
        "startup_s": startup_s(study, list(study.containers)),
        "events": [_told(event) for event in study.pod_events],
        "memory_limit_bytes": last(lines[-1].limit) if lines and len(loads) < 2 else None,
        **figures,
        "memory_peak_bytes": max((line.memory_peak for line in lines if line.memory_peak is not None), default=None),
        **_ends(study, lines, _last_alive(study, None)),
        "memory_events": Window(study).events(own, below=True),
        "memory_events_local": Window(study).events(own, below=False),
    }


def _pod_status(study: Study) -> tuple[str | None, str | None]:
    """STATUS and READY, as kubectl showed them last. It shows none of a pod that was scaled away."""
    if not study.pod_statuses:
        return None, None
    newest = study.pod_statuses[-1]
    gone = study.containers and pod_age_s(study) is None and newest.pod
    return (SCALED_TO_ZERO, "0/0") if gone else (newest.text, newest.detail["ready"])


def _host(study: Study) -> dict[str, Any]:
    host = study.host
    available = [value for value in host.available if value is not None]
    used = [value for value in host.swap_used if value is not None]
    return {
        "memory_total_bytes": last(host.total),
        "memory_available_min_bytes": min(available, default=None),
        "swap_used_peak_bytes": max(used, default=None),
        "swap_total_bytes": last(host.swap_total),
        "reclaim_stalls": global_stalls(study),
        "ran_short": None if not available else machine_is_short(study) is not None,
        "other_kills": list(study.other_kills),
    }


def _load(study: Study, warm_up: Collection[str]) -> dict[str, Any] | None:
    """What clients saw, and what the pod held and used, from the begin of the first phase that was no warm-up to the
    end of the last; None without any.
    """
    phases = [phase for phase in study.phases if phase.name not in warm_up]
    if not phases:
        return None
    begin_s, end_s = min(phase.begin_s for phase in phases), max(phase.end_s for phase in phases)
    window = Window(study, begin_s, end_s)
    names = {phase.name for phase in phases}
    mine = None if study.requests is None else [request for request in study.requests if request.phase in names]
    return {
        "begin_s": begin_s,
        "end_s": end_s,
        "requests": request_figures(study, mine, begin_s, study.duration_s),
        "pod": _memory(window, study.pod_timelines, study),
        "containers": {name: _memory(window, study.timelines_of(name), study) for name in study.containers},
    }


def _phase(study: Study, name: str) -> dict[str, Any]:
    span = next(phase for phase in study.phases if phase.name == name)
    window = Window(study, span.begin_s, span.until_s)
    mine = None if study.requests is None else [request for request in study.requests if request.phase == name]
    containers = {}
    for container in study.containers:
        lines = study.timelines_of(container)
        kills = [kill for kill in study.kills_of(container) if span.begin_s < kill.time_s <= span.until_s]
        keys = [line.owner for line in lines]
        containers[container] = {
            "oom_kills": None if _kills(study, container) is None else len(kills),
            **_memory(window, lines, study),
            "memory_events": window.events(keys),
        }
    requests = request_figures(study, mine, span.begin_s, span.until_s)
    waited = {"until": span.waits_for, "until_met": span.met, "unsent": span.unsent}
    return {"begin_s": span.begin_s, "end_s": span.end_s, **waited, "requests": requests, "containers": containers}
