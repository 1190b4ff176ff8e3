"""What stands above and below the picture: the verdict, and the run in tables, in kubectl's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.policy.printing import print_age
from emu.record.events import EVICTED, SCALE_DOWN
from emu.report.describe import describe
from emu.report.page.figures import Figure
from emu.report.page.html import Markup, at, element, exact_size, facts, folded, join, section, size, table
from emu.report.page.sections_kills import kills_section, log_line
from emu.report.page.sections_requests import requests_section
from emu.report.topics.registry import TOPICS
from emu.report.topics.topic import Listing
from emu.study.model.instances import Instance
from emu.study.model.study import Happening, Study
from emu.units import format_bytes, format_seconds


def sections(
    study: Study, each: Study, summary: dict[str, Any], figure: Figure, scenario_text: str | None
) -> Iterator[Markup]:
    """Everything under the picture. `each`: the study with containers named by pod, for what is one instance's."""
    yield _pod(study, each, summary)
    yield requests_section(study, summary)
    yield kills_section(each)
    for topic in TOPICS:
        yield _topic(topic.title, topic.listing(each))
    yield element("div", join([_machine(study), _measured(study, figure)]), class_="columns")
    yield _notes(study)
    yield _kernel_log(study)
    yield section("Scenario, as resolved", scenario_part(scenario_text))


# -- the pod ---------------------------------------------------------------------------------------------------


def _pod(study: Study, each: Study, summary: dict[str, Any]) -> Markup:
    if not study.instances:
        return section("Pod", element("p", "No container was started.", class_="missing"))
    parts: list[Markup] = []
    if study.pod_statuses:
        parts += _statuses(study, summary)
    parts.append(_described(each))
    parts.append(_totals(summary))
    parts.append(_held_back(summary))
    parts.append(element("h3", "Container instances"))
    parts.append(_instances(each))
    parts += _stops(each)
    parts += _events(each)
    return section("Pod" if len(study.pods) < 2 else f"Pods ({len(study.pods)})", *parts)


def _statuses(study: Study, summary: dict[str, Any]) -> Iterator[Markup]:
    """As `kubectl get pods` lists them, and each change."""
    several = len(study.pods) > 1
    names, heads = ["NAME"] if several else [], ["READY", "STATUS", "RESTARTS"]
    pods = (summary.get("pods") or {}) if several else {"": summary.get("pod") or {}}
    rows = [(*([name] if several else []), *_kubectl(pod)) for name, pod in pods.items()]
    yield table([*names, *heads, "AGE"], rows[:MOST_PODS], ["RESTARTS"])
    if len(rows) > MOST_PODS:
        yield folded(f"all pods ({len(rows):,})", table([*names, *heads, "AGE"], rows, ["RESTARTS"]))
    if len(study.pod_statuses) > len(rows):
        changes = [(f"{one.t:.3f} s", *([one.pod] if several else []), *_status(one)) for one in study.pod_statuses]
        told = table(["at", *names, *heads], changes, ["at", "RESTARTS"])
        yield folded(f"each change of {'them' if several else 'it'} ({len(changes)})", told)


def _kubectl(pod: dict[str, Any]) -> tuple[object, ...]:
    age = pod.get("age_s")
    return (pod.get("ready"), pod.get("status"), pod.get("restarts"), None if age is None else print_age(age))


def _status(one: Happening) -> tuple[object, ...]:
    return (one.detail.get("ready"), one.text, one.detail.get("restarts"))


def _described(study: Study) -> Markup:
    """In the words of `kubectl describe pod`."""
    heads = ["", "State", "Reason", "Exit Code", "Last State", "Last Reason", "Last Exit Code", "Ready"]
    rows = []
    for name in study.containers:
        told = describe(study, name)
        if told is None:
            continue
        last = told.last_state
        row = (name, told.state.state, told.state.reason, told.state.exit_code)
        before = (None, None, None) if last is None else (last.state, last.reason, last.exit_code)
        rows.append((*row, *before, bool(told.ready), told.restart_count))
    return table([*heads, "Restart Count"], rows, ["Exit Code", "Last Exit Code", "Restart Count"])


_WHY = {
    "pod": "the pod was to end",
    SCALE_DOWN: "scaled to zero",
    EVICTED: "evicted",
    "liveness": "liveness probe failed",
    "startup": "startup probe failed",
}


