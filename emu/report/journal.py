"""The time-ordered log of a run: what emu saw, what the kernel said, what containers printed, Docker's events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from emu.files.regular import read_lines
from emu.record.events import Owner
from emu.record.samples import NODE
from emu.report.entry import Entry
from emu.report.topics.kills import victim_words
from emu.report.topics.machine import machine_short_at
from emu.report.topics.reasons import reason_words
from emu.report.topics.registry import log_of
from emu.report.words import count
from emu.study.counters import Rise, rises
from emu.study.model.instances import PodEvent
from emu.study.model.machine import KernelLine
from emu.study.model.study import Happening, Study
from emu.study.oom_pieces import JOIN_S
from emu.study.pods import named, workload
from emu.study.reasons_summary import failures
from emu.study.restraints import describe, held_back
from emu.study.stalls import stalls
from emu.units import format_bytes, format_seconds

Selection = Literal["notable", "oom", "kernel", "all"]
"""notable: what a person should know of. oom: the kernel's OOM blocks. kernel: all of the kernel's lines. all: the
notable events with the kernel's lines, Docker's events and what containers printed.
"""


def entries(study: Study, selection: Selection = "notable") -> list[Entry]:
    """The chosen lines in order of time."""
    raw, study = study, named(study, by_pod=True)
    if selection in ("oom", "kernel"):
        return [_kernel(line) for line in study.kernel_lines if line.oom or selection == "kernel"]
    placed = [(entry.time_s or 0.0, entry) for entry in _notable(study)]
    if selection == "notable":
        own = {
            (line.text, line.kernel_us // 1_000_000): line for line in study.kernel_lines if _is_own_word(study, line)
        }
        placed += [(line.t, _kernel(line)) for line in own.values()]  # a group's first victim is logged twice
    else:
        placed += [(line.t, _kernel(line)) for line in study.kernel_lines]
        placed += [
            (
                event.t,
                Entry(event.t, study.machine.runtime or "docker", f"{event.text} {event.subject}", event.detail),
            )
            for event in study.docker_events
        ]
        starts = [one for one in study.pod_events if one.type == "Normal" and one.reason != "Killing"]
        placed += [(event.first_s, _pod_event(event)) for event in starts]
        placed += _printed(raw)
    return [entry for _, entry in sorted(placed, key=lambda pair: pair[0])]


def _kernel(line: KernelLine) -> Entry:
    detail = {"kernel_us": line.kernel_us, "read_s": line.read_s, "level": line.level, "sequence": line.sequence}
    return Entry(line.t, "kernel", line.text, detail)


def _is_own_word(study: Study, line: KernelLine) -> bool:
    """Of an OOM block the lines that matter: who asked, the summary, the kill."""
    return line.oom and any(line.text in kill.log for kill in study.kills)


def _notable(study: Study) -> Iterator[Entry]:
    where = (study.where or "place unknown") + (", as processes" if study.machine.runtime == "process" else "")
    yield Entry(0.0, "emu", f"run {study.run_id or study.run.path.name} began ({where})")
    yield from _containers(study)
    for phase in study.phases:
        yield Entry(phase.begin_s, "emu", f"phase {phase.name} began", {"phase": phase.name})
    for start in study.starts:
        detail: dict[str, Any] = {"trial": start.trial, "temperature": start.temperature}
        yield Entry(start.arrived_s, "emu", f"a request came to a {start.temperature} pod", detail)
        if start.first_byte_s is not None:
            took = format_seconds(start.first_byte_s - start.arrived_s)
            text = f"the first byte of its answer came after {took}, status {start.status}"
            yield Entry(start.first_byte_s, "emu", text, detail)
    for owner in (*study.timelines, NODE):
        yield from _counted(study, owner, below=False if owner == NODE else None)
    for happening in (*study.pod_statuses, *study.back_offs, *study.evictions, *study.notes):
        yield Entry(happening.t, "emu", _words(study, happening), happening.detail)
    for event in study.pod_events:
        if event.type == "Warning" or event.reason == "Killing":
            yield _pod_event(event)
    for kill in study.kills:
        who = victim_words(kill)
        who += " (frozen)" if kill.frozen else ""
        text = f"OOM kill: {who}, {kill.level} level, known from {', '.join(kill.evidence)}"
        doubts = f"; but {', '.join(kill.contradicts)}" if kill.contradicts else ""
        # just after the kernel's own line of it
        yield Entry(kill.time_s + 1e-6, "emu", f"{text}{doubts}", {"container": kill.container, "level": kill.level})
    yield from _failures(study)
    yield from _held_back(study)
    yield from log_of(study)
    if study.failed is not None:
        failed = study.failed
        yield Entry(failed.time_s, "emu", f"the run could not continue: {failed.what}: {failed.why}", asdict(failed))
    if study.ended:
        yield Entry(study.duration_s, "emu", "run was interrupted" if study.interrupted else "run ended")


def _failures(study: Study) -> Iterator[Entry]:
    """Requests that were not answered well: each burst of one kind a line, at its first."""
    for burst in failures(study) or ():
        number, until = int(burst["count"]), float(burst["last_s"])
        text = f"{count(number, 'request')} {'was' if number == 1 else 'were'} {reason_words(burst)}"
        pod = str(burst["pod"] or "")
        notes = [_pod(study, pod)] if pod != workload(pod) and len(study.pods) > 1 else []
        notes += [f"until {until:.3f} s"] if number > 1 else []
        text += f" ({', '.join(notes)})" if notes else ""
        yield Entry(float(burst["first_s"]), str(burst["by"] or "clients"), text, burst)


def _held_back(study: Study) -> Iterator[Entry]:
    """When limits, devices and the machine itself began to slow containers, and when they stalled."""
    for name in study.containers:
        for one in held_back(study, name):
            if one.first_s is not None:
                detail = {"container": name, "by": one.by, "times": one.times, "seconds": one.seconds}
                yield Entry(one.first_s, "emu", f"from here on: {describe(name, one)}", detail)
    for stall in stalls(study):
        detail = {"container": stall.container, "attempt": stall.attempt, "why": stall.why}
        yield Entry(stall.begin_s, "emu", f"{stall.container} stalled", detail)
        yield Entry(stall.end_s, "emu", f"{stall.container} no longer stalled", detail)
    short = machine_short_at(study)
    if short is not None:
        yield Entry(short[0], "emu", short[1], {"level": "warning"})


def _pod_event(event: PodEvent) -> Entry:
    times = f" ({event.count} times until {event.last_s:.3f} s)" if event.count > 1 else ""
    detail = {"container": event.container, "type": event.type, "reason": event.reason, "count": event.count}
    text = f"{event.type} {event.reason} {event.container}: {event.message}{times}"
    return Entry(event.first_s, "kubelet", text, detail)


def _containers(study: Study) -> Iterator[Entry]:
    for one in study.instances:
        name = f"{one.container} (instance {one.attempt})"
        detail = {"container": one.container, "attempt": one.attempt, "id": one.id}
        if one.started_s is not None:
            limit = "no memory limit" if one.memory_max is None else f"memory limit {format_bytes(one.memory_max)}"
            yield Entry(one.started_s, "emu", f"{name} started, {limit}, pid {one.pid}", detail)
        if one.ready_s is not None:
            yield Entry(one.ready_s, "emu", f"{name} is ready", detail)
        if one.exited_s is not None:
            with_its_pod = one.stop is not None and one.stop.with_pod
            why = one.reason if not one.asked else "stopped with its pod" if with_its_pod else "stopped by emu"
            flag = (
                "" if one.docker_oom_killed is None else f", Docker's OOMKilled {str(one.docker_oom_killed).lower()}"
            )
            yield Entry(one.exited_s, "emu", f"{name} ended with exit code {one.exit_code}: {why}{flag}", detail)


def _counted(study: Study, owner: Owner, *, below: bool | None = None) -> Iterator[Entry]:
    """How often `oom` and `oom_kill` rose in memory.events, at the level that counted them. `below` as in `rises`."""
    groups = rises(study, owner, "oom_group_kill", below=below)
    for name in ("oom", "oom_kill", "oom_group_kill"):
        for rise in rises(study, owner, name, below=below):
            detail = {"container": owner.label, "attempt": owner.attempt, "counter": name, "by": rise.by}
            whose = owner.label if owner.container else _pod(study, owner.pod)
            text = f"memory.events of {whose}: {name} +{rise.by}"
            yield Entry(rise.t, "emu", text + (_twice(rise, groups) if name == "oom_kill" else ""), detail)


def _twice(kills: Rise, groups: list[Rise]) -> str:
    """With memory.oom.group the kernel counts the first process that it kills twice."""
    near = sum(group.by for group in groups if abs(group.t - kills.t) <= JOIN_S)
    died = kills.by - near
    return (
        f" for {count(died, 'process', 'processes')}: a group kill counts its first one twice"
        if near and died
        else ""
    )


def _pod(study: Study, name: str) -> str:
    """`pod`; with its name where there are several."""
    return f"pod {name}" if len(study.pods) > 1 else "pod"


def _words(study: Study, happening: Happening) -> str:
    kind, text, detail = happening.kind, happening.text, happening.detail
    if kind == "pod-status":
        return (
            f"{_pod(study, happening.pod)} is {detail['ready']} {text}, {count(int(detail['restarts']), 'restart')}"
        )
    if kind == "note":
        why = f": {detail['why']}" if detail.get("why") else ""
        return f"{detail.get('level', 'note')}: {text}{why}"
    return text


def _printed(study: Study) -> list[tuple[float, Entry]]:
    """What each container instance printed, at its end: its log has no time stamps of emu's."""
    found: list[tuple[float, Entry]] = []
    for one in study.instances:
        try:
            text = b"".join(read_lines(study.run.container_log(one.pod, one.container, one.attempt)))
        except OSError:
            continue
        at = study.duration_s if one.exited_s is None else one.exited_s
        detail = {"container": one.container, "attempt": one.attempt}
        lines = text.decode(errors="replace").splitlines()
        found += [(at, Entry(None, f"{one.container}.{one.attempt}", line, detail)) for line in lines]
    return found
