"""What page cache, swap and stalls did, in words: the part of the story where nothing is killed.

`max` in memory.events counts how often the limit was touched and memory was made free in time. Where `oom` stays 0
that is the price of a small limit (files read again, pages swapped), not a near death.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.report.page.canvas import RECLAIM_LEGEND
from emu.report.page.downsample import rates, step_of
from emu.report.page.scale import ByteScale
from emu.report.page.steps import draw_steps
from emu.report.topics.kernel_memory import HELD_FOR
from emu.report.topics.machine import zram_peaks
from emu.report.topics.topic import Drawing, Figures, Topic
from emu.report.words import count, listed, of_limit, pods_of
from emu.study.measures import Window, times
from emu.study.model.machine import ZRAM
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import counting
from emu.study.stalls import stalls
from emu.units import format_bytes, format_seconds, format_step, often

COLUMNS = (("read again", "refault_bytes"),)
"""Of the table of memory: a column's head, and its name in summary.json."""
WORTH_A_WORD = 2**20
"""Less traffic than this is noise of starting up."""
RATES = {
    "scanned": ("scanned", "scanned"),
    "reclaimed": ("reclaimed", "taken"),
    "page cache read again": ("refaults", "file"),
    "brought back from swap": ("refaults_anon", "swap"),
    "compressed into zswap": ("zswap_out", "zswap"),
}
"""Lines of the panel of reclaim, each with its column, in pages, and its colour."""
KERNEL_SHARE = 0.2
"""Kernel memory from this share of the limit on is worth a sentence."""
NEXT_TO_NOTHING = 0.1
MUCH_DIRTY = 16 * 2**20
"""Less than this is written out in the time of a request or two."""
MANY_FAULTS = 8192
"""Page faults in a phase from which on one of them can be said to take so long."""
STALLED = 0.05
"""A container that stalled for this share of the run is worth a sentence."""


def figures(window: Window, lines: list[Timeline], study: Study) -> Figures:
    """What a window of time saw come back after it had been dropped."""
    page = study.machine.page_bytes
    return {
        "refault_bytes": times(window.counted(lines, "refaults"), page),
        "swap_refault_bytes": times(window.counted(lines, "refaults_anon"), page),
        "zswap_out_bytes": times(window.counted(lines, "zswap_out"), page),
        "zswap_in_bytes": times(window.counted(lines, "zswap_in"), page),
        "zswap_written_bytes": times(window.counted(lines, "zswap_written"), page),
        "reclaim_scanned_bytes": times(window.counted(lines, "scanned"), page),
        "reclaimed_bytes": times(window.counted(lines, "reclaimed"), page),
        "page_faults": window.counted(lines, "pgfault"),
        "major_faults": window.counted(lines, "pgmajfault"),
    }


def swap_event_figures(window: Window, lines: list[Timeline]) -> dict[str, int | None]:
    """memory.swap.events, by counter; None each where it was never read."""
    return {
        name: window.rise((line, line.swap_events[name]) for line in lines if name in line.swap_events)
        for name in ("high", "max", "fail")
    }


def headline(study: Study, summary: Figures) -> list[str]:
    """Who lives on swap, and who read files again because the page cache had no room."""
    swap = [words for name in study.containers if (words := _swap(study, name, summary["containers"][name]))]
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
        if _held_before(figures):
            found.append(
                f"{name} read {amount}files{limit}, {again} of which the page cache had held before and dropped"
            )
            continue
        found.append(f"{name} read {amount}files{limit}, {again} of it again after the page cache had dropped it")
    return found


def _write_headline(study: Study, summary: Figures) -> list[str]:
    """Who wrote more to files than its limit holds: it waited for the disk. Besides, who could leave much dirty."""
    waited, others = [], []
    for name in study.containers:
        figures = summary["containers"][name]
        limit, written, dirty = (figures[f"{what}_bytes"] for what in ("memory_limit", "disk_write", "dirty_peak"))
        if limit is None:
            continue
        if written is not None and written > limit:
            most = "" if dirty is None else f", at most {format_bytes(dirty)} of it dirty at a time"
            took = _answered_within(name, summary)
            waited.append(f"{name} wrote {format_bytes(written)} of files to disk{_under(limit)}{most}{took}")
        elif (dirty or 0) >= MUCH_DIRTY:
            took = _answered_within(name, summary)
            others.append(f"{name} had up to {format_bytes(dirty)} dirty{_under(limit)}{took}")
    return [*waited, *others] if waited else []


