"""Pressure stall information (PSI): the share of time that tasks waited for memory or for a device."""

from __future__ import annotations

from emu.record.events import POD_LABEL
from emu.report.page.canvas import PRESSURE_LEGEND
from emu.report.page.downsample import rates, step_of
from emu.report.page.steps import draw_steps
from emu.report.topics.topic import Drawing, Topic
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.units import format_step

KINDS = {
    "memory, some tasks": "psi_some_usec",
    "memory, all tasks": "psi_full_usec",
    "io, some tasks": "io_some_usec",
    "io, all tasks": "io_full_usec",
}
"""The kernel's `some` and `full` of memory.pressure and io.pressure."""
_USEC = 1e6


def panels(drawing: Drawing) -> None:
    """One: of the node where it is recorded, else of the pod; of several pods the one that waited longest."""
    canvas, study = drawing.canvas, drawing.study
    lines = _lines(study)
    if not lines:
        if study.timelines:
            canvas.missing("Pressure (PSI) is absent on this kernel.")
        return
    step = step_of(canvas.end_s, study.recorder.interval_s if study.recorder else None)
    waited = {name: _most(lines, column, step, canvas.end_s) for name, column in KINDS.items()}
    waited = {name: values for name, values in waited.items() if any(values)}
    if not waited:
        canvas.missing("No task waited for memory or for a device: there is no pressure (PSI) to draw.")
        return
    whose = "the node" if lines == [study.node] else "the pod" if len(lines) == 1 else "the pod that waited longest"
    title = f"<b>pressure</b> (PSI) of {whose} · share of time that tasks waited, means over {format_step(step)}"
    top = max(max(values) for values in waited.values())
    panel = canvas.panel(title, 90, range=[0, top * 1.14], nticks=4, ticksuffix=" %", tickformat=",~g")
    for name, values in waited.items():
        what = name.partition(",")[0]
        look = {"color": f"var(--psi-{what})", "dash": "solid" if "all" in name else "dot"}
        meta = {"kind": "pressure", "of": name}
        draw_steps(canvas, panel, PRESSURE_LEGEND, name, values, step, " %", look, meta)


def _lines(study: Study) -> list[Timeline]:
    """Where PSI was read: a node's counts for all pods."""
    every = [*([] if study.node is None else [study.node]), *study.timelines_of(POD_LABEL)]
    known = [line for line in every if any(one is not None for one in (*line.psi_some_usec, *line.io_some_usec))]
    return known[:1] if study.node in known else known


def _most(lines: list[Timeline], column: str, step_s: float, end_s: float) -> list[float]:
    """Percent of each step, of the line that waited longest in it."""
    each = [rates(line.t, getattr(line, column), step_s, end_s) for line in lines]
    return [round(100 * max(values) / _USEC, 4) for values in zip(*each, strict=True)]


PRESSURE = Topic("Pressure", panels=panels)
