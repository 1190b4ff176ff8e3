"""The same of a HorizontalPodAutoscaler: its syncs, and what each went by."""

from __future__ import annotations

from collections.abc import Iterator

from emu.record.events import MetricRead, ScaleDecided
from emu.report.words import amount_text, count
from emu.study.model.services import Service

CLASSES = ("hpa", "keda")
HEADS = ("AT", "PODS", "READY", "METRIC", "WHY")


def heading(service: Service) -> str:
    """Whose decisions they are, and what they went by."""
    metrics = {(one.name, one.container): one for one in service.metrics}.values()
    said = ", ".join(_target(one) for one in metrics) or "no sync yet"
    by = "KEDA and its HorizontalPodAutoscaler" if service.scaled_by == "keda" else "HorizontalPodAutoscaler"
    return f"{service.name} ({service.revision}), {by}: {said}"


def row(one: ScaleDecided) -> tuple[str, ...]:
    """A line for a sync, or for the first ready pod."""
    change = str(one.pods) if one.before == one.pods else f"{one.before} to {one.pods}"
    return f"{one.t:.3f} s", change, str(one.ready), amount_text(one.value, one.unit), one.why or "-"


def inputs(service: Service, last: ScaleDecided) -> Iterator[tuple[str, str]]:
    """What a sync went by."""
    for read in service.read_at(last.t):
        yield "metric", f"{_target(read)}: {amount_text(read.value, read.unit)}"
        for pod, (used, at, over) in sorted(read.samples.items()):
            shown = amount_text(used, "bytes" if read.name == "memory" else "cores")
            over_text = f", over {over:.1f} s" if read.name == "cpu" else ""
            yield "sample", f"{pod}: {shown}, taken at {at:.3f} s{over_text}"
        wants = "nothing" if read.proposed is None else count(read.proposed, "pod")
        yield "proposed", f"{wants}: {read.why}"
    if last.proposals:
        numbers = ", ".join(f"{number} at {t:.1f} s" for t, number in last.proposals)
        yield "window", f"stabilization looked at: {numbers}"
    if last.able:
        yield "able", last.able
    if last.limit:
        yield "limited", last.limit


def _target(read: MetricRead) -> str:
    whose = f" of {read.container}" if read.container else ""
    of = {"%": " of the requests", "": " in all"}.get(read.unit, " in a pod")
    query = f" = {read.query}" if read.query else ""
    return f"{read.name}{whose}{query}, target {amount_text(read.target, read.unit)}{of}"
