"""What sidecars add to a pod, in words: how much later it is ready, and how much memory it holds."""

from __future__ import annotations

from emu.messages import APP, QUEUE_PROXY
from emu.report.topics.topic import Figures, Topic
from emu.report.words import of_limit
from emu.study.measures import startup_s
from emu.study.model.study import Study
from emu.units import format_bytes, format_seconds

OURS = (QUEUE_PROXY, APP)
"""What every pod has; any other container is a sidecar."""


def sentences(study: Study, summary: Figures) -> list[str]:
    """Two for each sidecar at most; none where there is no sidecar."""
    found = []
    rest = startup_s(study, OURS)
    if not {*OURS} <= {*study.containers}:
        return []
    for name in study.containers:
        if name in OURS or any(one.role == "init" for one in study.instances_of(name)):
            continue
        ready, others = summary["containers"][name]["ready_s"], _ready_s(study)
        if rest is not None and ready is not None and others is not None:
            late = ready - others
            words = f"{format_seconds(late)} after" if late > 0 else f"{format_seconds(-late)} before"
            when = f"{format_seconds(rest)} after the pod was made"
            found.append(f"{name} was ready {words} queue-proxy and app, which became ready {when}.")
        peak, limit = (summary["containers"][name][key] for key in ("memory_peak_bytes", "memory_limit_bytes"))
        whole = summary["pod"]["memory_peak_bytes"]
        if peak is not None and whole is not None:
            found.append(f"{name} peaked at {of_limit(peak, limit)}; the whole pod at {format_bytes(whole)}.")
    return found


def _ready_s(study: Study) -> float | None:
    """When queue-proxy and app were both ready for the first time."""
    times = [next((one.ready_s for one in study.instances_of(name) if one.ready_s), None) for name in OURS]
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(OURS) else None


SIDECARS = Topic("Sidecars", sentences=sentences)
