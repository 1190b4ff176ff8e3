"""What page cache, swap and stalls did, in words: the part of the story where nobody dies.

`max` in memory.events counts how often the limit was touched and memory was made free in time. Where `oom` stays 0
that is the price of a small limit (files read again, pages swapped), not a near death.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.topics import held_back
from emu.report.topics.sparkline import sparkline
from emu.report.topics.topic import Cell, Figures, Listing, Name, Part, Size, Topic, View, pod_section
from emu.report.words import count, listed, of_limit, pods_of, size
from emu.study.counters import value_at
from emu.study.measures import PEAKS, Window, first, times
from emu.study.model.instances import Instance
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import of_pods
from emu.study.restraints import bound
from emu.study.stalls import stalls
from emu.units import format_bytes, format_seconds, often


def memory_figures(window: Window, lines: list[Timeline], study: Study) -> dict[str, Any]:
    """What a window of time saw of a container or the pod: for the whole run and for each phase alike."""
    page = study.machine.page_bytes
    cpu_usec = window.counted(lines, "cpu_usec")
    stalls = {
        f"{what}_stall_{name}_ms": window.counted(lines, f"{prefix}_{name}_usec")
        for what, prefix in (("memory", "psi"), ("io", "io"))
        for name in ("some", "full")
    }
    throttled_usec = window.counted(lines, "throttled_usec")
    return {
        **{name: window.peak(lines, column) for name, column in PEAKS.items()},
        "memory_held_gib_seconds": window.held(lines, "memory_current"),
        "swap_held_gib_seconds": window.held(lines, "swap"),
        **window.io(lines),
        "refault_bytes": times(window.counted(lines, "refaults"), page),
        "swap_refault_bytes": times(window.counted(lines, "refaults_anon"), page),
        "reclaim_scanned_bytes": times(window.counted(lines, "scanned"), page),
        "reclaimed_bytes": times(window.counted(lines, "reclaimed"), page),
        "major_faults": window.counted(lines, "pgmajfault"),
        "cpu_s": None if cpu_usec is None else cpu_usec / 1e6,
        "cpu_throttled_s": None if throttled_usec is None else throttled_usec / 1e6,
        **{name: None if usec is None else usec / 1e3 for name, usec in stalls.items()},
    }


def swap_event_figures(window: Window, lines: list[Timeline]) -> dict[str, int | None]:
    """memory.swap.events, by counter; None each where it was never read."""
    return {
        name: window.rise((line.t, line.swap_events[name]) for line in lines if name in line.swap_events)
        for name in ("high", "max", "fail")
    }


def last_alive(study: Study, newest: Instance | None) -> float:
    """When to ask how a container stands at its end: its memory is gone before its cgroup is, so just before it was
    killed, else when the load was over, else at the last sample.
    """
    kills = [kill for kill in study.kills if newest and kill.owner == newest.owner and not kill.child]
    if kills:
        return kills[-1].time_s
    exited = newest.exited_s if newest and newest.exited_s is not None else study.duration_s
    over = max((phase.end_s for phase in study.phases), default=exited)
    return min(over, exited)


def end_figures(study: Study, lines: list[Timeline], end_s: float) -> dict[str, Any]:
    """How it stood in the end, and how far its anonymous memory had grown since the first request."""
    columns = {"memory": "memory_current", "anon": "anon", "file": "page_cache", "swap": "swap"}
    ends: dict[str, Any] = {}
    for name, column in columns.items():
        ends[f"{name}_end_bytes"] = value_at(lines[-1].t, getattr(lines[-1], column), end_s) if lines else None
    begin = study.first_request_s
    start = None
    if lines and begin is not None:
        start = value_at(lines[0].t, lines[0].anon, begin)
        start = first(lines[0].anon) if start is None else start
    peak = Window(study).peak(lines, "anon")
    grown = None if start is None or peak is None else peak - start
    return {**ends, "anon_start_bytes": start, "anon_growth_bytes": grown}


WORTH_A_WORD = 2**20
"""Less traffic than this is noise of starting up."""
KERNEL_SHARE = 0.2
"""Kernel memory from this share of the limit on is worth a sentence."""
KERNEL_WORDS = {
    "slab_unreclaimable": "slab",
    "kernel_stack": "stacks of threads",
    "pagetables": "page tables",
    "percpu": "per-CPU data",
}
STALLED = 0.05
"""A container that stood still for this share of the run is worth a sentence."""


def headline(study: Study, summary: Figures) -> list[str]:
    """Who lives on swap, and who read files again because the page cache had no room."""
    swap = [words for name in study.containers if (words := _swap(name, summary["containers"][name]))]
    return [*swap, *_cache_headline(study, summary), *_write_headline(study, summary)]


def _cache_headline(study: Study, summary: Figures) -> list[str]:
    """Who read files again because the page cache had no room."""
    found = []
    for name in study.containers:
        figures = summary["containers"][name]
        if not _churned(figures):
            continue
        limit = (
            ""
            if figures["memory_limit_bytes"] is None
            else f" under a limit of {format_bytes(figures['memory_limit_bytes'])}"
        )
        again = format_bytes(figures["refault_bytes"])
        read = figures["disk_read_bytes"] if figures["disk_read_bytes"] is not None else figures["io_read_bytes"]
        amount = "" if read is None else f"{format_bytes(read)} of "
        found.append(f"{name} read {amount}files{limit}, {again} of it again after the page cache had dropped it")
    return found


def _write_headline(study: Study, summary: Figures) -> list[str]:
    """Who wrote more to files than its limit holds: it waited for the disk."""
    found = []
    for name in study.containers:
        figures = summary["containers"][name]
        limit, written, dirty = (figures[f"{what}_bytes"] for what in ("memory_limit", "disk_write", "dirty_peak"))
        if limit is not None and written is not None and written > limit:
            most = "" if dirty is None else f", at most {format_bytes(dirty)} of it dirty at a time"
            found.append(f"{name} wrote {format_bytes(written)} of files to disk{_under(limit)}{most}")
    return found


def sentences(study: Study, summary: Figures) -> list[str]:
    """Page cache, swap, near hits and stalls of each container."""
    found: list[str] = []
    thrashed = {stall.container for stall in stalls(study)}
    emptied = {freeze.container for freeze in study.freezes if freeze.memory.reclaimed_bytes is not None}
    every = {name: summary["containers"][name] for name in study.containers}
    lived = [one for one in every if one not in thrashed and _churned(every[one]) and every[one]["oom_kills"] == 0]
    for name, figures in every.items():
        if name not in thrashed:
            found += _cache(study, name, figures)
        if lived and name == lived[-1]:
            who = listed(lived)
            found.append(f"The kernel reclaims page cache when memory is short: it caused no OOM in {who}.")
        if name not in emptied and (words := _swap(name, figures)):  # the freeze shows what went to swap then
            found.append(f"{words}.")
        if name not in thrashed:
            found += _near_hits(name, figures)
        found += _kernel(name, figures)
        found += _stalls(study, name, figures)
    return found


def _churned(figures: dict[str, Any]) -> bool:
    return (figures["refault_bytes"] or 0) >= WORTH_A_WORD


def _cache(study: Study, name: str, figures: dict[str, Any]) -> list[str]:
    if not _churned(figures):
        return []
    pages = figures["refault_bytes"] // study.machine.page_bytes
    size = format_bytes(figures["refault_bytes"])
    text = f"{name}: {count(pages, 'page')} of page cache ({size}) had to be read again"
    peak = figures["file_peak_bytes"]
    text += "" if peak is None else f"; its page cache peaked at {of_limit(peak, figures['memory_limit_bytes'])}"
    return [f"{text}."]


def _swap(name: str, figures: dict[str, Any]) -> str:
    peak, out, back = figures["swap_peak_bytes"], figures["swap_io_write_bytes"], figures["swap_io_read_bytes"]
    if max(peak or 0, out or 0) < WORTH_A_WORD:
        return ""
    parts = []
    if out is not None:
        parts.append(f"{format_bytes(out)} out")
    if back is not None:
        parts.append(f"{format_bytes(back)} in")
    if peak is not None:
        parts.append(f"{format_bytes(peak)} there at the peak")
    how = "swapped" if figures["oom_kills"] else "lives on swap"
    return f"{name} {how}{_under(figures['memory_limit_bytes'])}: {', '.join(parts)}"


def _under(limit: int | None) -> str:
    return "" if limit is None else f" under a limit of {format_bytes(limit)}"


def _near_hits(name: str, figures: dict[str, Any]) -> list[str]:
    """High `max` with `oom` 0 is cache churn or swapping, not danger."""
    events = figures["memory_events"]
    if not events["max"] or events["oom"] != 0:
        return []
    ways = ["dropping page cache"] if _churned(figures) or (figures["file_peak_bytes"] or 0) >= WORTH_A_WORD else []
    ways += ["dropping reclaimable slab"] if (figures["slab_reclaimable_peak_bytes"] or 0) >= WORTH_A_WORD else []
    ways += ["swapping"] if (figures["swap_peak_bytes"] or 0) >= WORTH_A_WORD else []
    by = f" by {listed(ways)}" if ways else ""
    return [
        f"{name} touched its limit {often(events['max'])} (memory.events max) and the kernel made room each time"
        f"{by}: with oom 0 that is churn, not danger."
    ]


def _kernel(name: str, figures: dict[str, Any]) -> list[str]:
    """Kernel memory, where it is much: what can be given up, and what cannot."""
    limit = figures["memory_limit_bytes"] or figures["memory_peak_bytes"]
    slab, rest = figures["slab_reclaimable_peak_bytes"] or 0, figures["kernel_unreclaimable_peak_bytes"] or 0
    found = []
    if limit and slab >= KERNEL_SHARE * limit:
        found.append(
            f"{name} held up to {format_bytes(slab)} of reclaimable slab (names and inodes of files, mostly): "
            "like page cache, the kernel reclaims it when memory is short."
        )
    if limit and rest >= KERNEL_SHARE * limit:
        parts = {words: figures[f"{part}_peak_bytes"] or 0 for part, words in KERNEL_WORDS.items()}
        most = max(parts, key=lambda words: parts[words])
        found.append(
            f"{name} held up to {format_bytes(rest)} of kernel memory that cannot be reclaimed, most of it {most} "
            f"({format_bytes(parts[most])})."
        )
    return found


def _stalls(study: Study, name: str, figures: dict[str, Any]) -> list[str]:
    stalled = figures["memory_stall_full_ms"]
    if stalled is None or study.duration_s <= 0 or stalled / 1e3 < STALLED * study.duration_s:
        return []
    return [f"All of {name} stalled waiting for memory for {format_seconds(stalled / 1e3)} (memory.pressure, full)."]


_PARTS = ("anon", "file", "shmem", "kernel", "slab_reclaimable", "sock", "swap")
_HEADS = {"file": "page cache", "slab_reclaimable": "reclaimable slab"}
_NOTHING = (None, "0 B")
_TOTALS = (
    ("peak", "memory_peak_bytes"),
    ("anon peak", "anon_peak_bytes"),
    ("page cache peak", "file_peak_bytes"),
    ("kernel peak", "kernel_peak_bytes"),
    ("reclaimable slab peak", "slab_reclaimable_peak_bytes"),
    ("other kernel peak", "kernel_unreclaimable_peak_bytes"),
    ("swap peak", "swap_peak_bytes"),
    ("disk read", "disk_read_bytes"),
    ("disk written", "disk_write_bytes"),
    ("swap read", "swap_io_read_bytes"),
    ("swap written", "swap_io_write_bytes"),
    ("read again", "refault_bytes"),
    ("OOM kills", "oom_kills"),
    ("restarts", "restarts"),
)
"""Columns of the table of containers, and their names in summary.json."""


def memory_parts(view: View) -> Iterator[Part]:
    """Peaks; on the terminal also what held containers back."""
    if view.summary:
        yield from _on_terminal(view)
    if view.study.instances:
        yield _totals(view.summary)


def _on_terminal(view: View) -> Iterator[Part]:
    rows = [_peaks(view.study, name, known) for name, known in view.summary["containers"].items()]
    rows += _pod_peaks(view.study, view.summary)
    heads = ("container", *(_HEADS.get(name, name) for name in _PARTS), "total", "over the run")
    kept = [i for i in range(len(heads)) if any(row[i] not in _NOTHING for row in rows)]
    if rows:
        shown = tuple(tuple(row[i] for i in kept) for row in rows)
        yield Listing(tuple(heads[i] for i in kept), shown, place="terminal", whole=True)
    yield from held_back.notes(view.summary)


def _peaks(study: Study, name: str, known: Figures) -> tuple[Cell, ...]:
    total, (limit, which) = known["memory_peak_bytes"], bound(known)
    whole = None if total is None else of_limit(total, limit) + (f" ({which})" if which else "")
    over = sparkline(study, study.timelines_of(name), study.kills_of(name))
    return (name, *(size(known[f"{part}_peak_bytes"]) for part in _PARTS), whole, over)


def _pod_peaks(study: Study, summary: Figures) -> Iterator[tuple[Cell, ...]]:
    for name, known in pods_of(summary):
        if known["memory_peak_bytes"] is not None:
            pod = name.removeprefix("pod").strip()
            over = sparkline(study, (of_pods(study, {pod}) if pod else study).pod_timelines)
            whole = of_limit(known["memory_peak_bytes"], known["memory_limit_bytes"])
            yield (name, *(size(known[f"{part}_peak_bytes"]) for part in _PARTS), whole, over)
    node = summary["node"]
    if study.node is not None and node and node["memory_peak_bytes"] is not None:
        whole = of_limit(node["memory_peak_bytes"], node["memory_limit_bytes"])
        peaks = (size(node[f"{part}_peak_bytes"]) for part in _PARTS)
        yield ("node", *peaks, whole, sparkline(study, [study.node]))


def _totals(summary: Figures) -> Listing:
    """Without the amounts of which there is nothing."""
    known = {**summary["containers"], **dict(pods_of(summary))}
    known |= {"node": summary["node"]} if summary["node"] else {}
    shown = [
        (head, key)
        for head, key in _TOTALS
        if not key.endswith("_bytes") or any(one.get(key) for one in known.values())
    ]
    heads = ("", "limit", "memory.high", *(head for head, _ in shown))
    rows = tuple(_total(name, one, [key for _, key in shown]) for name, one in known.items())
    return Listing(heads, rows, place="page", whole=True)


def _total(name: str, known: Figures, keys: list[str]) -> tuple[Cell, ...]:
    limit, high = known["memory_limit_bytes"], known.get("memory_high_bytes")
    values = (_cell(key, known.get(key)) for key in keys)
    return (Name(name), "none" if limit is None else Size(limit), None if high is None else Size(high), *values)


def _cell(key: str, value: int | None) -> Cell:
    return Size(value) if key.endswith("_bytes") and value is not None else value


MEMORY = Topic("Memory, peaks", headline=headline, sentences=sentences, more=memory_parts, section=pod_section)
