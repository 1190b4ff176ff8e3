"""Requests as panels show them: those to a workload together, and those to each of its pods by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from emu.report.page.canvas import safe
from emu.report.topics.topic import Drawing
from emu.study.model.requests import OK, InFlight, Request
from emu.study.model.study import Study
from emu.study.pods import lanes, workload, workloads
from emu.study.requests import count_in_flight

MOST_PARTS = 6
"""So many pods of a workload that are there at once have panels of their requests."""
STATUS = (
    ("2xx", "2xx", "var(--ok)", "circle"),
    ("3xx", "3xx", "var(--redirect)", "square"),
    ("4xx", "4xx", "var(--client-error)", "triangle-up"),
    ("5xx", "5xx", "var(--server-error)", "diamond"),
    ("error", "no whole answer", "var(--no-answer)", "x-thin"),
)
"""Kinds of answers: their key, name, colour, and shape, for those who do not see the colour."""


@dataclass(frozen=True)
class Traffic:
    """Requests that share panels."""

    requests: list[Request]
    curve: InFlight
    known: dict[str, Any]
    """`latency_ms_by_outcome` of those that were answered with success; empty where no figures are of just these."""
    whose: str = ""
    """Ends the titles; empty where all requests are meant."""
    part: bool = False
    """Of one pod of several: its panels are small."""


def traffics(drawing: Drawing) -> Iterator[Traffic]:
    """Of each workload, and below that of each of its pods."""
    study, summary = drawing.study, drawing.summary
    requests = study.requests or []
    if not study.in_flight_by_pod:
        yield Traffic(requests, study.in_flight, _success(summary))
        return
    asked = _by_workload(study, requests)
    for load, mine in asked.items():
        pods = [one for one in workloads(study).get(load, []) if one in study.in_flight_by_pod]
        if len(asked) == 1:
            yield Traffic(mine, study.in_flight, _success(summary))
        else:
            known = _success(summary["pods"].get(pods[0]) or {}) if len(pods) == 1 else {}
            yield Traffic(mine, count_in_flight(mine), known, f" to {safe(load)}" if load else " that reached no pod")
        yield from _parts(drawing, pods)


def _by_workload(study: Study, requests: list[Request]) -> dict[str, list[Request]]:
    """What each was asked, in the order of the pods; one that reached no pod was asked of whom its phase asks."""
    found: dict[str, list[Request]] = {load: [] for load in workloads(study)}
    asked = {phase.name: phase.pod for phase in study.phases}
    alone = next(iter(found)) if len(found) == 1 else ""
    for request in requests:
        load = workload(request.pod) if request.pod else request.revision or asked.get(request.phase) or alone
        found.setdefault(load if load in found else alone, []).append(request)
    return {load: mine for load, mine in found.items() if mine}


def _parts(drawing: Drawing, pods: list[str]) -> Iterator[Traffic]:
    """Of each pod of a workload that has several."""
    study, summary = drawing.study, drawing.summary
    mine = [lane for lane in lanes(study) if set(lane.pods) & set(pods)]
    if len(mine) < 2:
        return
    if len(mine) > MOST_PARTS:
        drawing.canvas.missing(
            f"Of the requests to up to {len(mine)} pods at a time those to {MOST_PARTS} are drawn by themselves; "
            "summary.json has the figures of each."
        )
    for lane in mine[:MOST_PARTS]:
        requests = [one for one in study.requests or [] if one.pod in lane.pods]
        known = _success(summary["pods"].get(lane.pods[0]) or {}) if len(lane.pods) == 1 else {}
        curve = count_in_flight(requests, in_pod=True)
        yield Traffic(requests, curve, known, f" to pod {safe(lane.name)}", part=True)


def _success(summary: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = ((summary.get("requests") or {}).get("latency_ms_by_outcome") or {}).get(OK) or {}
    return found


def kind_of(request: Request) -> str:
    """One of `STATUS`."""
    if request.error is not None or request.status is None or not 200 <= request.status < 600:
        return "error"
    return f"{request.status // 100}xx"


def end_of(request: Request, run_end_s: float) -> float:
    """When it ended, or the run without it."""
    return run_end_s if request.done_s is None else request.done_s