def _stops(study: Study) -> list[Markup]:
    """Ends that were asked for while the run went on."""
    stops = [(entry, entry.stop) for entry in study.instances if entry.stop is not None and entry.stop.why != "run"]
    if not stops:
        return []
    heads = ["container", "attempt", "why", "asked", "grace", "SIGTERM", "SIGKILL", "ended", "exit code"]
    rows = [
        (
            entry.container,
            entry.attempt,
            _WHY.get(stop.why, stop.why),
            at(stop.asked_s),
            format_seconds(stop.grace_s),
            at(stop.sigterm_s),
            at(stop.sigkill_s),
            at(entry.exited_s),
            entry.exit_code,
        )
        for entry, stop in stops
    ]
    return [element("h3", "Stops"), table(heads, rows, [*heads[3:]])]


def _events(study: Study) -> list[Markup]:
    """As `kubectl describe pod` lists them."""
    if not study.pod_events:
        return []
    heads = ["Type", "Reason", "first", "last", "count", "container", "Message"]
    rows = [
        (one.type, one.reason, at(one.first_s), at(one.last_s), one.count, one.container, one.message)
        for one in study.pod_events
    ]
    listed = table(heads, rows, ["first", "last", "count"])
    return [folded(f"Events, as a kubelet would record them ({len(rows)})", listed)]


MOST_PODS = 20
"""Pods shown at once; the others are folded."""
MOST_ROWS = 20
"""Of a topic's table, shown at once; the others are folded."""
TOTALS = (
    ("peak", "memory_peak_bytes"),
    ("anon peak", "anon_peak_bytes"),
    ("page cache peak", "file_peak_bytes"),
    ("kernel peak", "kernel_peak_bytes"),
    ("reclaimable slab peak", "slab_reclaimable_peak_bytes"),
    ("other kernel peak", "kernel_unreclaimable_peak_bytes"),
    ("swap peak", "swap_peak_bytes"),
    ("disk read", "disk_read_bytes"),
    ("disk written", "disk_write_bytes"),
    ("swap read", "swap_io_read_bytes"),
    ("swap written", "swap_io_write_bytes"),
    ("read again", "refault_bytes"),
    ("OOM kills", "oom_kills"),
    ("restarts", "restarts"),
)
"""Columns of the table of containers, and their names in summary.json."""


def _totals(summary: dict[str, Any]) -> Markup:
    heads = ["", "limit", *(head for head, _ in TOTALS)]
    known = {**(summary.get("containers") or {}), "pod": summary.get("pod") or {}}
    return table(heads, [_total(name, facts_of) for name, facts_of in known.items()], heads[1:])


def _held_back(summary: dict[str, Any]) -> Markup:
    """What slowed containers: limits, swap, processors, devices."""
    rows = [
        (name, one["by"], exact_size(one["bound_bytes"]), one["times"], at(one["first_s"]), _seconds(one["seconds"]))
        for name, known in (summary.get("containers") or {}).items()
        for one in known.get("held_back") or []
    ]
    if not rows:
        return Markup("")
    heads = ["", "by", "limit", "times", "from", "for"]
    return join([element("h3", "Held back"), table(heads, rows, heads[2:])])


def _seconds(value: float | None) -> str | None:
    return None if value is None else format_seconds(value)


def _total(name: str, known: dict[str, Any]) -> tuple[object, ...]:
    limit = exact_size(known.get("memory_limit_bytes")) or "none"
    if known.get("memory_high_bytes") is not None:
        limit = join([limit, f" (memory.high {format_bytes(known['memory_high_bytes'])})"], "")
    values = [exact_size(known.get(key)) if key.endswith("_bytes") else known.get(key) for _, key in TOTALS]
    return (name, limit, *values)


def _instances(study: Study) -> Markup:
    heads = [
        "container",
        "attempt",
        "started",
        "ready",
        "ended",
        "exit code",
        "reason",
        "Docker's OOMKilled",
        "image",
    ]
    rows = [
        (
            entry.container,
            entry.attempt,
            at(entry.started_s),
            at(entry.ready_s) or "never",
            at(entry.exited_s),
            entry.exit_code,
            _reason(entry),
            entry.docker_oom_killed,
            entry.image or None,
        )
        for entry in study.instances
    ]
    return table(heads, rows, ["attempt", "started", "ready", "ended", "exit code"])


