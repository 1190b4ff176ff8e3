"""The report's tables of requests: what became of them, why, and who waited for a place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.page.html import Markup, element, folded, section, table, unbroken
from emu.report.topics.reasons import reason_words
from emu.report.words import is_late, late_text, latency_cells
from emu.study.measures import SHARES
from emu.study.model.study import Study

MOST_BURSTS = 100
"""Bursts of failed requests in the report."""


def requests_section(study: Study, summary: dict[str, Any]) -> Markup:
    """All of them."""
    known = summary.get("requests")
    if not study.requests or not known:
        said = "No requests were recorded." if study.requests is None else "No requests were sent."
        return section("Requests", element("p", said, class_="missing"))
    phases = known.get("phases") or summary.get("phases") or {}
    named = phases.items() if isinstance(phases, dict) else ((one.get("name"), one) for one in phases)
    every = [("all", known)]
    every += [(str(name), one.get("requests", one)) for name, one in named if isinstance(one, dict)]
    late = any(is_late(one) for _, one in every)
    heads = ["", "sent", "answered", "by status", "not answered", *(["sent late"] if late else [])]
    rows = [_request_row(name, one, late) for name, one in every if one.get("sent")]
    ends = [
        (name, outcome, took["n"], *latency_cells(took))
        for name, one in every
        for outcome, took in (one.get("latency_ms_by_outcome") or {}).items()
    ]
    times = ["n", *SHARES]
    said = (
        "Latency counts from when the load generator began with a request (to connect, or to write) to its end. "
        "How late it was with that is not in it. A percentile of too few to say more than the longest is left out."
    )
    parts = [table(heads, rows, ["sent", "answered"]), table(["", "ended", *times], ends, times)]
    return section("Requests", *parts, element("p", said, class_="hint"), *_reasons(known), *_waits(summary))


def _reasons(known: dict[str, Any]) -> Iterator[Markup]:
    """Why requests were not answered well."""
    bursts = known.get("failures") or []
    if not bursts:
        return
    heads = ["outcome", "requests", "first", "last", "why"]

    def listed(kinds: list[dict[str, Any]]) -> Markup:
        rows = [
            (one["outcome"], one["count"], _at(one["first_s"]), _at(one["last_s"]), unbroken(reason_words(one)))
            for one in kinds
        ]
        return table(heads, rows, heads[1:4])

    kinds = known.get("failure_kinds") or []
    yield element("h3", "Why requests were not answered well")
    yield listed(kinds)
    if len(bursts) > len(kinds):
        shown = bursts[:MOST_BURSTS]
        more = "" if len(shown) == len(bursts) else f", the first {len(shown)}"
        yield folded(f"each burst of them ({len(bursts)}{more})", listed(shown))


def _waits(summary: dict[str, Any]) -> Iterator[Markup]:
    """How long requests waited for a place in the app."""
    phases = (summary.get("phases") or {}).items()
    scopes = [("all", summary["requests"]), *((name, one["requests"]) for name, one in phases)]
    rows = []
    for name, known in scopes:
        waited = known.get("waited")
        if waited and waited["count"]:
            rows.append((name, waited["count"], waited["most"], *latency_cells(waited["ms"])))
    if rows:
        heads = ["", "waited", "most at once", *SHARES]
        yield element("h3", "Waited for a place in the app (containerConcurrency)")
        yield table(heads, rows, heads[1:])


def _request_row(name: str, known: dict[str, Any], late: bool) -> tuple[object, ...]:
    status, errors = _counts(known.get("by_status")), _counts(known.get("errors"))
    counts = (name, known.get("sent"), known.get("answered"), status, errors)
    return (*counts, late_text(known)) if late else counts


def _counts(counts: dict[str, Any] | None) -> str | None:
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items()) if counts else None


def _at(t: float) -> str:
    """A moment of the run."""
    return f"{t:.3f} s"
