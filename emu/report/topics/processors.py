"""Processor time: how many processors each container, and the pod, kept busy."""

from __future__ import annotations

from emu.messages import APP, QUEUE_PROXY
from emu.record.events import POD_LABEL
from emu.report.page.canvas import CPU_LEGEND, safe
from emu.report.page.downsample import rates, step_of
from emu.report.page.steps import draw_steps
from emu.report.topics.topic import Drawing, Figures, Topic
from emu.study.measures import Window
from emu.study.model.instances import container_of
from emu.study.model.timeline import Timeline
from emu.units import format_step


def figures(window: Window, lines: list[Timeline]) -> Figures:
    """What a window of time saw used, and how long a limit held it back."""
    usec = {
        name: window.counted(lines, column)
        for name, column in (
            ("cpu_s", "cpu_usec"),
            ("cpu_system_s", "cpu_system_usec"),
            ("cpu_throttled_s", "throttled_usec"),
        )
    }
    return {name: None if one is None else one / 1e6 for name, one in usec.items()}


def panels(drawing: Drawing) -> None:
    """One, with a line for each container, and for the pod or all pods together."""
    canvas, study = drawing.canvas, drawing.study
    step = step_of(canvas.end_s, study.recorder.interval_s if study.recorder else None)
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
    title = f"<b>cpu</b> · processors in use, means over {format_step(step)}"
    panel = canvas.panel(title, 90, range=[0, top * 1.14], nticks=4, tickformat=",~g")
    for name, values in used.items():
        kind = container_of(name)
        label = "all pods" if name == POD_LABEL and len(study.pods) > 1 else safe(name)
        colour = f"var(--cpu-{kind if kind in (QUEUE_PROXY, APP, POD_LABEL) else 'other'})"
        look = {"width": 1.0, "dash": "dot"} if name == POD_LABEL else {"dash": "solid"}
        shown, meta = [round(value, 6) for value in values], {"kind": "cpu", "of": name}
        draw_steps(canvas, panel, CPU_LEGEND, label, shown, step, " processors", {"color": colour, **look}, meta)


PROCESSORS = Topic("Processors", panels=panels)