def _reason(entry: Instance) -> str | None:
    scaled = entry.stop is not None and entry.stop.why == SCALE_DOWN
    why = "scaled to zero" if scaled else "ended by the run"
    return f"{entry.reason or ''} ({why})".strip() if entry.asked else entry.reason


# -- the rest --------------------------------------------------------------------------------------------------


def _topic(title: str, listing: Listing | None) -> Markup:
    """A topic's table; of many rows the first, with all of them folded."""
    if listing is None or not (listing.rows or listing.otherwise):
        return Markup("")
    if not listing.rows:
        return section(title, element("p", listing.otherwise, class_="missing"))
    parts = [table(listing.heads, listing.rows[:MOST_ROWS], listing.heads[1:])]
    if len(listing.rows) > MOST_ROWS:
        parts.append(
            folded(f"all of them ({len(listing.rows):,})", table(listing.heads, listing.rows, listing.heads[1:]))
        )
    return section(title, *parts, *(element("p", hint, class_="hint") for hint in listing.hints))


def _machine(study: Study) -> Markup:
    machine = study.machine
    devices = ", ".join(f"{one.number} {one.name} ({one.role})" for one in machine.devices.values())
    pairs: list[tuple[str, object]] = [
        ("kernel", machine.kernel),
        ("where", study.where),
        ("CPUs", machine.cpus),
        ("memory", size(machine.memory_bytes)),
        ("swap", "none" if machine.swap_bytes == 0 else size(machine.swap_bytes)),
        ("containers", "plain processes, without Docker" if machine.runtime == "process" else None),
        ("Docker", machine.docker),
        ("cgroup driver", machine.cgroup_driver),
        ("Kubernetes", machine.kubernetes and f"rules of {machine.kubernetes}"),
        ("pressure (PSI)", None if machine.psi is None else ("yes" if machine.psi else "not in this kernel")),
        ("block devices", devices or None),
        ("cgroup", study.pod_cgroup and element("code", study.pod_cgroup)),
        ("began", study.wall_time),
        ("run", study.run_id),
        ("recorded by", study.emu and f"emu {study.emu}"),
    ]
    if all(value is None for _, value in pairs):
        return section("Machine", element("p", "Nothing is recorded of the machine.", class_="missing"))
    return section("Machine", facts(pairs))


def _measured(study: Study, figure: Figure) -> Markup:
    cost = study.recorder
    if cost is None:
        return section("How it was measured", element("p", "The recorder left no report.", class_="missing"))
    share = f" ({cost.cpu_s / study.duration_s:.1%} of one CPU)" if study.duration_s else ""
    late = f"{cost.late:,} ({cost.late / cost.samples:.1%})" if cost.samples else f"{cost.late:,}"
    return section(
        "How it was measured",
        facts(
            [
                ("control files read", f"every {format_seconds(cost.interval_s)}, and at each memory event"),
                ("samples", cost.samples),
                ("late by an interval or more", late),
                ("recorder's CPU time", f"{format_seconds(cost.cpu_s)}{share}"),
                ("recorder's memory", size(cost.rss_bytes)),
            ]
        ),
        element(
            "p",
            "The areas are memory.stat, which the kernel brings up to date in batches; the line is memory.current, "
            "exact at each sample. What rose and fell between two samples shows only in memory.peak, the peaks here.",
            class_="hint",
        ),
    )


def _notes(study: Study) -> Markup:
    if not study.notes:
        return Markup("")
    rows = [
        (f"{one.t:.3f} s", one.detail.get("level"), one.text, one.detail.get("why") or None) for one in study.notes
    ]
    return section("Notes", table(["at", "level", "what", "why"], rows, ["at"]))


def _kernel_log(study: Study) -> Markup:
    if not study.kernel_lines:
        said = "The kernel logged no message in this run, or its log could not be read."
        return section("Kernel log", element("p", said, class_="missing"))
    count = len(study.kernel_lines)
    lines = element("pre", "\n".join(map(log_line, study.kernel_lines)))
    return section("Kernel log", folded(f"{count:,} line{'' if count == 1 else 's'}, seconds of the run", lines))


def scenario_part(scenario_text: str | None) -> Markup:
    """The scenario as resolved, folded."""
    if scenario_text is None:
        return element("p", "scenario.yaml is not in the run directory.", class_="missing")
    return folded("scenario.yaml, which can be run again", element("pre", scenario_text))
