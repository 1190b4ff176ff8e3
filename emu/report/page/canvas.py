"""Panels under each other on one time axis, as plain data for plotly.js: a panel asks for room, then draws.

Positions are pixels from the upper edge until `Canvas.finish` turns them into plotly's fractions. Colours are names
of CSS variables (`var(--anon)`), put in by page/page.js: light, dark and print differ. Text of other origin must pass
`safe`, as plotly reads a few tags, links among them.
"""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, field
from typing import Any

from emu.machine.output import printable
from emu.report.page.tree import Tree
from emu.units import format_seconds

Trace = dict[str, Any]

PIXELS = 600
"""Buckets of time that keep their own peaks; about two pixels each on a laptop."""
MOST_POINTS = 6500
"""Up to here every sample that differs is drawn: a minute at 10 ms is."""

_TOP = 34
_BOTTOM = 50
_LEFT = 76
_RIGHT = 112
_TITLE = 34
_STRIP_ROW = 15
_STRIP_GAP = 9
_TAG = re.compile(r"<[^>]*>")
LEGEND, EVENT_LEGEND, REQUEST_LEGEND, IO_LEGEND, CPU_LEGEND, SCALING_LEGEND, RECLAIM_LEGEND, PRESSURE_LEGEND = (
    "legend",
    *(f"legend{n}" for n in range(2, 9)),
)
LEGENDS = {
    LEGEND: "memory",
    EVENT_LEGEND: "memory.events",
    REQUEST_LEGEND: "requests",
    SCALING_LEGEND: "autoscaling",
    CPU_LEGEND: "cpu",
    RECLAIM_LEGEND: "reclaim",
    IO_LEGEND: "io",
    PRESSURE_LEGEND: "pressure",
}
"""Groups of names, and what stands before each."""
_CHARACTER = 0.0062
"""Width of a letter of a small label, as a share of the time axis at 1280 pixels."""


@dataclass
class Figure:
    """What plotly.js draws, and what a reader of it should know."""

    data: list[Trace] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)
    height_px: int = 0
    missing: list[str] = field(default_factory=list)
    """A sentence for each panel that cannot be drawn."""
    label: str = ""
    """What it shows, for those who do not see it."""
    reduced: list[str] = field(default_factory=list)
    """A sentence for each kind of data that is drawn with fewer points than it has."""
    tree: Tree | None = None
    """The cgroups at a moment, which stands above it and follows its cursor."""

    @property
    def drawn(self) -> bool:
        """There is something to look at."""
        return bool(self.data)


@dataclass(frozen=True)
class Panel:
    """A box with its own y axis. `top_px` counts from the upper edge of the drawing area."""

    number: int
    top_px: int
    height_px: int

    @property
    def axis(self) -> str:
        """What a trace calls its y axis."""
        return "y" if self.number == 1 else f"y{self.number}"


@dataclass(frozen=True)
class Label:
    """Words at the end of a line, beside the panel."""

    value: float
    text: str


def look() -> dict[str, Any]:
    """What every figure's layout has: the page's own colours and letters."""
    font = {"size": 12, "family": "var(--font)", "color": "var(--ink)"}
    clear = "rgba(0,0,0,0)"
    return {
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "font": font,
        "hoverlabel": {"bgcolor": "var(--paper)", "bordercolor": "var(--muted)", "align": "left", "font": font},
    }


