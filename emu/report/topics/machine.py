"""A machine that runs short of memory, in words: it slows every process, and may kill none of the pod's."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Topic
from emu.report.words import capital, count, listed, of_limit
from emu.study.measures import last
from emu.study.model.study import Study

SHORT_BYTES, SHORT_SHARE = 100 * 2**20, 0.1
"""A machine is short with less than this available: the kubelet's own threshold to evict, or on a small machine this
share of its memory.
"""


def figures(study: Study) -> Figures:
    """`host`: the memory of the whole machine, and whether it ran short."""
    host = study.host
    available = [value for value in host.available if value is not None]
    used = [value for value in host.swap_used if value is not None]
    return {
        "host": {
            "memory_total_bytes": last(host.total),
            "memory_available_min_bytes": min(available, default=None),
            "swap_used_peak_bytes": max(used, default=None),
            "swap_total_bytes": last(host.swap_total),
            **zram_peaks(study),
            "reclaim_stalls": global_stalls(study),
            "ran_short": None if not available else machine_is_short(study) is not None,
            "other_kills": list(study.other_kills),
        }
    }


def zram_peaks(study: Study) -> dict[str, int | None]:
    """The size of pages on zram, and what they took in memory, each at its peak."""
    columns = {"zram_stored_peak_bytes": study.host.zram_stored, "zram_peak_bytes": study.host.zram}
    known = {name: [value for value in column if value is not None] for name, column in columns.items()}
    return {name: max(values, default=None) for name, values in known.items()}


def global_stalls(study: Study) -> int | None:
    """How often allocations had to reclaim from the whole machine in the run; None where that was not recorded."""
    known = [value for value in study.host.reclaim_stalls if value is not None]
    return known[-1] - known[0] if known else None


def machine_headline(study: Study) -> list[str]:
    """That the whole machine ran short, and whom else the kernel killed for it."""
    short = machine_is_short(study)
    found = [] if short is None else [machine_words(short)]
    return [*found, *([other_kills_words(study)] if study.other_kills else [])]


def sentences(study: Study, summary: Figures) -> list[str]:
    """The same, with what it means."""
    short, found = machine_is_short(study), []
    if short is not None:
        text = machine_words(short)
        found.append(f"{capital(text)} at the least; the kernel reclaims from everybody then, whatever the limits.")
        if stalls := global_stalls(study):
            waited = count(stalls, "allocation")
            found.append(f"{waited} had to wait for that (allocstall in /proc/vmstat).")
    if study.other_kills:
        found.append(f"For want of it, {other_kills_words(study)}: {listed(study.other_kills)}.")
    return found


def machine_is_short(study: Study) -> tuple[float, int, int] | None:
    """When the machine had the least available, how much, and all its memory, where that was next to nothing."""
    host = study.host
    rows = [
        (available - min(SHORT_BYTES, SHORT_SHARE * total), t, available, total)
        for t, available, total in zip(host.t, host.available, host.total, strict=False)
        if available is not None and total
    ]
    above, t, available, total = min(rows, default=(inf, 0.0, 0, 1))
    return (t, available, total) if above < 0 else None


def machine_words(short: tuple[float, int, int]) -> str:
    """`the machine itself ran short of memory: 5.2 of 969 MiB available`."""
    _, available, total = short
    return f"the machine itself ran short of memory: {of_limit(available, total)} available"


def other_kills_words(study: Study) -> str:
    """Processes outside the pod that the kernel killed because the machine had no memory left."""
    killed = count(len(study.other_kills), "process", "processes")
    return f"the kernel killed {killed} outside the pod"


def log(study: Study) -> Iterator[Entry]:
    """When it was shortest."""
    short = machine_is_short(study)
    if short is not None:
        yield Entry(short[0], "emu", machine_words(short), {"level": "warning"})


MACHINE = Topic("Machine", figures, sentences=sentences, log=log)
