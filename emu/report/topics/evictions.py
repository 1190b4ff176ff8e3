"""Evictions: which pod the kubelet ended because the node was short of memory, and what it said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Listing, Topic
from emu.study.model.study import Study
from emu.units import format_seconds


def figures(study: Study) -> Figures:
    """`evictions`: each with its time and the kubelet's message."""
    return {
        "evictions": [{"time_s": one.t, "pod": one.pod, "message": one.text, **one.detail} for one in study.evictions]
    }


def headline(study: Study, summary: Figures) -> list[str]:
    """The first one."""
    found: list[dict[str, Any]] = summary["evictions"]
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [f"the kubelet evicted the pod {found[0]['pod']}{more} because the node was low on memory"]


def sentences(study: Study, summary: Figures) -> list[str]:
    """Each, with the kubelet's words."""
    return [
        f"The kubelet evicted the pod {one['pod']} at {format_seconds(one['time_s'])}: {one['message'].strip()}"
        for one in summary["evictions"]
    ]


def listing(study: Study) -> Listing | None:
    """One row for each."""
    rows = tuple((format_seconds(one.t), one.pod, one.text.strip()) for one in study.evictions)
    return Listing(("at", "pod", "message"), rows) if rows else None


def log(study: Study) -> Iterator[Entry]:
    """Each, with the kubelet's words."""
    for one in study.evictions:
        yield Entry(one.t, "emu", one.text, one.detail)


EVICTIONS = Topic("Evictions", figures, headline, sentences, listing, log=log)
