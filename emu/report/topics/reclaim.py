"""Whose pages went when all pods together had filled the node: what the kernel reclaimed from each container.

The figures are memory.stat's: pgscan, pgsteal and workingset_refault_file, in bytes.
"""

from __future__ import annotations

from typing import Any

from emu.messages import SANDBOX
from emu.record.samples import NODE
from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import labelled, listed
from emu.study.measures import Window, times
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.units import format_bytes

WORTH_A_WORD = 2**20
"""Less than this is what the container's start left behind."""


def figures(study: Study) -> Figures:
    """`reclaim`: each container with what was taken from it, the most first; empty where the node was never full.
    Null is what was not recorded.
    """
    window, page = Window(study), study.machine.page_bytes
    full = study.node is not None and bool(window.events([NODE], below=False)["max"])
    counters = {"scanned_bytes": "scanned", "reclaimed_bytes": "reclaimed", "refault_bytes": "refaults"}
    lines: dict[tuple[str, str], list[Timeline]] = {}
    for owner, line in study.timelines.items() if full else ():
        container = owner.container.rpartition("/")[2]
        if container and container != SANDBOX:
            lines.setdefault((owner.pod, container), []).append(line)
    found = [
        {
            "pod": pod or None,
            "container": container,
            **{name: times(window.counted(mine, column), page) for name, column in counters.items()},
        }
        for (pod, container), mine in lines.items()
    ]
    return {"reclaim": sorted(found, key=lambda one: -(one["reclaimed_bytes"] or 0))}


def reclaim_words(reclaim: list[dict[str, Any]]) -> str:
    """`the kernel reclaimed 120 MiB from batch/app and 30 MiB from api/app`; empty where it took next to nothing."""
    known = [one for one in reclaim if one["reclaimed_bytes"] is not None]
    taken = [one for one in known if one["reclaimed_bytes"] >= WORTH_A_WORD]
    shares = [f"{format_bytes(one['reclaimed_bytes'])} from {labelled(one)}" for one in taken]
    spared = [labelled(one) for one in known if one["reclaimed_bytes"] < WORTH_A_WORD]
    rest = f" and next to nothing from {listed(spared)}" if spared else ""
    return f"the kernel reclaimed {listed(shares)}{rest}" if shares else ""


def headline(study: Study, summary: Figures) -> list[str]:
    """Who gave how much."""
    words = reclaim_words(summary["reclaim"])
    return [f"when the node was full {words}"] if words else []


def listing(study: Study) -> Listing | None:
    """A row for each container."""
    rows = tuple(
        (labelled(one), *(format_bytes(one[f"{what}_bytes"]) for what in ("reclaimed", "scanned", "refault")))
        for one in figures(study)["reclaim"]
    )
    heads = ("container", "reclaimed", "scanned", "read again")
    return (
        Listing(heads, rows, (_HINT,)) if any(one["reclaimed_bytes"] for one in figures(study)["reclaim"]) else None
    )


_HINT = "Reclaimed and scanned: pgsteal and pgscan. Read again: pages of files that were dropped and wanted again."

RECLAIM = Topic("Node, reclaim", figures, headline, listing=listing)
