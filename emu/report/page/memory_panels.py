"""A panel for each container and one for the pod: what the memory is, its limits, and what happened to it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from emu.record.events import POD_LABEL, SCALE_DOWN
from emu.record.samples import NODE
from emu.report.page.canvas import EVENT_LEGEND, LEGEND, MOST_POINTS, Canvas, Label, Panel, safe
from emu.report.page.downsample import keep_peaks
from emu.report.page.scale import ByteScale
from emu.study.model.instances import Instance, container_of
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.model.timeline import Column, MemoryMark, Timeline
from emu.study.pods import Lane, lanes
from emu.units import format_bytes, format_seconds

MOST_LANES = 8
"""So many pods that are there at once are drawn."""
_SMALLER, _SMALLEST = {0: 1.0, 1: 1.0, 2: 0.8, 3: 0.6}, 0.5
"""How high the panels of each are, by how many there are."""
STACK = (
    ("anon", "anon", "var(--anon)"),
    ("shmem", "shmem", "var(--shmem)"),
    ("kernel", "kernel", "var(--kernel)"),
    ("sock", "sockets", "var(--sock)"),
    ("page_cache", "page cache", "var(--cache)"),
)
"""Parts of memory.current from the bottom up: what the kernel can drop lies on top."""
SWAP = ("swap", "swap: on top, as it is not part of memory.current", "var(--swap)")
STRIP = {
    "high": "high: above memory.high, so it was throttled",
    "max": "max: the limit was met, and the kernel looked for memory to take back",
    "oom": "oom: there was none to take back",
}
"""The counters of memory.events that have a row of ticks, and what each means."""


def memory_panels(canvas: Canvas, study: Study, summary: dict[str, Any]) -> None:
    """All of them: of each pod the containers in order of start, then the pod. Pods of a workload that came one after
    another share their panels.
    """
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
            _lane(canvas, lane, summary, _SMALLER.get(len(drawn), _SMALLEST))
    _node(canvas, study, summary)


def _lane(canvas: Canvas, lane: Lane, summary: dict[str, Any], share: float) -> None:
    study, alone = lane.study, not lane.name
    for name in dict.fromkeys([*study.containers, *(kill.container for kill in study.kills)]):
        known = (summary.get("containers") or {}).get(name) if alone else _together(summary, lane, container_of(name))
        title = f"<b>{safe(name)}</b>" if alone or "/" in name else f"<b>{safe(name)}</b> of {safe(lane.name)}"
        _container(canvas, study, name, title, known or {}, share, "scaled to zero" if alone else "scaled down")
    known = summary.get("pod") if alone else _together(summary, lane, None)
    whose = "<b>pod</b>" if alone else f"<b>pod {safe(lane.name)}</b>"
    _pod(canvas, study, whose, known or {}, share)


def _together(summary: dict[str, Any], lane: Lane, container: str | None) -> dict[str, Any]:
    """What a title says of several pods, or of a container in each of them."""
    pods = [(summary.get("pods") or {}).get(pod) or {} for pod in lane.pods]
    known = pods if container is None else [(pod.get("containers") or {}).get(container) or {} for pod in pods]
    peaks = [one["memory_peak_bytes"] for one in known if one.get("memory_peak_bytes") is not None]
    counts = {name: sum(one.get(name) or 0 for one in known) for name in ("oom_kills", "restarts")}
    return {"memory_peak_bytes": max(peaks, default=None), **counts}


def _container(
    canvas: Canvas, study: Study, name: str, title: str, known: dict[str, Any], share: float, gone: str
) -> None:
    lines = [line for line in study.timelines_of(name) if line.t]
    instances = study.instances_of(name)
    limits = _limits(instances, lines)
    scale = _scale(lines, limits)
    panel = canvas.panel(_title(title, known), round(180 * share), **scale.axis(5 if share == 1 else 3))
    _not_running(canvas, panel, study, instances, gone)
    _frozen(canvas, panel, study, name)
    if lines:
        _stack(canvas, panel, lines, scale)
    else:
        canvas.words(panel, canvas.end_s / 2, 0.5, f"no samples of {safe(name)} were recorded")
    _limit_lines(canvas, panel, limits, scale)
    _restarts(canvas, panel, instances, scale)
    _exits(canvas, panel, instances, study.kills_of(name), scale)
    _kills(canvas, panel, study.kills_of(name), instances, scale)
    _events(canvas, study.memory_marks, name)


def _pod(canvas: Canvas, study: Study, whose: str, known: dict[str, Any], share: float) -> None:
    lines = [line for line in study.pod_timelines if line.t]
    if not lines:
        return
    limits = _limits([], lines)
    scale = _scale(lines, limits)
    title = _title(f"{whose}, its containers and what they left behind", known)
    panel = canvas.panel(title, round(120 * share), **scale.axis(4 if share == 1 else 3))
    _stack(canvas, panel, lines, scale)
    _limit_lines(canvas, panel, limits, scale)
    _events(canvas, study.memory_marks, POD_LABEL)


def _node(canvas: Canvas, study: Study, summary: dict[str, Any]) -> None:
    """One panel for the cgroup that all pods are in, with a cross for each kill because it was full."""
    if study.node is None or not study.node.t:
        return
    lines = [study.node]
    limits = _limits([], lines)
    scale = _scale(lines, limits)
    title = _title("<b>node</b>, all pods together", summary.get("node") or {})
    panel = canvas.panel(title, 120, **scale.axis(4))
    _stack(canvas, panel, lines, scale)
    _limit_lines(canvas, panel, limits, scale)
    kills = [kill for kill in study.kills if kill.level == NODE.container]
    _kills(canvas, panel, kills, [], scale)
    _events(canvas, study.node_marks, NODE.container)


def _title(name: str, known: dict[str, Any]) -> str:
    parts = [name]
    if known.get("memory_peak_bytes") is not None:
        parts.append(f"peak {format_bytes(known['memory_peak_bytes'])}")
    for key, word in (("oom_kills", "OOM kill"), ("restarts", "restart")):
        if known.get(key):
            parts.append(f"{known[key]} {word}{'' if known[key] == 1 else 's'}")
    return " · ".join(parts)


# -- the stack -------------------------------------------------------------------------------------------------


def _stack(canvas: Canvas, panel: Panel, lines: list[Timeline], scale: ByteScale) -> None:
    """Areas that fall to nothing between two instances, and memory.current as a line that is broken there."""
    drawn = [_thinned(canvas, line) for line in lines]
    x = [t for part in drawn for t in (part.t[0], *part.t, part.t[-1])]
    for column, name, colour in (*STACK, SWAP):
        parts: list[Column] = [getattr(line, column) for line in drawn]
        known = [value for part in parts for value in part if value]
        if not any(known):
            continue
        y = [v for part in parts for v in (0.0, *(scale.down(value or 0) for value in part), 0.0)]
        look: dict[str, Any] = {"fillcolor": colour}
        if column == "swap":
            look = {"fillpattern": {"shape": "/", "fgcolor": colour, "bgcolor": "var(--swap-ground)", "size": 6}}
        meta = {"kind": "stack", "of": lines[0].label, "column": column}
        canvas.trace(
            panel, LEGEND, name=name, x=x, y=y, stackgroup=panel.axis, mode="lines", hoverinfo="skip",
            line={"width": 1, "color": "var(--paper)"}, meta=meta, **look,
        )  # fmt: skip
    _current(canvas, panel, drawn, scale)


def _current(canvas: Canvas, panel: Panel, drawn: list[Timeline], scale: ByteScale) -> None:
    """memory.current. Its hover shows every part; page/page.js words it from `readout`."""

    def column(name: str) -> list[float | None]:
        return [v for part in drawn for v in (*map(scale.down, getattr(part, name)), None)]

    parts = [("swap", "swap"), ("page_cache", "page cache"), ("kernel", "kernel"), ("sock", "sockets")]
    parts += [("shmem", "shmem"), ("anon", "anon"), ("working_set", "working set")]
    columns = [[said, column(name)] for name, said in parts]
    readout = [[said, values] for said, values in columns if any(value for value in values)]
    meta = {"kind": "current", "of": drawn[0].label, "factor": scale.factor, "readout": readout}
    canvas.trace(
        panel, LEGEND, name="memory.current", x=[t for part in drawn for t in (*part.t, part.t[-1])],
        y=column("memory_current"), mode="lines", connectgaps=False, line={"width": 1.2, "color": "var(--ink)"},
        meta=meta,
    )  # fmt: skip


def _thinned(canvas: Canvas, line: Timeline) -> Timeline:
    """The timeline with the rows that are drawn; absent columns are all None."""
    peaked = ["memory_current", *(column for column, _, _ in STACK), "swap"]
    names = [*peaked, "working_set"]
    columns = {name: getattr(line, name) or [None] * len(line.t) for name in names}
    rows = keep_peaks(line.t, [columns[name] for name in peaked], canvas.bucket_s, MOST_POINTS)
    if len(line.t) > MOST_POINTS:
        canvas.reduced(f"samples of {line.label}", len(rows), len(line.t))
    thinned = Timeline(line.owner, t=[round(line.t[row], 6) for row in rows])
    for name, values in columns.items():
        setattr(thinned, name, [values[row] for row in rows])
    return thinned


def _scale(lines: list[Timeline], limits: list[_Limit]) -> ByteScale:
    """High enough for the stack with its swap, for memory.current, and for limits that are near."""
    tops = [value for line in lines for value in line.memory_current]
    for line in lines:
        columns = [column for name, _, _ in (*STACK, SWAP) if (column := getattr(line, name))]
        tops += [sum(value or 0 for value in row) for row in zip(*columns, strict=True)]
    return ByteScale.over(tops, [value for limit in limits for value in limit.values])


# -- limits ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Limit:
    """A limit through time: `values[i]` bytes from `t[i]` on; None is no limit then."""

    name: str
    t: list[float]
    values: Column


def _limits(instances: list[Instance], lines: list[Timeline]) -> list[_Limit]:
    """memory.max as it was read, or else as the container was made; memory.high as it was made."""
    maxima = [pair for line in lines for pair in zip(line.t, line.limit, strict=False)]
    if not any(value is not None for _, value in maxima):
        maxima = [(entry.created_s or 0.0, entry.memory_max) for entry in instances]
    high = [(entry.created_s or 0.0, entry.memory_high) for entry in instances]
    found = [_limit("memory.max", maxima), _limit("memory.high", high)]
    return [limit for limit in found if any(value is not None for value in limit.values)]


def _limit(name: str, pairs: list[tuple[float, int | None]]) -> _Limit:
    steps: list[tuple[float, int | None]] = []
    for t, value in pairs:
        if not steps or steps[-1][1] != value:
            steps.append((round(t, 6) if steps else 0.0, value))
    return _Limit(name, [t for t, _ in steps], [value for _, value in steps])


def _limit_lines(canvas: Canvas, panel: Panel, limits: list[_Limit], scale: ByteScale) -> None:
    labels = []
    for limit in limits:
        last = next(value for value in reversed(limit.values) if value is not None)
        said = f"{limit.name}<br>{format_bytes(last)}"
        if last / scale.factor > scale.top:
            labels.append(Label(scale.top, f"{said},<br>above this"))
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        for begin, end, value in zip(limit.t, [*limit.t[1:], canvas.end_s], limit.values, strict=True):
            x += [begin, end]  # both ends of each step: a lone point beside a gap would draw nothing
            y += [scale.down(value)] * 2
        dash = "dash" if limit.name == "memory.max" else "dot"
        canvas.trace(
            panel, name=f"{limit.name} {format_bytes(last)}", x=x, y=y,
            mode="lines", line={"width": 1.6, "color": "var(--limit)", "dash": dash},
            hoverinfo="skip", meta={"kind": "limit", "bytes": last},
        )  # fmt: skip
        labels.append(Label(last / scale.factor, said))
    canvas.margin_labels(panel, labels, scale.top)


# -- what happened ---------------------------------------------------------------------------------------------


def _not_running(canvas: Canvas, panel: Panel, study: Study, instances: list[Instance], gone: str) -> None:
    """A pale band from an exit to the next start, with its length and why: the kubelet's back-off, or that the pod
    was `gone` (of which the length is the pod's, and shown elsewhere).
    """
    for one, after in itertools.zip_longest(instances, instances[1:]):
        scaled = (one.stop is not None and one.stop.why == SCALE_DOWN) or (after is not None and after.pod != one.pod)
        if one.exited_s is None or (after is None and not scaled):
            continue
        until = canvas.end_s if after is None else after.started_s
        if until is None or until <= one.exited_s:
            continue
        canvas.band(panel, one.exited_s, until, "var(--gap)")
        if canvas.short_of(0.09, one.exited_s, until):
            continue
        waited = any(
            (b.subject, b.pod) == (one.container, one.pod) and one.exited_s - 1 < b.t < until for b in study.back_offs
        )
        length = format_seconds(until - one.exited_s)
        said = gone if scaled else f"{'back-off' if waited else 'not running'}<br>{length}"
        canvas.words(panel, (one.exited_s + until) / 2, 0.5, said)


def _frozen(canvas: Canvas, panel: Panel, study: Study, name: str) -> None:
    for freeze in study.freezes:
        if freeze.container == name:
            until = canvas.end_s if freeze.thawed_at_s is None else freeze.thawed_at_s
            canvas.band(panel, freeze.frozen_at_s, until, "var(--frozen)")
            if not canvas.short_of(0.06, freeze.frozen_at_s, until):
                canvas.words(panel, (freeze.frozen_at_s + until) / 2, 0.9, "frozen")


def _marks(
    canvas: Canvas, panel: Panel, name: str, at: list[tuple[float, str]], y: float, marker: dict[str, Any], kind: str
) -> None:
    if at:
        canvas.trace(
            panel, LEGEND, name=name, x=[t for t, _ in at], y=[y] * len(at), text=[said for _, said in at],
            mode="markers", marker=marker, cliponaxis=False, hovertemplate="%{text}<extra></extra>",
            meta={"kind": kind},
        )  # fmt: skip


def _restarts(canvas: Canvas, panel: Panel, instances: list[Instance], scale: ByteScale) -> None:
    at = [
        (entry.started_s, f"restart {entry.attempt} of {safe(entry.container)}, {_ready(entry)}")
        for before, entry in itertools.pairwise(instances)
        if entry.started_s is not None and not before.asked and before.pod == entry.pod
    ]
    outline = {"width": 1, "color": "var(--paper)"}
    marker = {"symbol": "triangle-up", "size": 10, "color": "var(--ink)", "line": outline}
    _marks(canvas, panel, "restart", at, scale.top * 0.035, marker, "restart")


def _ready(entry: Instance) -> str:
    return "never ready" if entry.ready_s is None else f"ready at {entry.ready_s:.3f} s"


def _exits(
    canvas: Canvas, panel: Panel, instances: list[Instance], kills: list[OomVerdict], scale: ByteScale
) -> None:
    at = [
        (t, f"exit {entry.exit_code}, {safe(entry.reason or 'no reason known')}")
        for t, entry in _other_ends(instances, kills)
    ]
    marker = {"symbol": "diamond-open", "size": 10, "color": "var(--ink)", "line": {"width": 1.6}}
    _marks(canvas, panel, "exit without OOM", at, scale.top * 0.93, marker, "exit")


def _other_ends(instances: list[Instance], kills: list[OomVerdict]) -> list[tuple[float, Instance]]:
    """Ends that nobody asked for and that were no OOM kill."""
    killed = {kill.owner for kill in kills if not kill.child}
    return [
        (entry.exited_s, entry)
        for entry in instances
        if entry.exited_s is not None and not entry.asked and entry.owner not in killed
    ]


def _kills(
    canvas: Canvas, panel: Panel, kills: list[OomVerdict], instances: list[Instance], scale: ByteScale
) -> None:
    """A cross for each kill, a line down through all panels, and the victim's name where there is room."""
    outline = {"width": 1, "color": "var(--paper)"}
    marker = {"symbol": "x", "size": 11, "color": "var(--kill)", "line": outline}
    at = [(kill.time_s, _kill_text(kill)) for kill in kills]
    _marks(canvas, panel, "OOM kill", at, scale.top * 0.93, marker, "oom-kill")
    taken = [kill.time_s for kill in kills] + [t for t, _ in _other_ends(instances, kills)]
    for kill in kills:
        canvas.line(kill.time_s, "var(--kill)")
        said = f"OOM kill: {safe(kill.victim or 'victim not known')}"
        width = canvas.width_s(said)
        for side, begin, end in (
            ("left", kill.time_s, kill.time_s + width),
            ("right", kill.time_s - width, kill.time_s),
        ):
            crowded = any(begin < t < end for t in taken)
            if not crowded and begin >= 0 and end <= canvas.end_s:
                shift = 8 if side == "left" else -8
                canvas.words(panel, kill.time_s, 0.93, said, colour="var(--kill)", xanchor=side, xshift=shift)
                taken += [begin + width / 2]
                break


def _kill_text(kill: OomVerdict) -> str:
    pid = "" if kill.pid is None else f" (pid {kill.pid})"
    anon = "" if kill.anon_rss_bytes is None else f", anon-rss {format_bytes(kill.anon_rss_bytes)}"
    return f"<b>OOM kill</b>: {safe(kill.victim or 'unknown')}{pid}, limit of the {safe(kill.level)} hit{anon}"


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
