"""Memory: what containers, pods and the node held at most and over time, and how often a limit was met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from emu.record.events import POD_LABEL, Owner
from emu.record.samples import NODE
from emu.report.entry import Entry
from emu.report.page.areas import Area, Stack, draw_limits, draw_stack, limits_of, scale_of
from emu.report.page.canvas import EVENT_LEGEND, Canvas, safe
from emu.report.topics import churn, devices, held_back, processors
from emu.report.topics.sparkline import sparkline
from emu.report.topics.topic import (
    Cell,
    Drawing,
    Figures,
    Listing,
    MemoryPanel,
    Name,
    Part,
    Size,
    Topic,
    View,
    pod_section,
)
from emu.report.words import count, of_limit, pod_words, pods_of, size
from emu.study.counters import Rise, rises, value_at
from emu.study.measures import Window, first
from emu.study.model.instances import Instance, container_of
from emu.study.model.study import Study
from emu.study.model.timeline import MemoryMark, Timeline
from emu.study.oom_pieces import JOIN_S
from emu.study.pods import Lane, lanes, of_pods
from emu.study.restraints import bound
from emu.units import format_bytes

PEAKS = {
    "memory_peak_bytes": "memory_current",
    "anon_peak_bytes": "anon",
    "file_peak_bytes": "page_cache",
    "shmem_peak_bytes": "shmem",
    "kernel_peak_bytes": "kernel",
    "kernel_unreclaimable_peak_bytes": "kernel_unreclaimable",
    "slab_reclaimable_peak_bytes": "slab_reclaimable",
    "slab_unreclaimable_peak_bytes": "slab_unreclaimable",
    "kernel_stack_peak_bytes": "kernel_stack",
    "pagetables_peak_bytes": "pagetables",
    "percpu_peak_bytes": "percpu",
    "kernel_other_peak_bytes": "kernel_other",
    "sock_peak_bytes": "sock",
    "swap_peak_bytes": "swap",
    "zswap_peak_bytes": "zswap",
    "zswapped_peak_bytes": "zswapped",
    "working_set_peak_bytes": "working_set",
    "dirty_peak_bytes": "dirty",
    "swap_writeback_peak_bytes": "swap_writeback",
}
"""Names of summary.json, and the column that each is the largest value of."""
STACK = Stack(
    (
        Area("anon", "anon", "var(--anon)"),
        Area("shmem", "shmem", "var(--shmem)"),
        Area("kernel", "kernel", "var(--kernel)"),
        Area("sock", "sockets", "var(--sock)"),
        Area("page_cache", "page cache", "var(--cache)"),
        Area("swap", "swap: on top, as it is not part of memory.current", "var(--swap)", hatched=True),
    ),
    ("memory_current", "memory.current"),
    (
        ("swap", "swap"),
        ("page_cache", "page cache"),
        ("kernel", "kernel"),
        ("sock", "sockets"),
        ("shmem", "shmem"),
        ("anon", "anon"),
        ("working_set", "working set"),
    ),
)
"""Parts of memory.current from the bottom up: what the kernel can drop lies on top."""
STRIP = {
    "high": "high: above memory.high, so the kernel took memory back, or made it wait",
    "max": "max: the limit was met, and the kernel looked for memory to take back",
    "oom": "oom: there was none to take back",
}
"""The counters of memory.events that have a row of ticks, and what each means."""
MOST_LANES = 8
"""So many pods that are there at once are drawn."""
_SMALLER, _SMALLEST = {0: 1.0, 1: 1.0, 2: 0.8, 3: 0.6}, 0.5
"""How high the panels of each are, by how many there are."""


def memory_figures(window: Window, lines: list[Timeline], study: Study) -> Figures:
    """What a window of time saw of a container or the pod: for the whole run and for each phase alike."""
    return {
        **{name: window.peak(lines, column) for name, column in PEAKS.items()},
        "memory_held_gib_seconds": window.held(lines, "memory_current"),
        "swap_held_gib_seconds": window.held(lines, "swap"),
        **window.io(lines),
        **churn.figures(window, lines, study),
        **processors.figures(window, lines),
        **_pressure(window, lines),
    }


def _pressure(window: Window, lines: list[Timeline]) -> Figures:
    usec = {
        f"{what}_stall_{name}_ms": window.counted(lines, f"{prefix}_{name}_usec")
        for what, prefix in (("memory", "psi"), ("io", "io"))
        for name in ("some", "full")
    }
    return {name: None if one is None else one / 1e3 for name, one in usec.items()}


def last_alive(study: Study, newest: Instance | None) -> float:
    """When to ask how a container stands at its end: its memory is gone before its cgroup is, so just before it was
    killed, else when the load was over, else at the last sample.
    """
    kills = [kill for kill in study.kills if newest and kill.owner == newest.owner and not kill.child]
    if kills:
        return kills[-1].time_s
    exited = newest.exited_s if newest and newest.exited_s is not None else study.duration_s
    over = max((phase.end_s for phase in study.phases), default=exited)
    return min(over, exited)


def end_figures(study: Study, lines: list[Timeline], end_s: float) -> dict[str, Any]:
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


_PARTS = ("anon", "file", "shmem", "kernel", "slab_reclaimable", "sock", "swap")
_HEADS = {"file": "page cache", "slab_reclaimable": "reclaimable slab"}
_NOTHING = (None, "0 B")
_TOTALS = (
    ("peak", "memory_peak_bytes"),
    ("anon peak", "anon_peak_bytes"),
    ("page cache peak", "file_peak_bytes"),
    ("kernel peak", "kernel_peak_bytes"),
    ("reclaimable slab peak", "slab_reclaimable_peak_bytes"),
    ("other kernel peak", "kernel_unreclaimable_peak_bytes"),
    ("swap peak", "swap_peak_bytes"),
    *devices.COLUMNS,
    *churn.COLUMNS,
    ("OOM kills", "oom_kills"),
    ("restarts", "restarts"),
)
"""Columns of the table of containers, and their names in summary.json."""


def memory_parts(view: View) -> Iterator[Part]:
    """Peaks; on the terminal also what held containers back."""
    if view.summary:
        yield from _on_terminal(view)
    if view.study.instances:
        yield _totals(view.summary)


def _on_terminal(view: View) -> Iterator[Part]:
    rows = [_peaks(view.study, name, known) for name, known in view.summary["containers"].items()]
    rows += _pod_peaks(view.study, view.summary)
    heads = ("container", *(_HEADS.get(name, name) for name in _PARTS), "total", "over the run")
    kept = [i for i in range(len(heads)) if any(row[i] not in _NOTHING for row in rows)]
    if rows:
        shown = tuple(tuple(row[i] for i in kept) for row in rows)
        yield Listing(tuple(heads[i] for i in kept), shown, place="terminal", whole=True)
    yield from held_back.notes(view.summary)


def _peaks(study: Study, name: str, known: Figures) -> tuple[Cell, ...]:
    total, (limit, which) = known["memory_peak_bytes"], bound(known)
    whole = None if total is None else of_limit(total, limit) + (f" ({which})" if which else "")
    over = sparkline(study, study.timelines_of(name), study.kills_of(name))
    return (name, *(size(known[f"{part}_peak_bytes"]) for part in _PARTS), whole, over)


def _pod_peaks(study: Study, summary: Figures) -> Iterator[tuple[Cell, ...]]:
    for name, known in pods_of(summary):
        if known["memory_peak_bytes"] is not None:
            pod = name.removeprefix("pod").strip()
            over = sparkline(study, (of_pods(study, {pod}) if pod else study).pod_timelines)
            whole = of_limit(known["memory_peak_bytes"], known["memory_limit_at_peak_bytes"])
            yield (name, *(size(known[f"{part}_peak_bytes"]) for part in _PARTS), whole, over)
    node = summary["node"]
    if study.node is not None and node and node["memory_peak_bytes"] is not None:
        whole = of_limit(node["memory_peak_bytes"], node["memory_limit_bytes"])
        peaks = (size(node[f"{part}_peak_bytes"]) for part in _PARTS)
        yield ("node", *peaks, whole, sparkline(study, [study.node]))


def _totals(summary: Figures) -> Listing:
    """Without the amounts of which there is nothing."""
    known = {**summary["containers"], **dict(pods_of(summary))}
    known |= {"node": summary["node"]} if summary["node"] else {}
    shown = [
        (head, key)
        for head, key in _TOTALS
        if not key.endswith("_bytes") or any(one.get(key) for one in known.values())
    ]
    heads = ("", "limit", "memory.high", *(head for head, _ in shown))
    rows = tuple(_total(name, one, [key for _, key in shown]) for name, one in known.items())
    return Listing(heads, rows, place="page", whole=True)


def _total(name: str, known: Figures, keys: list[str]) -> tuple[Cell, ...]:
    limit, high = known["memory_limit_bytes"], known.get("memory_high_bytes")
    values = (_cell(key, known.get(key)) for key in keys)
    return (Name(name), "none" if limit is None else Size(limit), None if high is None else Size(high), *values)


def _cell(key: str, value: int | None) -> Cell:
    return Size(value) if key.endswith("_bytes") and value is not None else value


def panels(drawing: Drawing) -> None:
    """All of them: of each pod the containers in order of start, then the pod. Pods of a workload that came one after
    another share their panels.
    """
    canvas, study = drawing.canvas, drawing.record
    if not study.timelines:
        canvas.missing("No samples of the control files were recorded, so there is no memory to draw.")
    every = lanes(study)
    drawn = sorted(every, key=lambda lane: not lane.study.kills)[:MOST_LANES]
    if len(drawn) < len(every):
        canvas.missing(
            f"Of up to {len(every)} pods at a time {len(drawn)} are drawn, those with OOM kills first; "
            "summary.json has all of them."
        )
    for lane in every:
        if lane in drawn:
            _lane(drawing, lane, _SMALLER.get(len(drawn), _SMALLEST))
    _node(drawing)


def _lane(drawing: Drawing, lane: Lane, share: float) -> None:
    summary = drawing.summary
    study, alone = lane.study, not lane.name
    for name in dict.fromkeys([*study.containers, *(kill.container for kill in study.kills)]):
        known = (summary.get("containers") or {}).get(name) if alone else _together(summary, lane, container_of(name))
        title = f"<b>{safe(name)}</b>" if alone or "/" in name else f"<b>{safe(name)}</b> of {safe(lane.name)}"
        _container(drawing, study, name, title, known or {}, share, "scaled to zero" if alone else "scaled down")
    known = summary.get("pod") if alone else _together(summary, lane, None)
    whose = "<b>pod</b>" if alone else f"<b>pod {safe(lane.name)}</b>"
    _pod_panel(drawing.canvas, study, whose, known or {}, share)


def _together(summary: dict[str, Any], lane: Lane, container: str | None) -> dict[str, Any]:
    """What a title says of several pods, or of a container in each of them."""
    pods = [(summary.get("pods") or {}).get(pod) or {} for pod in lane.pods]
    known = pods if container is None else [(pod.get("containers") or {}).get(container) or {} for pod in pods]
    peaks = [one["memory_peak_bytes"] for one in known if one.get("memory_peak_bytes") is not None]
    counts = {name: sum(one.get(name) or 0 for one in known) for name in ("oom_kills", "restarts")}
    return {"memory_peak_bytes": max(peaks, default=None), **counts}


def _container(
    drawing: Drawing, study: Study, name: str, title: str, known: dict[str, Any], share: float, gone: str
) -> None:
    canvas, lines = drawing.canvas, [line for line in study.timelines_of(name) if line.t]
    instances = study.instances_of(name)
    limits = limits_of(instances, lines)
    scale = scale_of(STACK, lines, limits)
    panel = canvas.panel(_title(title, known), round(180 * share), **scale.axis(5 if share == 1 else 3))
    on = MemoryPanel(canvas, panel, scale.top, study, name, instances, study.kills_of(name), gone)
    for topic in drawing.topics:
        topic.behind(on)
    if lines:
        draw_stack(canvas, panel, STACK, lines, scale)
    else:
        canvas.words(panel, canvas.end_s / 2, 0.5, f"no samples of {safe(name)} were recorded")
    draw_limits(canvas, panel, limits, scale)
    for topic in drawing.topics:
        topic.marks(on)
    _events(canvas, study.memory_marks, name)


def _pod_panel(canvas: Canvas, study: Study, whose: str, known: dict[str, Any], share: float) -> None:
    lines = [line for line in study.pod_timelines if line.t]
    if not lines:
        return
    limits = limits_of([], lines)
    scale = scale_of(STACK, lines, limits)
    title = _title(f"{whose}, its containers and what they left behind", known)
    panel = canvas.panel(title, round(120 * share), **scale.axis(4 if share == 1 else 3))
    draw_stack(canvas, panel, STACK, lines, scale)
    draw_limits(canvas, panel, limits, scale)
    _events(canvas, study.memory_marks, POD_LABEL)


def _node(drawing: Drawing) -> None:
    """One panel for the cgroup that all pods are in, with a cross for each kill because it was full."""
    canvas, study = drawing.canvas, drawing.record
    if study.node is None or not study.node.t:
        return
    lines = [study.node]
    limits = limits_of([], lines)
    scale = scale_of(STACK, lines, limits)
    title = _title("<b>node</b>, all pods together", drawing.summary.get("node") or {})
    panel = canvas.panel(title, 120, **scale.axis(4))
    draw_stack(canvas, panel, STACK, lines, scale)
    draw_limits(canvas, panel, limits, scale)
    kills = [kill for kill in study.kills if kill.level == NODE.container]
    on = MemoryPanel(canvas, panel, scale.top, study, NODE.container, [], kills, "")
    for topic in drawing.topics:
        topic.marks(on)
    _events(canvas, study.node_marks, NODE.container)


def _title(name: str, known: dict[str, Any]) -> str:
    parts = [name]
    if known.get("memory_peak_bytes") is not None:
        parts.append(f"peak {format_bytes(known['memory_peak_bytes'])}")
    for key, word in (("oom_kills", "OOM kill"), ("restarts", "restart")):
        if known.get(key):
            parts.append(f"{known[key]} {word}{'' if known[key] == 1 else 's'}")
    return " · ".join(parts)


def _events(canvas: Canvas, marks: list[MemoryMark], name: str) -> None:
    """A strip with a row for each counter of memory.events that rose, and a tick where it did."""
    rows: dict[str, list[tuple[float, int, int | None]]] = defaultdict(list)
    for mark in _own_marks(marks, name):
        for counter in STRIP:
            if mark.delta.get(counter, 0) > 0:
                rows[counter].append((mark.t, mark.delta[counter], mark.values.get(counter)))
    order = [counter for counter in STRIP if counter in rows]
    if not order:
        return
    panel = canvas.strip(order)
    for row, counter in enumerate(order):
        ticks = _joined(rows[counter], canvas.bucket_s)
        line = {"width": 1.2, "color": f"var(--event-{counter})"}
        canvas.trace(
            panel, EVENT_LEGEND, name=STRIP[counter], x=[t for t, _, _ in ticks], y=[row] * len(ticks),
            mode="markers",
            text=[_rise(counter, rise, total) for _, rise, total in ticks], hovertemplate="%{text}<extra></extra>",
            marker={"symbol": "line-ns", "size": 10, "line": line},
            meta={"kind": "memory-events", "of": name, "rise": sum(rise for _, rise, _ in ticks)},
        )  # fmt: skip


def _own_marks(marks: list[MemoryMark], name: str) -> list[MemoryMark]:
    """Rises of memory.events.local, which counts this level alone. Where that is absent memory.events says the same
    of a container, which has nothing below it; of the pod it does not.
    """
    mine = [mark for mark in marks if mark.label == name]
    local = [mark for mark in mine if mark.local]
    return local or ([] if name in (POD_LABEL, NODE.container) else mine)


def _rise(counter: str, rise: int, total: int | None) -> str:
    return f"memory.events {counter} +{rise:,}{'' if total is None else f' (to {total:,})'}"


def _joined(ticks: list[tuple[float, int, int | None]], bucket_s: float) -> list[tuple[float, int, int | None]]:
    """Rises that fall on the same pixel, added up."""
    joined: dict[int, tuple[float, int, int | None]] = {}
    for t, rise, total in sorted(ticks, key=lambda tick: tick[0]):
        number = int(t / bucket_s)
        begin, before, _ = joined.get(number, (round(t, 6), 0, None))
        joined[number] = (begin, before + rise, total)
    return list(joined.values())


def log(study: Study) -> Iterator[Entry]:
    """The kernel's counters of kills, as they rose."""
    for owner in (*study.timelines, NODE):
        yield from _counted(study, owner, below=False if owner == NODE else None)


def _counted(study: Study, owner: Owner, *, below: bool | None = None) -> Iterator[Entry]:
    """How often `oom` and `oom_kill` rose in memory.events, at the level that counted them. `below` as in `rises`."""
    groups = rises(study, owner, "oom_group_kill", below=below)
    for name in ("oom", "oom_kill", "oom_group_kill"):
        for rise in rises(study, owner, name, below=below):
            detail = {"container": owner.label, "attempt": owner.attempt, "counter": name, "by": rise.by}
            whose = owner.label if owner.container else pod_words(study, owner.pod)
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


MEMORY = Topic("Memory, peaks", more=memory_parts, section=pod_section, log=log, panels=panels)
