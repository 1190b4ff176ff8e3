"""Bytes to and from disks and swap devices."""

from __future__ import annotations

from emu.report.page.canvas import IO_LEGEND
from emu.report.page.downsample import rates, step_of
from emu.report.page.scale import ByteScale
from emu.report.page.steps import draw_steps
from emu.report.topics.topic import Drawing, Topic
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import counting
from emu.units import format_step

COLUMNS = (
    ("disk read", "disk_read_bytes"),
    ("disk written", "disk_write_bytes"),
    ("swap read", "swap_io_read_bytes"),
    ("swap written", "swap_io_write_bytes"),
)
"""Of the table of memory: a column's head, and its name in summary.json, which `Window.io` has."""


def panels(drawing: Drawing) -> None:
    """One, of bytes per second, all of the pod or of all pods together."""
    canvas, study = drawing.canvas, drawing.study
    lines = counting(study, lambda line: line.has_io)
    if not lines:
        if study.timelines:
            canvas.missing("io.stat could not be read, so bytes read and written are not known.")
        return
    step = step_of(canvas.end_s, study.recorder.interval_s if study.recorder else None)
    moved = _moved(study, lines, step, canvas.end_s)
    if not moved:
        canvas.missing("No byte went to or from a disk or a swap device: there is no io to draw.")
        return
    scale = ByteScale.over(max(values) for values in moved.values())
    whose = "the pod" if len(study.pods) < 2 else "all pods"
    title = f"<b>io</b> of {whose} with disk and swap · means over {format_step(step)}"
    panel = canvas.panel(title, 110, **scale.axis(4, "/s"))
    for name, values in sorted(moved.items()):
        look = {"color": f"var(--io-{name.replace(' ', '-')})", "dash": "solid" if "read" in name else "dot"}
        scaled, meta = [value / scale.factor for value in values], {"kind": "io", "of": name}
        draw_steps(canvas, panel, IO_LEGEND, name, scaled, step, f" {scale.unit}/s", look, meta)


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


DEVICES = Topic("Devices", panels=panels)