class Canvas:
    """Collects panels, traces, bands and words; the time axis runs from 0 to `end_s`."""

    def __init__(self, end_s: float, wall_time: str | None = None) -> None:
        self.end_s = end_s
        self._wall_time = wall_time
        self.bucket_s = end_s / PIXELS
        self.figure = Figure()
        self._panels: list[Panel] = []
        self._axes: dict[Panel, dict[str, Any]] = {}
        self._notes: list[dict[str, Any]] = []
        self._shapes: list[dict[str, Any]] = []
        self._titles: dict[Panel, str] = {}
        self._named: set[tuple[str, str]] = set()
        self._cursor_px = 0

    # -- what panels ask for -----------------------------------------------------------------------------------

    def panel(self, title: str, height_px: int, **axis: Any) -> Panel:
        """Room for a panel under the last one. `title` may hold plotly's tags; `axis` are its y axis' settings."""
        panel = self._room(_TITLE, height_px, axis)
        place = {"xref": "paper", "x": 0, "xanchor": "left", "yref": f"{panel.axis} domain", "y": 1}
        words = {"yanchor": "bottom", "yshift": 3, "text": title, "font": {"size": 13, "color": "var(--ink)"}}
        self._titles[panel] = html.unescape(_TAG.sub("", title))
        self._notes.append(
            {"name": "title", **place, **words, "bgcolor": "var(--paper)", "borderpad": 1, "showarrow": False}
        )
        return panel

    def strip(self, rows: list[str]) -> Panel:
        """A flat panel right under the last one, with a named row for each of `rows`, the first at the bottom."""
        axis = {"range": [-0.5, len(rows) - 0.5], "tickvals": list(range(len(rows))), "ticktext": rows}
        return self._room(_STRIP_GAP, _STRIP_ROW * len(rows), {**axis, "showgrid": False, "tickfont": {"size": 10}})

    def _room(self, gap_px: int, height_px: int, axis: dict[str, Any]) -> Panel:
        panel = Panel(len(self._panels) + 1, self._cursor_px + gap_px, height_px)
        self._cursor_px = panel.top_px + height_px
        self._panels.append(panel)
        self._axes[panel] = axis
        return panel

    def trace(self, panel: Panel, legend: str | None = None, **trace: Any) -> None:
        """Draw in a panel. A name enters `legend` the first time it is drawn, and hides all of that name."""
        entry: Trace = {"type": "scatter", "xaxis": "x", "yaxis": panel.axis, "showlegend": False, **trace}
        if legend is not None:
            key = (legend, trace["name"])
            entry |= {"legend": legend, "legendgroup": " ".join(key), "showlegend": key not in self._named}
            self._named.add(key)
        self.figure.data.append(entry)

    def band(self, panel: Panel, begin_s: float, end_s: float, colour: str) -> None:
        """A pale ground behind part of a panel."""
        self._shapes.append(_band(begin_s, end_s, f"{panel.axis} domain", colour))

    def line(self, t: float, colour: str) -> None:
        """A thin line down through all panels."""
        place = {"type": "line", "xref": "x", "x0": t, "x1": t, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        self._shapes.append({**place, "line": {"width": 1, "color": colour, "dash": "dot"}})

    def words(self, panel: Panel, t: float, height: float, text: str, **settings: Any) -> None:
        """Words in a panel; `height` 0 is its lower edge, 1 its upper."""
        place = {"xref": "x", "x": t, "yref": f"{panel.axis} domain", "y": height, "showarrow": False}
        settings = {"yanchor": "middle", **settings}
        font = {"size": 11, "color": settings.pop("colour", "var(--muted)")}
        self._notes.append({**place, "text": text, "font": font, **settings})

    def margin_labels(self, panel: Panel, labels: list[Label], top: float) -> None:
        """Names of lines in the right margin, never one on another. `top` is the upper end of the panel's axis."""
        lowest = -math.inf
        for label in sorted(labels, key=lambda one: -one.value):
            wanted = (1 - label.value / top) * panel.height_px
            lowest = max(wanted, lowest + 30)
            place = {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 6, "yref": panel.axis, "y": label.value}
            font = {"size": 11, "color": "var(--limit)"}
            words = {"text": label.text, "align": "left", "font": font, "yshift": wanted - lowest}
            self._notes.append({"name": "limit", **place, **words, "showarrow": False})

    def phases(self, spans: list[tuple[float, float, str]]) -> None:
        """Bands through all panels, with their names above in up to two rows."""
        free = [0.0, 0.0]
        for number, (begin, end, name) in enumerate(spans):
            if number % 2 == 0:
                self._shapes.insert(0, _band(begin, min(end, self.end_s), "paper", "var(--phase)"))
            short = name if len(name) <= 30 else f"{name[:29]}…"
            row = next((row for row in (0, 1) if free[row] <= begin), None)
            if row is None:
                continue
            free[row] = begin + self.width_s(short)
            place = {"xref": "x", "x": begin, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom"}
            font = {"size": 11, "color": "var(--muted)"}
            words = {"text": f"▏{safe(short)}", "yshift": 2 + 13 * row, "font": font, "showarrow": False}
            self._notes.append({"name": "phase", **place, **words})  # by which a narrow page drops those without room

    def width_s(self, text: str) -> float:
        """About how many seconds of the time axis a small label covers, with room around it."""
        return self.end_s * _CHARACTER * (len(text) + 3)

    def short_of(self, share: float, begin_s: float, end_s: float) -> bool:
        """Whether a span is narrower than this share of the picture, too narrow for words."""
        return end_s - begin_s < share * self.end_s

    def missing(self, said: str) -> None:
        """Say that something cannot be drawn."""
        self.figure.missing.append(said)

    def reduced(self, what: str, drawn: int, of: int) -> None:
        """Say that something is drawn with fewer points than were measured."""
        self.figure.reduced.append(
            f"Of {of:,} {what} {drawn:,} are drawn: of each {format_seconds(self.bucket_s)} the largest and the "
            f"smallest, so that no peak is lost. The tables count them all."
        )

    # -- the whole ---------------------------------------------------------------------------------------------

    def finish(self) -> Figure:
        """Lay out what was drawn."""
        if not self.figure.data:
            return self.figure
        total = self._cursor_px
        self.figure.height_px = total + _TOP + _BOTTOM
        layout = self._look() | {"height": self.figure.height_px, "xaxis": self._time_axis()}
        for panel in self._panels:
            low, high = 1 - (panel.top_px + panel.height_px) / total, 1 - panel.top_px / total
            place = {"domain": [max(0.0, low), high], "anchor": "x", "fixedrange": True, "zeroline": False}
            look = {"gridcolor": "var(--rule)", "tickfont": {"size": 11}}
            layout[f"yaxis{panel.axis[1:]}"] = place | look | self._axes[panel]
        layout |= {"shapes": self._shapes, "annotations": self._notes, "showlegend": False, "meta": self._meta()}
        self.figure.layout = layout
        panels = "; ".join(self._titles.values())
        self.figure.label = f"{len(self._titles)} panels over {format_seconds(self.end_s)}: {panels}"
        return self.figure

    def _meta(self) -> dict[str, Any]:
        """What page/page.js makes of it: names to switch, panels to go to, and the clock beside the run's time."""
        panels = [
            {"axis": panel.axis, "top": panel.top_px, "height": panel.height_px, "label": title}
            for panel, title in self._titles.items()
        ]
        return {"time": {"end": self.end_s, "wall": self._wall_time}, "panels": panels, "legends": LEGENDS}

    def _look(self) -> dict[str, Any]:
        return look() | {
            "margin": {"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": _BOTTOM, "autoexpand": False},
            "hovermode": "x unified",
            "barmode": "stack",
            "bargap": 0,
            "dragmode": "zoom",
        }

    def _time_axis(self) -> dict[str, Any]:
        title = {"text": "seconds since the run began", "font": {"size": 12, "color": "var(--muted)"}, "standoff": 8}
        spike = {"spikethickness": 1, "spikecolor": "var(--muted)", "spikedash": "solid"}
        return {
            "range": [0, self.end_s],
            "minallowed": 0,
            "maxallowed": self.end_s,
            "anchor": self._panels[-1].axis,
            "title": title,
            "ticksuffix": " s",
            "hoverformat": ".3f",
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": "var(--rule)",
            "tickfont": {"size": 11},
            "gridcolor": "var(--rule)",
            "zeroline": False,
            "showspikes": True,
            "spikemode": "across",
            "spikesnap": "cursor",
            **spike,
        }


def safe(text: object) -> str:
    """Text that plotly shows as it is."""
    return html.escape(printable(str(text)), quote=False)


def _band(begin_s: float, end_s: float, yref: str, colour: str) -> dict[str, Any]:
    place = {"type": "rect", "xref": "x", "x0": begin_s, "x1": end_s, "yref": yref, "y0": 0, "y1": 1}
    return {**place, "layer": "below", "line": {"width": 0}, "fillcolor": colour}
