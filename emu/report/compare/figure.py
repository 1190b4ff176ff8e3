"""The picture of a run with variants: cost against latency, and below it the memory of each over the same traffic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from emu.report.compare.rows import Row
from emu.report.compare.text import gib_s
from emu.report.page.canvas import MOST_POINTS, PIXELS, Figure, Trace, look, safe
from emu.report.page.downsample import keep_peaks, nice_step
from emu.study.model.study import Study
from emu.units import format_seconds

MIB = 2**20
_COLOURS = ("--anon", "--kill", "--shmem", "--swap", "--event-high", "--ok", "--muted", "--no-answer")
_DASHES = ("solid", "dash", "dot", "dashdot")
_ABOVE_PX = 330
_BELOW_PX = 230
_GAP_PX = 86
_TOP_PX = 40
_BOTTOM_PX = 54
_ROOM = 1.18
"""The axis of memory goes from zero to this much beyond the last point: a name stands there."""
_FAR_APART = 3.0
"""Times that differ by more have at least two marks at 1, 2 and 5 among them."""
_ROOM_FOR_A_NAME = 0.3
"""Left of a point that is at least so far along that axis."""


def comparison_figure(rows: list[Row], studies: dict[str, Study]) -> Figure:
    """Each variant as a point: what it held, and what clients waited; the median, with a line to the longest. Below:
    what its pods held through time.
    """
    figure = Figure()
    looks = {row.name: _look(number) for number, row in enumerate(rows)}
    waits = waits_of(rows)
    points = [row for row in rows if row.held_gib_s is not None and row.name in waits.by_name]
    labels = _labels(points)
    figure.data += [_point(row, waits, looks[row.name], labels[row.name]) for row in points]
    if not points:
        figure.missing.append("No cost against latency: no request was answered, or memory was not measured.")
    shown = {row.name: studies[row.name] for row in rows if row.name in studies}
    whole = any(len(one.pod_timelines) > 1 for one in shown.values()) and all(one.node for one in shown.values())
    lines = [_line(row, shown[row.name], looks[row.name], whole=whole) for row in rows if row.name in shown]
    figure.data += [line for line in lines if line is not None]
    if figure.data:
        figure.height_px = _TOP_PX + _ABOVE_PX + _GAP_PX + _BELOW_PX + _BOTTOM_PX
        figure.layout = _layout(points, waits, figure.height_px, whole=whole)
    return figure


@dataclass(frozen=True)
class Waits:
    """What clients waited with each variant: a median and a longest or nearly longest time, in ms."""

    what: str
    upper: str
    by_name: dict[str, tuple[float, float]]


def waits_of(rows: list[Row]) -> Waits:
    """Of the first answers after idleness; of all answers where no variant was ever idle."""
    woken = {row.name: _pair(row.woken_p50_ms, row.woken_max_ms) for row in rows}
    if any(woken.values()):
        return Waits("first answer after idleness", "longest", {name: one for name, one in woken.items() if one})
    every = {row.name: _pair(row.latency.get("p50"), row.latency.get("max")) for row in rows}
    return Waits("answer", "longest", {name: one for name, one in every.items() if one})


def _pair(median: float | None, upper: float | None) -> tuple[float, float] | None:
    return None if median is None or upper is None else (median, upper)


def _look(number: int) -> tuple[str, str]:
    return f"var({_COLOURS[number % len(_COLOURS)]})", _DASHES[number // len(_COLOURS) % len(_DASHES)]


def _point(row: Row, waits: Waits, look: tuple[str, str], label: str) -> Trace:
    held, (median, upper) = row.held_gib_s, waits.by_name[row.name]
    failed = "" if row.ok == row.sent else f", {row.ok or 0} of {row.sent} ok"
    hover = (
        f"<b>{safe(row.name)}</b>{failed}<br>{gib_s(held)} held<br>{waits.what}:<br>"
        f"median {format_seconds(median / 1e3)}, {waits.upper} {format_seconds(upper / 1e3)}"
    )
    return {
        "type": "scatter",
        "mode": "lines+markers+text",
        "name": safe(row.name),
        "x": [held, held],
        "y": [median, upper],
        "text": [f" {safe(row.name)}{failed} ", ""],
        "textposition": label,
        "textfont": {"color": look[0], "size": 13},
        "marker": {"color": look[0], "size": [12, 9], "symbol": ["circle", "triangle-up"]},
        "line": {"color": look[0], "width": 1.5, "dash": look[1]},
        "hovertemplate": f"{hover}<extra></extra>",
        "legendgroup": row.name,
        "showlegend": False,
        "xaxis": "x2",
        "yaxis": "y2",
    }


def _labels(points: list[Row]) -> dict[str, str]:
    """On which side of each point its name is: away from the others where two are near each other."""
    in_order = sorted(points, key=lambda row: row.held_gib_s or 0.0)
    most = (in_order[-1].held_gib_s or 0.0) if in_order else 0.0
    return {
        row.name: "middle left"
        if place < len(in_order) // 2 and (row.held_gib_s or 0.0) > _ROOM_FOR_A_NAME * most
        else "middle right"
        for place, row in enumerate(in_order)
    }


def _line(row: Row, study: Study, look: tuple[str, str], *, whole: bool) -> Trace | None:
    """What the pod held; with `whole` what all pods together did: they come and go, or there are several."""
    timeline = study.node if whole else next(iter(study.pod_timelines), None)
    if timeline is None or row.begin_s is None or row.end_s is None:
        return None
    begin, end, name = row.begin_s, row.end_s, row.name
    inside = [i for i, t in enumerate(timeline.t) if begin <= t <= end]
    t = [round(timeline.t[i] - begin, 6) for i in inside]
    values = [timeline.memory_current[i] for i in inside]
    bucket = nice_step((end - begin) / PIXELS) if end > begin else 0.0
    kept = keep_peaks(t, [values], bucket, MOST_POINTS // 4)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": safe(name),
        "x": [t[i] for i in kept],
        "y": [None if (value := values[i]) is None else value / MIB for i in kept],
        "line": {"color": look[0], "width": 1.6, "dash": look[1], "shape": "hv"},
        "hovertemplate": f"{safe(name)} %{{y:.1f}} MiB<extra></extra>",
        "legendgroup": name,
    }


def _layout(points: list[Row], waits: Waits, height_px: int, *, whole: bool) -> dict[str, Any]:
    inner = _ABOVE_PX + _GAP_PX + _BELOW_PX
    axis = {"gridcolor": "var(--rule)", "zeroline": False, "tickfont": {"size": 11}, "automargin": False}

    def title(text: str) -> dict[str, Any]:
        return {"text": text, "font": {"size": 12, "color": "var(--muted)"}, "standoff": 8}

    layout = look() | {
        "height": height_px,
        "margin": {"l": 84, "r": 40, "t": _TOP_PX, "b": _BOTTOM_PX, "autoexpand": False},
        "hovermode": "closest",
        "showlegend": False,
        "meta": {"legends": {"legend": "variants"}},
        "xaxis": axis | {"anchor": "y", "title": title("seconds since the load began"), "ticksuffix": " s"},
        "yaxis": axis | {
            "domain": [0, _BELOW_PX / inner], "anchor": "x", "rangemode": "tozero", "ticksuffix": " MiB",
            "title": title("memory.current of all pods" if whole else "the pod's memory.current"),
        },
    }  # fmt: skip
    if points:
        most, held = max(row.held_gib_s or 0.0 for row in points), "pods" if whole else "pod"
        layout["xaxis2"] = axis | {
            "anchor": "y2", "range": [0, _ROOM * most], "title": title(f"memory held by the {held}, GiB-seconds"),
        }  # fmt: skip
        times = [value for row in points for value in waits.by_name[row.name]]
        layout["yaxis2"] = axis | {
            "domain": [(_BELOW_PX + _GAP_PX) / inner, 1], "anchor": "x2", "type": "log",
            "range": [math.log10(min(times)) - 0.15, math.log10(max(times)) + 0.15], **_ticks(min(times), max(times)),
            "title": title(f"{waits.what}: median ●, {waits.upper} ▲"),
        }  # fmt: skip
    return layout


def _ticks(least_ms: float, most_ms: float) -> dict[str, Any]:
    """Marks at 1, 2, 5, 10 … ms, in the unit that people use; at each digit where these are too far apart."""
    powers = range(math.floor(math.log10(least_ms)) - 1, math.ceil(math.log10(most_ms)) + 2)
    factors = (1, 2, 5) if most_ms > _FAR_APART * least_ms else range(1, 10)
    marks = [factor * 10.0**power for power in powers for factor in factors]
    return {"tickvals": marks, "ticktext": [format_seconds(mark / 1e3) for mark in marks]}
