"""Panels of what came in and what it cost: requests in flight, their rate and status, their latency, and io."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from emu.messages import APP, QUEUE_PROXY
from emu.record.events import POD_LABEL
from emu.report.page.canvas import CPU_LEGEND, IO_LEGEND, MOST_POINTS, REQUEST_LEGEND, Canvas, safe
from emu.report.page.downsample import keep_peaks, nice_step, rates
from emu.report.page.scale import ByteScale
from emu.report.words import latency_cells
from emu.study.measures import SHARES
from emu.study.model.instances import container_of
from emu.study.model.requests import OK, InFlight, Request
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import lanes, workload, workloads
from emu.study.requests import count_in_flight
from emu.units import format_seconds

MOST_REQUESTS = 4000
"""Up to here each request has its dot."""
MOST_PARTS = 6
"""So many pods of a workload that are there at once have panels of their requests."""
STATUS = (
    ("2xx", "2xx", "var(--ok)", "circle"),
    ("3xx", "3xx", "var(--redirect)", "square"),
    ("4xx", "4xx", "var(--client-error)", "triangle-up"),
    ("5xx", "5xx", "var(--server-error)", "diamond"),
    ("error", "no whole answer", "var(--no-answer)", "x-thin"),
)
"""Kinds of answers: their key, name, colour, and shape, for those who do not see the colour."""

Dot = tuple[float, float, Request]
"""When a request ended, its latency in ms, and itself."""


@dataclass(frozen=True)
class _Traffic:
    """Requests that share panels."""

    requests: list[Request]
    curve: InFlight
    known: dict[str, Any]
    """`latency_ms_by_outcome` of those that were answered with success; empty where no figures are of just these."""
    whose: str = ""
    """Ends the titles; empty where all requests are meant."""
    part: bool = False
    """Of one pod of several: its panels are small."""


def request_panels(canvas: Canvas, study: Study, summary: dict[str, Any]) -> None:
    """Requests in flight, rate and status, latency: of each workload by itself, and below that of each of its
    pods.
    """
    if not study.requests:
        said = "No requests were recorded" if study.requests is None else "No requests were sent"
        canvas.missing(f"{said}, so there is no traffic to draw.")
        return
    for traffic in _each(canvas, study, summary):
        if traffic.curve.t:
            _in_flight(canvas, traffic)
        if not traffic.part:
            _rate(canvas, traffic)
        _latency(canvas, traffic)


def _each(canvas: Canvas, study: Study, summary: dict[str, Any]) -> Iterator[_Traffic]:
    requests = study.requests or []
    if not study.in_flight_by_pod:
        yield _Traffic(requests, study.in_flight, _success(summary))
        return
    asked = _by_workload(study, requests)
    for load, mine in asked.items():
        pods = [one for one in workloads(study).get(load, []) if one in study.in_flight_by_pod]
        if len(asked) == 1:
            yield _Traffic(mine, study.in_flight, _success(summary))
        else:
            known = _success(summary["pods"].get(pods[0]) or {}) if len(pods) == 1 else {}
            yield _Traffic(
                mine, count_in_flight(mine), known, f" to {safe(load)}" if load else " that reached no pod"
            )
        yield from _parts(canvas, study, summary, pods)


def _by_workload(study: Study, requests: list[Request]) -> dict[str, list[Request]]:
    """What each was asked, in the order of the pods; one that reached no pod was asked of whom its phase asks."""
    found: dict[str, list[Request]] = {load: [] for load in workloads(study)}
    asked = {phase.name: phase.pod for phase in study.phases}
    alone = next(iter(found)) if len(found) == 1 else ""
    for request in requests:
        load = workload(request.pod) if request.pod else asked.get(request.phase) or alone
        found.setdefault(load if load in found else alone, []).append(request)
    return {load: mine for load, mine in found.items() if mine}


def _parts(canvas: Canvas, study: Study, summary: dict[str, Any], pods: list[str]) -> Iterator[_Traffic]:
    """Of each pod of a workload that has several."""
    mine = [lane for lane in lanes(study) if set(lane.pods) & set(pods)]
    if len(mine) < 2:
        return
    if len(mine) > MOST_PARTS:
        canvas.missing(
            f"Of the requests to up to {len(mine)} pods at a time those to {MOST_PARTS} are drawn by themselves; "
            "summary.json has the figures of each."
        )
    for lane in mine[:MOST_PARTS]:
        requests = [one for one in study.requests or [] if one.pod in lane.pods]
        known = _success(summary["pods"].get(lane.pods[0]) or {}) if len(lane.pods) == 1 else {}
        curve = count_in_flight(requests, in_pod=True)
        yield _Traffic(requests, curve, known, f" to pod {safe(lane.name)}", part=True)


def _in_flight(canvas: Canvas, traffic: _Traffic) -> None:
    curve = traffic.curve
    rows = keep_peaks(curve.t, [curve.n], canvas.bucket_s, MOST_POINTS)
    peak = max(curve.n)
    few = 3 if traffic.part else 4
    ticks: dict[str, Any] = {"dtick": 1} if peak <= few else {"nticks": few}
    axis = {"range": [0, max(1, peak) * 1.14], "tickformat": ",d", **ticks}
    title = f"<b>requests in flight</b>{traffic.whose} · at most {peak:,}"
    panel = canvas.panel(title, 50 if traffic.part else 84, **axis)
    canvas.trace(
        panel, name="in flight", x=[*(round(curve.t[row], 6) for row in rows), canvas.end_s],
        y=[*(curve.n[row] for row in rows), curve.n[-1]], mode="lines", fill="tozeroy",
        line={"width": 1.2, "shape": "hv", "color": "var(--traffic)"}, fillcolor="var(--traffic-fill)",
        hovertemplate="%{y:,} in flight<extra></extra>", meta={"kind": "in-flight"},
    )  # fmt: skip


def _rate(canvas: Canvas, traffic: _Traffic) -> None:
    """Ends by kind as stacked bars, and what was sent as a line."""
    requests = traffic.requests
    step = nice_step(canvas.end_s / 150)
    count = math.ceil(canvas.end_s / step)
    ended: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    sent = [0] * count
    for request in requests:
        sent[_bucket(request.sent_s, step, count)] += 1
        ended[_kind(request)][_bucket(_end(request, canvas.end_s), step, count)] += 1
    top = max([sum(column) for column in zip(*ended.values(), strict=True)] + sent) / step
    title = f"<b>requests per second</b>{traffic.whose} by status, in steps of {_plain(step)}"
    axis = {"range": [0, top * 1.14], "nticks": 4, "ticksuffix": "/s", "tickformat": ",~g"}
    panel = canvas.panel(title, 110, **axis)
    middle = [round((i + 0.5) * step, 6) for i in range(count)]
    for kind, name, colour, _ in STATUS:
        if kind in ended:
            canvas.trace(
                panel, REQUEST_LEGEND, type="bar", name=name, x=middle, y=[n / step for n in ended[kind]],
                width=step * 0.94, marker=_bar(kind, colour, ended[kind]), customdata=ended[kind],
                hovertemplate=f"{name}: %{{customdata:,}}, %{{y:,.4~r}}/s<extra></extra>",
                meta={"kind": "rate", "of": kind},
            )  # fmt: skip
    canvas.trace(
        panel, REQUEST_LEGEND, name="sent", x=[round(i * step, 6) for i in range(count + 1)],
        y=[*(n / step for n in sent), sent[-1] / step], mode="lines", meta={"kind": "sent"},
        line={"width": 1.2, "color": "var(--ink)", "shape": "hv"}, hovertemplate="sent: %{y:,.4~r}/s<extra></extra>",
    )  # fmt: skip


def _bar(kind: str, colour: str, counts: list[int]) -> dict[str, Any]:
    """Neighbours differ by brightness; where that is not enough, one of them is hatched."""
    if kind not in ("4xx", "error"):
        return {"color": colour, "line": {"width": 0}}
    hatch = {"shape": "/" if kind == "4xx" else "x", "fgcolor": colour, "bgcolor": "var(--paper)", "size": 4}
    # Outlined, as a bar may be narrower than its hatches are apart.
    outline = {"width": [1 if count else 0 for count in counts], "color": colour}
    return {"color": colour, "line": outline, "pattern": {**hatch, "fillmode": "overlay"}}


def _latency(canvas: Canvas, traffic: _Traffic) -> None:
    """A dot a request, where it ended: what broke off together stands together, under what broke it."""
    requests, known = traffic.requests, traffic.known
    dots: dict[str, list[Dot]] = defaultdict(list)
    for request in requests:
        end = _end(request, canvas.end_s)
        dots[_kind(request)].append((end, max(end - request.begin_s, 1e-6) * 1e3, request))
    whose = f" of requests{traffic.whose}" if traffic.whose else ""
    dot = "" if traffic.part else ", a dot for each request where it ended"
    title = f"<b>latency</b>{whose}{dot}{_percentiles(known)}"
    axis = _log_axis([value for column in dots.values() for _, value, _ in column], few=traffic.part)
    panel = canvas.panel(title, 70 if traffic.part else 130, **axis)
    drawn = 0
    for kind, name, colour, symbol in STATUS:
        shown = _shown(sorted(dots[kind], key=lambda dot: dot[0]), canvas, len(requests))
        drawn += len(shown)
        if not shown:
            continue
        thin = symbol == "x-thin"
        marker = {"symbol": symbol, "size": 6 if thin else 4.5, "color": colour, "opacity": 0.85}
        canvas.trace(
            panel, REQUEST_LEGEND, name=name, x=[round(t, 6) for t, _, _ in shown],
            y=[round(value, 4) for _, value, _ in shown], text=[_request_text(request) for _, _, request in shown],
            mode="markers", marker={**marker, "line": {"width": 1.4 if thin else 0, "color": colour}},
            hovertemplate="%{y:,.4~r} ms, %{text}<extra></extra>", meta={"kind": "latency", "of": kind},
        )  # fmt: skip
        canvas.figure.data[-1]["showlegend"] = False  # the bars have the name
    if drawn < len(requests):
        canvas.reduced(f"requests{traffic.whose}", drawn, len(requests))


def _kind(request: Request) -> str:
    if request.error is not None or request.status is None or not 200 <= request.status < 600:
        return "error"
    return f"{request.status // 100}xx"


def _end(request: Request, run_end_s: float) -> float:
    return run_end_s if request.done_s is None else request.done_s


def _bucket(t: float, step: float, count: int) -> int:
    return min(max(int(t / step), 0), count - 1)


def _shown(dots: list[Dot], canvas: Canvas, requests: int) -> list[Dot]:
    if requests <= MOST_REQUESTS:
        return dots
    rows = keep_peaks([t for t, _, _ in dots], [[value for _, value, _ in dots]], canvas.bucket_s, 0)
    return [dots[row] for row in rows]


def _log_axis(values_ms: list[float], *, few: bool = False) -> dict[str, Any]:
    """From the smallest to the largest, at least one power of ten; ticks at those, and at 2 and 5 where few powers
    fit, unless there is room for `few` ticks.
    """
    low, high = (math.log10(max(value, 1e-2)) for value in (min(values_ms), max(values_ms)))
    low, high = min(low, high - 1) - 0.15, high + 0.2
    factors = (1, 2, 5) if high - low < 1.7 and not few else (1,)
    every = [factor * 10.0**power for power in range(-3, 8) for factor in factors]
    ticks = [value for value in every if low <= math.log10(value) <= high]
    names = [format_seconds(value / 1e3).replace(".0 ", " ") for value in ticks]
    return {"type": "log", "range": [low, high], "tickvals": ticks, "ticktext": names}


def _success(summary: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = ((summary.get("requests") or {}).get("latency_ms_by_outcome") or {}).get(OK) or {}
    return found


def _percentiles(known: dict[str, Any]) -> str:
    """Of what was answered with success."""
    cells = zip(SHARES, latency_cells(known), strict=True)
    said = [f"{name} {cell}" for name, cell in cells if cell is not None and name != "p90"]
    return f" · {OK} ({known['n']:,}): {', '.join(said)}" if said else ""


def _request_text(request: Request) -> str:
    parts = [str(part) for part in (request.status, request.error) if part is not None]
    parts += [request.reason.replace("-", " ")] if request.reason else []
    return safe(f"{', '.join(parts) or 'unanswered'} (request {request.id}, {request.phase})")


def _plain(step: float) -> str:
    return f"{step:g} s" if step >= 1 else format_seconds(step)


# -- cpu -------------------------------------------------------------------------------------------------------


def cpu_panel(canvas: Canvas, study: Study) -> None:
    """How many processors each container, and the pod or all pods together, kept busy."""
    interval = study.recorder.interval_s if study.recorder else 0.05
    step = nice_step(max(canvas.end_s / 300, 2 * interval))
    used: dict[str, list[float]] = {}
    for name in (*study.containers, POD_LABEL):
        for line in study.timelines_of(name):
            if not any(line.cpu_usec):
                continue
            more = [usec / 1e6 for usec in rates(line.t, line.cpu_usec, step, canvas.end_s)]
            used[name] = [a + b for a, b in zip(used.get(name, [0.0] * len(more)), more, strict=True)]
    if not used:
        if study.timelines:
            canvas.missing("No CPU time was recorded, so there is none to draw.")
        return
    top = max(max(values) for values in used.values()) or 1.0
    title = f"<b>cpu</b> · processors in use, means over {_plain(step)}"
    panel = canvas.panel(title, 90, range=[0, top * 1.14], nticks=4, tickformat=",~g")
    for name, values in used.items():
        kind = container_of(name)
        label = "all pods" if name == POD_LABEL and len(study.pods) > 1 else safe(name)
        colour = f"var(--cpu-{kind if kind in (QUEUE_PROXY, APP, POD_LABEL) else 'other'})"
        look = {"width": 1.0 if name == POD_LABEL else 1.7, "shape": "hv", "color": colour}
        canvas.trace(
            panel, CPU_LEGEND, name=label, x=[round(i * step, 6) for i in range(len(values) + 1)],
            y=[round(value, 6) for value in [*values, values[-1]]], mode="lines", meta={"kind": "cpu", "of": name},
            line={**look, "dash": "dot" if name == POD_LABEL else "solid"},
            hovertemplate=f"{label}: %{{y:,.3~r}} processors<extra></extra>",
        )  # fmt: skip


# -- io --------------------------------------------------------------------------------------------------------


def io_panel(canvas: Canvas, study: Study) -> None:
    """Bytes per second to and from disk and swap, all of the pod or of all pods together."""
    lines = _io_lines(study)
    if not lines:
        if study.timelines:
            canvas.missing("io.stat could not be read, so bytes read and written are not known.")
        return
    interval = study.recorder.interval_s if study.recorder else 0.05
    step = nice_step(max(canvas.end_s / 300, 2 * interval))
    moved = _moved(study, lines, step, canvas.end_s)
    if not moved:
        canvas.missing("No byte went to or from a disk or a swap device: there is no io to draw.")
        return
    scale = ByteScale.over(max(values) for values in moved.values())
    whose = "the pod" if len(study.pods) < 2 else "all pods"
    title = f"<b>io</b> of {whose} with disk and swap · means over {_plain(step)}"
    panel = canvas.panel(title, 110, **scale.axis(4, "/s"))
    for name, values in sorted(moved.items()):
        look = {"color": f"var(--io-{name.replace(' ', '-')})", "dash": "solid" if "read" in name else "dot"}
        canvas.trace(
            panel, IO_LEGEND, name=name, x=[round(i * step, 6) for i in range(len(values) + 1)],
            y=[scale.down(value) for value in [*values, values[-1]]], mode="lines", meta={"kind": "io", "of": name},
            line={"width": 1.7, "shape": "hv", **look},
            hovertemplate=f"{name}: %{{y:,.4~r}} {scale.unit}/s<extra></extra>",
        )  # fmt: skip


def _io_lines(study: Study) -> list[Timeline]:
    """Each pod's own counters, which know of all its containers; else those of the containers."""
    known = {line.owner for line in study.pod_timelines if line.has_io}
    return [
        line
        for owner, line in study.timelines.items()
        if line.has_io and (owner in known or owner.whole_pod not in known)
    ]


def _moved(study: Study, lines: list[Timeline], step: float, end_s: float) -> dict[str, list[float]]:
    """Bytes per second in each step, by `disk read`, `swap write` and so on; only what moved at all."""
    sums: dict[str, list[float]] = {}
    for line in lines:
        for number, io in line.io.items():
            device = study.machine.devices.get(number)
            kind = "swap" if device is not None and device.is_swap else "disk"
            for way, column in (("read", io.read_bytes), ("write", io.write_bytes)):
                more = rates(line.t, column, step, end_s)
                had = sums.get(f"{kind} {way}", [0.0] * len(more))
                sums[f"{kind} {way}"] = [a + b for a, b in zip(had, more, strict=True)]
    return {name: values for name, values in sums.items() if any(values)}
