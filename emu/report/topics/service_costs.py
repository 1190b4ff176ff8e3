"""What a service cost: its pods' time, the memory that they requested, held and used, and the waits for a pod."""

from __future__ import annotations

from collections.abc import Iterator

from emu.messages import SANDBOX
from emu.record.events import POD_LABEL
from emu.report.topics.topic import Column, Figures, Listing, Part, View
from emu.report.words import latency_cells
from emu.study.measures import Window, spread
from emu.study.model.services import Service
from emu.study.model.study import Study
from emu.units import format_number, format_seconds


def cost_figures(study: Study, service: Service) -> Figures:
    """`held` is memory.current, and `used` the working set, as the kubelet counts it."""
    mine = {pod.pod for pod in service.pods}
    lines = [line for line in study.timelines.values() if line.label == POD_LABEL and line.owner.pod in mine]
    window = Window(study)
    return {
        "pod_seconds": sum(pod.seconds(study.duration_s) for pod in service.pods),
        "memory_requested_gib_seconds": _requested(study, service),
        "memory_gib_seconds": window.held(lines, "memory_current"),
        "memory_used_gib_seconds": window.held(lines, "working_set"),
        "cold_waits_ms": spread((one.until_s - one.since_s) * 1e3 for one in service.waits if one.cold),
    }


def _requested(study: Study, service: Service) -> float | None:
    """A pod's request counts while it is on the node; None where that of one is not on record."""
    asked = {one.pod: one.pod_memory_request for one in study.instances_of(SANDBOX)}
    parts = [
        None if (request := asked.get(pod.pod)) is None else request * pod.seconds(study.duration_s)
        for pod in service.pods
        if pod.placed_s is not None
    ]
    known = [part for part in parts if part is not None]
    return sum(known) / 2**30 if parts and len(known) == len(parts) else None


def cost_parts(view: View) -> Iterator[Part]:
    """A row for each service."""
    rows = tuple(
        (
            name,
            one["pods_started"],
            format_seconds(one["pod_seconds"]),
            _gib_s(one["memory_requested_gib_seconds"]),
            _gib_s(one["memory_gib_seconds"]),
            _gib_s(one["memory_used_gib_seconds"]),
            one["cold_requests"] or None,
            *latency_cells(one["cold_waits_ms"]),
        )
        for name, one in (view.summary.get("services") or {}).items()
    )
    heads = (
        Column("service", number=False), "pods", "pod time", "GiB·s requested", "GiB·s held", "GiB·s used",
        "cold requests", "wait p50", "wait p90", "wait p99", "longest wait",
    )  # fmt: skip
    hints = (
        "Held is memory.current of the pods; used is their working set, which leaves out inactive page cache.",
        "Requested is what the scheduler keeps free for a pod as long as it is on the node.",
    )
    if rows:
        yield Listing(heads, rows, hints=hints, title="cost", place="page")


def _gib_s(value: float | None) -> str | None:
    return None if value is None else format_number(value, 3)
