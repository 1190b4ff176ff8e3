"""Areas of memory on top of each other with a line over them, limits through time, and marks: how they are drawn.

What the areas are, and their names, is the topic's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emu.report.page.canvas import LEGEND, MOST_POINTS, Canvas, Label, Panel
from emu.report.page.downsample import keep_peaks
from emu.report.page.scale import ByteScale
from emu.study.model.instances import Instance
from emu.study.model.timeline import Column, Timeline
from emu.units import format_bytes


@dataclass(frozen=True)
class Area:
    """A column of a timeline as an area."""

    column: str
    name: str
    colour: str
    hatched: bool = False


@dataclass(frozen=True)
class Stack:
    """Areas from the bottom up, and the line over them."""

    areas: tuple[Area, ...]
    line: tuple[str, str]
    """Its column and name."""
    readout: tuple[tuple[str, str], ...]
    """What the line's hover lists: column and name."""

    @property
    def columns(self) -> list[str]:
        """The columns of a timeline that are drawn: the line's, then the areas'."""
        return [self.line[0], *(area.column for area in self.areas)]


def draw_stack(canvas: Canvas, panel: Panel, stack: Stack, lines: list[Timeline], scale: ByteScale) -> None:
    """Areas that fall to nothing between two instances, and the line, which is broken there."""
    drawn = [_drawn(canvas, stack, line) for line in lines]
    x = [t for part in drawn for t in (part.t[0], *part.t, part.t[-1])]
    for area in stack.areas:
        column, name, colour = area.column, area.name, area.colour
        parts: list[Column] = [getattr(line, column) for line in drawn]
        known = [value for part in parts for value in part if value]
        if not any(known):
            continue
        y = [v for part in parts for v in (0.0, *(scale.down(value or 0) for value in part), 0.0)]
        look: dict[str, Any] = {"fillcolor": colour}
        if area.hatched:
            look = {"fillpattern": {"shape": "/", "fgcolor": colour, "bgcolor": "var(--swap-ground)", "size": 6}}
        meta = {"kind": "stack", "of": lines[0].label, "column": column}
        canvas.trace(
            panel, LEGEND, name=name, x=x, y=y, stackgroup=panel.axis, mode="lines", hoverinfo="skip",
            line={"width": 1, "color": "var(--paper)"}, meta=meta, **look,
        )  # fmt: skip
    _line(canvas, panel, stack, drawn, scale)


def _line(canvas: Canvas, panel: Panel, stack: Stack, drawn: list[Timeline], scale: ByteScale) -> None:
    """Its hover shows every part; page/page.js words it from `readout`."""
    x, columns = line_columns(stack, drawn, scale)
    readout = [[said, columns[name]] for name, said in stack.readout if name in columns]
    meta = {"kind": "current", "of": drawn[0].label, "factor": scale.factor, "readout": readout}
    canvas.trace(
        panel, LEGEND, name=stack.line[1], x=x, y=columns[stack.line[0]], mode="lines", connectgaps=False,
        line={"width": 1.2, "color": "var(--ink)"}, meta=meta,
    )  # fmt: skip


def line_columns(
    stack: Stack, drawn: list[Timeline], scale: ByteScale
) -> tuple[list[float], dict[str, list[float | None]]]:
    """Times and columns of thinned timelines after each other, each with a gap behind it; no empty column."""

    def column(name: str) -> list[float | None]:
        return [v for part in drawn for v in (*map(scale.down, getattr(part, name)), None)]

    columns = {name: column(name) for name, _ in stack.readout}
    kept = {name: values for name, values in columns.items() if any(values)}
    return [t for part in drawn for t in (*part.t, part.t[-1])], {stack.line[0]: column(stack.line[0]), **kept}


def _drawn(canvas: Canvas, stack: Stack, line: Timeline) -> Timeline:
    """The part of a timeline that is drawn, and a sentence where that is less than all."""
    drawn = thinned(canvas, stack, line)
    if len(line.t) > MOST_POINTS:
        canvas.reduced(f"samples of {line.label}", len(drawn.t), len(line.t))
    return drawn


def thinned(canvas: Canvas, stack: Stack, line: Timeline) -> Timeline:
    """The timeline with the rows that are drawn; absent columns are all None."""
    peaked = stack.columns
    names = dict.fromkeys([*peaked, *(column for column, _ in stack.readout)])
    columns = {name: getattr(line, name) or [None] * len(line.t) for name in names}
    rows = keep_peaks(line.t, [columns[name] for name in peaked], canvas.bucket_s, MOST_POINTS)
    drawn = Timeline(line.owner, t=[round(line.t[row], 6) for row in rows])
    for name, values in columns.items():
        setattr(drawn, name, [values[row] for row in rows])
    return drawn


def scale_of(stack: Stack, lines: list[Timeline], limits: list[Limit]) -> ByteScale:
    """High enough for the stack with its swap, for the line, and for limits that are near."""
    tops = [value for line in lines for value in getattr(line, stack.line[0])]
    for line in lines:
        columns = [column for area in stack.areas if (column := getattr(line, area.column))]
        tops += [sum(value or 0 for value in row) for row in zip(*columns, strict=True)]
    return ByteScale.over(tops, [value for limit in limits for value in limit.values])


@dataclass(frozen=True)
class Limit:
    """A limit through time: `values[i]` bytes from `t[i]` on; None is no limit then."""

    name: str
    t: list[float]
    values: Column


def limits_of(instances: list[Instance], lines: list[Timeline]) -> list[Limit]:
    """memory.max as it was read, or else as the container was made; memory.high as it was made."""
    maxima = [pair for line in lines for pair in zip(line.t, line.memory_max, strict=False)]
    if not any(value is not None for _, value in maxima):
        maxima = [(entry.created_s or 0.0, entry.memory_max) for entry in instances]
    high = [(entry.created_s or 0.0, entry.memory_high) for entry in instances]
    found = [_limit("memory.max", maxima), _limit("memory.high", high)]
    return [limit for limit in found if any(value is not None for value in limit.values)]


def _limit(name: str, pairs: list[tuple[float, int | None]]) -> Limit:
    steps: list[tuple[float, int | None]] = []
    for t, value in pairs:
        if not steps or steps[-1][1] != value:
            steps.append((round(t, 6) if steps else 0.0, value))
    return Limit(name, [t for t, _ in steps], [value for _, value in steps])


def draw_limits(canvas: Canvas, panel: Panel, limits: list[Limit], scale: ByteScale) -> None:
    """Dashed lines with their names in the margin; one far above is named at the upper edge."""
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


def draw_marks(
    canvas: Canvas, panel: Panel, name: str, at: list[tuple[float, str]], y: float, marker: dict[str, Any], kind: str
) -> None:
    """A marker at each time, at the height `y`; the mouse shows its text."""
    if at:
        canvas.trace(
            panel, LEGEND, name=name, x=[t for t, _ in at], y=[y] * len(at), text=[said for _, said in at],
            mode="markers", marker=marker, cliponaxis=False, hovertemplate="%{text}<extra></extra>",
            meta={"kind": kind},
        )  # fmt: skip