def _answered_within(name: str, summary: Figures) -> str:
    """`, and answered within 7.6 s`, of a container in one of several pods; else nothing."""
    pod, _, _ = name.rpartition("/")
    known = (summary.get("pods") or {}).get(pod, {}).get("requests") or {}
    longest = (known.get("latency_ms") or {}).get("max")
    return "" if longest is None else f", and answered within {format_seconds(longest / 1e3)}"


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
        if name not in emptied and (words := _swap(study, name, figures)):  # the freeze shows what went to swap then
            found.append(f"{words}.")
        if name not in thrashed:
            found += _near_hits(name, figures)
        found += _kernel(name, figures)
        found += _stalls(study, name, figures)
    return [*found, *_pods_near_hits(study, summary, thrashed), *fault_costs(summary)]


def fault_costs(summary: Figures) -> list[str]:
    """What a page fault cost where there was room, and where a page had to be swapped out for it: of phases whose
    requests were answered.
    """
    found: dict[bool, list[str]] = {True: [], False: []}
    for phase in summary["phases"].values():
        for name, figures in phase["containers"].items():
            faults, cpu_s = figures["page_faults"] or 0, figures["cpu_s"]
            if faults >= MANY_FAULTS and cpu_s is not None and phase["requests"]["answered"]:
                swapped = max(figures["swap_io_write_bytes"] or 0, figures["zswap_out_bytes"] or 0) >= WORTH_A_WORD
                found[swapped].append(f"{format_seconds(cpu_s / faults)} in {name} ({faults:,} faults)")
    if not found[True] or not found[False]:
        return []
    return [
        f"Processor time of a page fault: {listed(found[False])}, and {listed(found[True])}, where pages had to be "
        "swapped out to make room: whoever needs a page does that work itself."
    ]


def _churned(figures: dict[str, Any]) -> bool:
    return (figures["refault_bytes"] or 0) >= WORTH_A_WORD


def _held_before(figures: Figures) -> bool:
    """As good as all that its page cache ever held had been in one before, without being read by it: what it read for
    the first time is next to nothing beside that. It had written them, or another container had them. Who reads the
    same files over and over had read all of them once.
    """
    read = figures["disk_read_bytes"] if figures["disk_read_bytes"] is not None else figures["io_read_bytes"]
    held, again = figures["file_peak_bytes"], figures["refault_bytes"]
    return bool(read and held) and abs(read - again) <= NEXT_TO_NOTHING * min(read, held)


def _cache(study: Study, name: str, figures: dict[str, Any]) -> list[str]:
    if not _churned(figures):
        return []
    pages = figures["refault_bytes"] // study.machine.page_bytes
    size = format_bytes(figures["refault_bytes"])
    text = f"{name}: {count(pages, 'page')} of page cache ({size}) had to be read again"
    if _held_before(figures):
        text += ", which it had written, or another container had held"
    peak = figures["file_peak_bytes"]
    text += "" if peak is None else f"; its page cache peaked at {of_limit(peak, figures['memory_limit_bytes'])}"
    return [f"{text}."]


def _swap(study: Study, name: str, figures: dict[str, Any]) -> str:
    peak, out, back = figures["swap_peak_bytes"], figures["swap_io_write_bytes"], figures["swap_io_read_bytes"]
    if max(peak or 0, out or 0) < WORTH_A_WORD:
        return ""
    zswapped = figures["zswapped_peak_bytes"] or 0
    all_compressed = zswapped >= WORTH_A_WORD and out == 0 and not back
    parts = []
    to_memory = study.machine.swaps_to == ZRAM
    if to_memory and (out or 0) < (peak or 0):  # kernels before 6.4 count only what goes there in large pieces
        out = back = None
    if out is not None and not all_compressed:
        parts.append(f"{format_bytes(out)} out")
    if back is not None and not all_compressed:
        parts.append(f"{format_bytes(back)} in")
    if peak is not None:
        where = f", in memory of the node ({ZRAM}){_zram_took(zram_peaks(study))}" if to_memory else ""
        parts.append(f"{format_bytes(peak)} there at the peak{where}")
    if zswapped >= WORTH_A_WORD:
        taken = format_bytes(figures["zswap_peak_bytes"] or 0)
        written = ", and nothing went to the swap device" if all_compressed else ""
        parts.append(
            f"up to {format_bytes(zswapped)} of it compressed in memory, where it took {taken} (zswap){written}"
        )
    how = "swapped" if figures["oom_kills"] or figures["restarts"] else "lives on swap"  # it did not live on
    return f"{name} {how}{_under(figures['memory_limit_bytes'])}: {', '.join(parts)}"


def _zram_took(host: Mapping[str, Any]) -> str:
    """What pages on zram took there; empty where that was not recorded."""
    stored, used = host.get("zram_stored_peak_bytes"), host.get("zram_peak_bytes")
    return "" if not stored or used is None else f", where {format_bytes(stored)} took {format_bytes(used)}"


