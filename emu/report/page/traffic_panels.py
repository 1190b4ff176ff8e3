"""Panels of what came in and what it cost: requests in flight, their rate and status, their latency, and io."""

from __future__ import annotations

import math
from collections import defaultdict
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
from emu.units import format_seconds

MOST_REQUESTS = 4000
"""Up to here each request has its dot."""
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


def request_panels(canvas: Canvas, study: Study, summary: dict[str, Any]) -> None:
    """Requests in flight, rate and status, latency."""
    if not study.requests:
        said = "No requests were recorded" if study.requests is None else "No requests were sent"
        canvas.missing(f"{said}, so there is no traffic to draw.")
        return
    if study.in_flight.t:
        _in_flight(canvas, study.in_flight)
    _rate(canvas, study.requests)
    _latency(canvas, study.requests, _success(summary))


def _in_flight(canvas: Canvas, curve: InFlight) -> None:
    rows = keep_peaks(curve.t, [curve.n], canvas.bucket_s, MOST_POINTS)
    peak = max(curve.n)
    ticks: dict[str, Any] = {"dtick": 1} if peak <= 4 else {"nticks": 4}
    axis = {"range": [0, max(1, peak) * 1.14], "tickformat": ",d", **ticks}
    panel = canvas.panel(f"<b>requests in flight</b> · at most {peak:,}", 84, **axis)
    canvas.trace(
        panel, name="in flight", x=[*(round(curve.t[row], 6) for row in rows), canvas.end_s],
        y=[*(curve.n[row] for row in rows), curve.n[-1]], mode="lines", fill="tozeroy",
        line={"width": 1.2, "shape": "hv", "color": "var(--traffic)"}, fillcolor="var(--traffic-fill)",
        hovertemplate="%{y:,} in flight<extra></extra>", meta={"kind": "in-flight"},
    )  # fmt: skip


def _rate(canvas: Canvas, requests: list[Request]) -> None:
    """Ends by kind as stacked bars, and what was sent as a line."""
    step = nice_step(canvas.end_s / 150)
    count = math.ceil(canvas.end_s / step)
    ended: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    sent = [0] * count
    for request in requests:
        sent[_bucket(request.sent_s, step, count)] += 1
        ended[_kind(request)][_bucket(_end(request, canvas.end_s), step, count)] += 1
    top = max([sum(column) for column in zip(*ended.values(), strict=True)] + sent) / step
    title = f"<b>requests per second</b> by status, in steps of {_plain(step)}"
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


def _latency(canvas: Canvas, requests: list[Request], known: dict[str, Any]) -> None:
    """A dot a request, where it ended: what broke off together stands together, under what broke it."""
    dots: dict[str, list[Dot]] = defaultdict(list)
    for request in requests:
        end = _end(request, canvas.end_s)
        dots[_kind(request)].append((end, max(end - request.begin_s, 1e-6) * 1e3, request))
    title = f"<b>latency</b>, a dot for each request where it ended{_percentiles(known)}"
    axis = _log_axis([value for column in dots.values() for _, value, _ in column])
    panel = canvas.panel(title, 130, **axis)
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
        canvas.reduced("requests", drawn, len(requests))


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


def _log_axis(values_ms: list[float]) -> dict[str, Any]:
    """From the smallest to the largest, at least one power of ten; ticks at those, and at 2 and 5 where few fit."""
    low, high = (math.log10(max(value, 1e-2)) for value in (min(values_ms), max(values_ms)))
    low, high = min(low, high - 1) - 0.15, high + 0.2
    factors = (1, 2, 5) if high - low < 1.7 else (1,)
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
    """How many processors each container, and the pod, kept busy."""
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
        colour = f"var(--cpu-{kind if kind in (QUEUE_PROXY, APP, POD_LABEL) else 'other'})"
        look = {"width": 1.0 if name == POD_LABEL else 1.7, "shape": "hv", "color": colour}
        canvas.trace(
            panel, CPU_LEGEND, name=safe(name), x=[round(i * step, 6) for i in range(len(values) + 1)],
            y=[round(value, 6) for value in [*values, values[-1]]], mode="lines", meta={"kind": "cpu", "of": name},
            line={**look, "dash": "dot" if name == POD_LABEL else "solid"},
            hovertemplate=f"{safe(name)}: %{{y:,.3~r}} processors<extra></extra>",
        )  # fmt: skip


# -- io --------------------------------------------------------------------------------------------------------


def io_panel(canvas: Canvas, study: Study) -> None:
    """Bytes per second to and from disk and swap, all of the pod together."""
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
    title = f"<b>io</b> of the pod with disk and swap · means over {_plain(step)}"
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
