"""The cgroup that all pods are in, which stands for the node: what it held, and whom the kernel chose when it was
full.
"""

from __future__ import annotations

from dataclasses import asdict

from emu.record.samples import NODE as NODE_OWNER
from emu.report.topics.kill_headline import victim_words
from emu.report.topics.memory import PEAKS
from emu.report.topics.topic import Column, Figures, Listing, Topic, of_pod
from emu.report.words import labelled, listed
from emu.study.measures import Window, last, times
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.study.restraints import node_io_max
from emu.units import format_bytes, often

LEVEL = "node"


def figures(study: Study) -> Figures:
    """`node`: as a pod has them; null in a run that did not record it."""
    line = study.node
    if line is None:
        return {"node": None}
    window, page = Window(study), study.machine.page_bytes
    return {
        "node": {
            "memory_limit_bytes": last(line.memory_max),
            **{name: window.peak([line], column) for name, column in PEAKS.items()},
            "memory_peak_bytes": line.memory_peak,
            "memory_held_gib_seconds": window.held([line], "memory_current"),
            "refault_bytes": times(window.counted([line], "refaults"), page),
            "swap_refault_bytes": times(window.counted([line], "refaults_anon"), page),
            "reclaim_scanned_bytes": times(window.counted([line], "scanned"), page),
            "reclaimed_bytes": times(window.counted([line], "reclaimed"), page),
            "major_faults": window.counted([line], "pgmajfault"),
            "oom_kills": len(_kills(study)),
            "killed": [labelled(of_pod(kill)) for kill in _kills(study)],
            "memory_events": window.events([NODE_OWNER], below=True),
            "held_back": [asdict(one) for one in node_io_max(study)],
            "memory_events_local": window.events([NODE_OWNER], below=False),
        }
    }


def sentences(study: Study, summary: Figures) -> list[str]:
    """In which order the kernel killed when it was full; how near its limit it came, where it killed nothing."""
    node = summary["node"]
    if len(_kills(study)) > 1:
        return [_order(_kills(study))]
    if node is None or node["memory_limit_bytes"] is None or node["memory_peak_bytes"] is None or _kills(study):
        return []
    most, limit = format_bytes(node["memory_peak_bytes"]), format_bytes(node["memory_limit_bytes"])
    return [f"All pods together held at most {most} of the {limit} that the node has for them."]


def _order(kills: list[OomVerdict]) -> str:
    """`The node ran out of memory 3 times: the kernel killed a/web first, then b/web and c/web.`"""
    first, *then = [victim_words(kill) for kill in kills]
    return f"The node ran out of memory {often(len(kills))}: the kernel killed {first} first, then {listed(then)}."


def listing(study: Study) -> Listing | None:
    """Whom the kernel chose from when the node was full."""
    rows = tuple(
        (
            f"{kill.time_s:.3f} s",
            one.container,
            format_bytes(one.held_bytes),
            one.oom_score_adj,
            format_bytes(one.points_bytes) if one.points_bytes >= 0 else f"-{format_bytes(-one.points_bytes)}",
            "killed" if (one.pod, one.container) == (kill.pod, kill.container) else None,
        )
        for kill in _kills(study)
        for one in kill.candidates
    )
    hints = (
        "Points are what a process holds and oom_score_adj thousandths of the memory and swap that pods may use.",
    )
    heads = ("node full at", Column("container", number=False), "held", "oom_score_adj", "points", "victim")
    return Listing(heads, rows, hints) if rows else None


def _kills(study: Study) -> list[OomVerdict]:
    return [kill for kill in study.kills if kill.level == LEVEL]


NODE = Topic("Node, out of memory", figures, sentences=sentences, listing=listing)