def swap_words(summary: Figures) -> tuple[str, str]:
    """`disk`, `zswap` or `zram`, and what became of the pages of the container that swapped most; both empty where
    none swapped. From summary.json alone.
    """
    swapped = {
        name: known
        for name, known in (summary.get("containers") or {}).items()
        if (known.get("swap_peak_bytes") or 0) >= WORTH_A_WORD
    }
    if not swapped:
        return "", ""
    name = max(swapped, key=lambda one: swapped[one]["swap_peak_bytes"])
    known = swapped[name]
    held, out = format_bytes(known["swap_peak_bytes"]), known.get("swap_io_write_bytes")
    kept = known.get("zswapped_peak_bytes") or 0
    if (summary.get("machine") or {}).get("swaps_to") == ZRAM:
        took = _zram_took(summary.get("host") or {})
        return ZRAM, f"{held} of {name} went to memory that it is not charged for{took}"
    if kept >= WORTH_A_WORD:
        taken = format_bytes(known.get("zswap_peak_bytes") or 0)
        more = "" if out is None else f", and {format_bytes(out) if out else 'none'} was written to disk"
        return "zswap", f"{format_bytes(kept)} of {name} were compressed into {taken} that it is charged for{more}"
    return "disk", f"{name} wrote {held if out is None else format_bytes(out)} to disk"


def _under(limit: int | None) -> str:
    return "" if limit is None else f" under a limit of {format_bytes(limit)}"


def _pods_near_hits(study: Study, summary: Figures, thrashed: set[str]) -> list[str]:
    """The same of a pod's own limit: where each container has a limit the kubelet gives the pod their sum, which a
    pod of one container meets first.
    """
    found = []
    for name, figures in pods_of(summary):
        pod = name.removeprefix("pod").strip()
        mine = {one.container for one in study.instances if not pod or one.pod == pod}
        events = {
            **(figures.get("memory_events_local") or {}),
            "oom": (figures.get("memory_events") or {}).get("oom"),
        }
        if events.get("max") and not mine & thrashed:
            found += _near_hits(f"The {name}", {**figures, "memory_events": events})
    return found


def _near_hits(name: str, figures: dict[str, Any]) -> list[str]:
    """High `max` with `oom` 0 is cache churn or swapping, not danger."""
    events = figures["memory_events"]
    if not events["max"] or events["oom"] != 0:
        return []
    ways = ["dropping page cache"] if _churned(figures) or (figures["file_peak_bytes"] or 0) >= WORTH_A_WORD else []
    slab, limit = figures["slab_reclaimable_peak_bytes"] or 0, figures["memory_limit_bytes"] or 0
    ways += ["dropping reclaimable slab"] if slab >= max(WORTH_A_WORD, KERNEL_SHARE * limit) else []
    ways += ["swapping"] if (figures["swap_peak_bytes"] or 0) >= WORTH_A_WORD else []
    by = f" by {listed(ways)}" if ways else ""
    of = f" of {format_bytes(limit)}" if limit else ""
    return [
        f"{name} touched its limit{of} {often(events['max'])} (memory.events max) and the kernel made room each time"
        f"{by}: with oom 0 nothing is killed for that; it costs time."
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
        parts = {words: figures[f"{part}_peak_bytes"] or 0 for part, words in HELD_FOR.items()}
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


def panels(drawing: Drawing) -> None:
    """One, of bytes per second: what reclaim looked at and took, and what was wanted again."""
    canvas, study = drawing.canvas, drawing.study
    step = step_of(canvas.end_s, study.recorder.interval_s if study.recorder else None)
    moved = {name: _moved(study, column, step, canvas.end_s) for name, (column, _) in RATES.items()}
    moved = {name: values for name, values in moved.items() if any(values)}
    if not moved:
        if study.timelines:
            canvas.missing("Nothing was reclaimed, and nothing was read again: there is no reclaim to draw.")
        return
    scale = ByteScale.over(max(values) for values in moved.values())
    whose = "the pod" if len(study.pods) < 2 else "all pods"
    title = f"<b>reclaim</b> from {whose}, and refaults · means over {format_step(step)}"
    panel = canvas.panel(title, 110, **scale.axis(4, "/s"))
    for name, values in moved.items():
        look = {"color": f"var(--reclaim-{RATES[name][1]})", "dash": "dot" if name == "scanned" else "solid"}
        shown, meta = [value / scale.factor for value in values], {"kind": "reclaim", "of": name}
        draw_steps(canvas, panel, RECLAIM_LEGEND, name, shown, step, f" {scale.unit}/s", look, meta)


def _moved(study: Study, column: str, step_s: float, end_s: float) -> list[float]:
    """Bytes per second in each step, of all pods."""
    lines = counting(study, lambda line: any(getattr(line, column)))
    each = [rates(line.t, getattr(line, column), step_s, end_s) for line in lines]
    return [sum(values) * study.machine.page_bytes for values in zip(*each, strict=True)]


CHURN = Topic("Churn", headline=headline, sentences=sentences, panels=panels)
