"""Means over steps of time as a line: how they are drawn."""

from __future__ import annotations

from typing import Any

from emu.report.page.canvas import Canvas, Panel


def draw_steps(
    canvas: Canvas,
    panel: Panel,
    legend: str,
    name: str,
    values: list[float],
    step_s: float,
    unit: str,
    line: dict[str, Any],
    meta: dict[str, Any],
) -> None:
    """A value for each step of time, as far as the next one; the mouse shows it with its unit."""
    canvas.trace(
        panel, legend, name=name, x=[round(i * step_s, 6) for i in range(len(values) + 1)], y=[*values, values[-1]],
        mode="lines", meta=meta, line={"width": 1.7, "shape": "hv", **line},
        hovertemplate=f"{name}: %{{y:,.4~r}}{unit}<extra></extra>",
    )  # fmt: skip
