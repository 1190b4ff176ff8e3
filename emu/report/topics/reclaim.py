"""Whose pages went when all pods together had filled the node: what the kernel reclaimed from each container, from
when on, and what each held then.

The figures are memory.stat's: pgscan, pgsteal and workingset_refault_file in bytes, and active_file, inactive_file
and anon at the moment when the node was first full.
"""

from __future__ import annotations

from itertools import accumulate
from math import inf, nextafter
from typing import Any

from emu.messages import SANDBOX
from emu.record.samples import NODE
from emu.report.page.canvas import RECLAIM_LEGEND, safe
from emu.report.page.downsample import rates, step_of
from emu.report.page.scale import ByteScale
from emu.report.page.steps import draw_steps
from emu.report.topics.topic import Drawing, Figures, Listing, Topic
from emu.report.words import labelled, listed, share
from emu.study.counters import rises, value_at
from emu.study.measures import add, last, times
from emu.study.model.study import Study
from emu.study.model.timeline import Column, Timeline
from emu.units import format_bytes, format_seconds

WORTH_A_WORD = 2**20
"""Less than this is what the container's start left behind."""
_COLOURS = ("--reclaim-taken", "--reclaim-file", "--reclaim-swap", "--reclaim-zswap", "--reclaim-scanned")
_COUNTERS = {"scanned_bytes": "scanned", "reclaimed_bytes": "reclaimed", "refault_bytes": "refaults"}
_HELD = {"inactive_file_bytes": "inactive_file", "active_file_bytes": "active_file", "anon_bytes": "anon"}
_KINDS = {
    "inactive_file_bytes": "cold page cache",
    "active_file_bytes": "hot page cache",
    "anon_bytes": "anonymous memory",
}


def figures(study: Study) -> Figures:
    """`reclaim`: each container with what was taken from it since the node was first full, the most first; empty
    where it never was. Null is what was not recorded.
    """
    page, full_s = study.machine.page_bytes, _full_s(study)
    if full_s is None:
        return {"reclaim": []}
    found = []
    for (pod, container), mine in _by_container(study).items():
        counted = {
            name: times(add(last(_since(full_s, line, column)) for line in mine), page)
            for name, column in _COUNTERS.items()
        }
        held = {
            name: add(value_at(line.t, getattr(line, column), full_s) for line in mine)
            for name, column in _HELD.items()
        }
        began = {"first_s": _first_s(mine, page, full_s)}
        found.append({"pod": pod or None, "container": container, **counted, **began, **held})
    return {"reclaim": sorted(found, key=lambda one: -(one["reclaimed_bytes"] or 0))}


def _full_s(study: Study) -> float | None:
    """When all pods together first met the node's limit."""
    met = rises(study, NODE, "max", below=False) if study.node is not None else []
    return met[0].t if met else None


def _by_container(study: Study) -> dict[tuple[str, str], list[Timeline]]:
    lines: dict[tuple[str, str], list[Timeline]] = {}
    for owner, line in study.timelines.items():
        container = owner.container.rpartition("/")[2]
        if container and container != SANDBOX:
            lines.setdefault((owner.pod, container), []).append(line)
    return lines


def _first_s(lines: list[Timeline], page: int, full_s: float) -> float | None:
    """When reclaim had first taken an amount worth a word from it since the node was full; None: it never did."""
    reached = (
        t
        for line in lines
        for t, pages in zip(line.t, _since(full_s, line, "reclaimed"), strict=True)
        if pages is not None and pages * page >= WORTH_A_WORD
    )
    return min(reached, default=None)


def _since(full_s: float, line: Timeline, column: str) -> Column:
    """How far a counter has risen since the last sample before the node was full: the one that found it so has what
    was taken for that.
    """
    values: Column = getattr(line, column)
    before = value_at(line.t, values, nextafter(full_s, -inf)) or 0
    return [None if value is None else max(0, value - before) for value in values]


def reclaim_words(reclaim: list[dict[str, Any]]) -> str:
    """`the kernel reclaimed 120 MiB (80 %) from batch/app and 30 MiB (20 %) from api/app`; empty where it took next
    to nothing.
    """
    known = [one for one in reclaim if one["reclaimed_bytes"] is not None]
    taken = [one for one in known if one["reclaimed_bytes"] >= WORTH_A_WORD]
    spared = [labelled(one) for one in known if one["reclaimed_bytes"] < WORTH_A_WORD]
    whole = sum(one["reclaimed_bytes"] for one in known)
    shares = [
        f"{format_bytes(one['reclaimed_bytes'])} ({share(one['reclaimed_bytes'], whole)}) from {labelled(one)}"
        for one in taken
    ]
    rest = f", next to nothing from {listed(spared)}" if spared else ""
    return f"the kernel reclaimed {listed(shares)}{rest}" if shares else ""


