"""The run as one picture, from the top: each container's memory, the pod's, requests, cpu, io, on one time axis.

What the run has no record of has no panel, and `Figure.missing` says so. Memory is drawn in the binary unit that
fits: bytes divided by a power of two, which a float holds exactly, so that each figure is the one the kernel gave.
"""

from __future__ import annotations

from typing import Any

from emu.report.page.canvas import Canvas, Figure
from emu.report.topics.registry import draw
from emu.study.model.study import Study
from emu.study.pods import named

__all__ = ["Figure", "run_figure"]


def run_figure(study: Study, summary: dict[str, Any]) -> Figure:
    """The picture of a run. Peaks and counts in its titles are the summary's."""
    canvas = Canvas(_end(study), study.wall_time)
    draw(canvas, study, named(study), summary)
    return canvas.finish()


def _end(study: Study) -> float:
    """Where the time axis ends: with the run, or with the last thing known of one that was cut off."""
    ends = [study.duration_s, *(line.t[-1] for line in study.timelines.values() if line.t)]
    ends += [kill.time_s for kill in study.kills]
    ends += [request.sent_s if request.done_s is None else request.done_s for request in study.requests or []]
    return round(max(ends), 6) or 1.0
