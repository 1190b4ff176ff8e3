"""Bytes to and from disks and swap devices."""

from __future__ import annotations

from emu.report.page.canvas import IO_LEGEND
from emu.report.page.downsample import rates, step_of
from emu.report.page.scale import ByteScale
from emu.report.topics.topic import Drawing, Topic
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
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
    lines = _io_lines(study)
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


DEVICES = Topic("Devices", panels=panels)