def headline(study: Study, summary: Figures) -> list[str]:
    """Who gave how much."""
    words = reclaim_words(summary["reclaim"])
    return [f"when the node was full {words}"] if words else []


def sentences(study: Study, summary: Figures) -> list[str]:
    """Who gave first, and what each had to give."""
    given = [one for one in summary["reclaim"] if one["first_s"] is not None]
    if len(given) < 2:
        return []
    first, *then = [_begun(one) for one in sorted(given, key=lambda one: one["first_s"])]
    return [f"When the node was full reclaim began with {first}; then came {listed(then)}."]


def _begun(one: dict[str, Any]) -> str:
    """`cold/app at 33.1 s (it held 96 MiB of cold page cache)`."""
    held = {name: one[name] or 0 for name in _KINDS}
    cache = [name for name in _KINDS if name != "anon_bytes" and held[name] >= WORTH_A_WORD]
    what = [f"{format_bytes(held[name])} of {_KINDS[name]}" for name in cache or ["anon_bytes"]]
    return f"{labelled(one)} at {format_seconds(one['first_s'])} (it held {listed(what)})"


def listing(study: Study) -> Listing | None:
    """A row for each container."""
    found = figures(study)["reclaim"]
    whole = sum(one["reclaimed_bytes"] or 0 for one in found)
    if not whole:
        return None
    rows = tuple(
        (
            labelled(one),
            *(_size(one[name]) for name in _KINDS),
            _size(one["reclaimed_bytes"]),
            None if one["reclaimed_bytes"] is None else share(one["reclaimed_bytes"], whole),
            None if one["first_s"] is None else format_seconds(one["first_s"]),
            _size(one["scanned_bytes"]),
            _size(one["refault_bytes"]),
        )
        for one in found
    )
    heads = ("container", *_KINDS.values(), "reclaimed", "share", "began", "scanned", "read again")
    return Listing(heads, rows, (_HINT, _HELD_HINT))


def panels(drawing: Drawing) -> None:
    """One, where the node was full: what had been taken from each container by each moment, and was wanted again."""
    canvas, study = drawing.canvas, drawing.study
    step = step_of(canvas.end_s, study.recorder.interval_s if study.recorder else None)
    found: dict[str, tuple[list[float], dict[str, str]]] = {}
    full_s = _full_s(study)
    lines = {} if full_s is None else _by_container(study)
    for number, ((pod, container), mine) in enumerate(lines.items()):
        name, colour = labelled({"pod": pod, "container": container}), _COLOURS[number % len(_COLOURS)]
        for what, column, dash in (("", "reclaimed", "solid"), (" read again", "refaults", "dot")):
            moved = [rates(line.t, _since(full_s or 0.0, line, column), step, canvas.end_s) for line in mine]
            sums = [step * study.machine.page_bytes * sum(values) for values in zip(*moved, strict=True)]
            if sum(sums) >= WORTH_A_WORD:
                found[f"{name}{what}"] = list(accumulate(sums)), {"color": f"var({colour})", "dash": dash}
    if not found:
        return
    scale = ByteScale.over(values[-1] for values, _ in found.values())
    panel = canvas.panel("<b>reclaimed</b> from each container so far, and read again", 110, **scale.axis(4))
    for name, (values, look) in found.items():
        shown, meta = [value / scale.factor for value in values], {"kind": "reclaimed", "of": name}
        draw_steps(canvas, panel, RECLAIM_LEGEND, safe(name), shown, step, f" {scale.unit}", look, meta)


def _size(value: int | None) -> str | None:
    return None if value is None else format_bytes(value)


_HINT = "Reclaimed and scanned: pgsteal and pgscan. Read again: pages of files that were dropped and wanted again."
_HELD_HINT = (
    "Cold and hot page cache and anonymous memory: inactive_file, active_file and anon when the node was first full. "
    "The kernel takes hot pages and anonymous ones only once the node has less cold page cache than hot."
)

RECLAIM = Topic("Node, reclaim", figures, headline, sentences, listing=listing, panels=panels)
