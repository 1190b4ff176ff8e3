"""Freezing: how often and how long a pod was frozen, what memory that gave back, and what waking cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from emu.report.entry import Entry
from emu.report.topics.topic import Figures, Listing, MemoryPanel, Topic
from emu.report.words import count, milliseconds, size
from emu.study.measures import add, percentile, spread
from emu.study.model.freezes import Freeze
from emu.study.model.study import Study
from emu.units import format_bytes, format_seconds, often


def figures(study: Study) -> Figures:
    """`freezes`, each of them, and `freezer`, what the daemon did."""
    return {"freezes": [_freeze(freeze) for freeze in study.freezes], "freezer": _freezer(study)}


def _freeze(freeze: Freeze) -> dict[str, Any]:
    fields = {**asdict(freeze), "pod": freeze.pod or None}
    memory, wake = fields.pop("memory"), fields.pop("wake")
    return {**fields, **memory, **{f"wake_{name}": value for name, value in wake.items()}}


def _freezer(study: Study) -> dict[str, Any] | None:
    """What the freezer daemon did; None in a run without one."""
    use = study.freezer
    if use is None:
        return None
    end = study.duration_s
    spans = [(one.frozen_at_s, end if one.thawed_at_s is None else one.thawed_at_s) for one in study.freezes]
    reclaimed = [freeze.memory.reclaimed_bytes for freeze in study.freezes]
    prefetched = [freeze.wake.prefetched_bytes for freeze in study.freezes]
    return {
        "pauses": len(use.pause_ms),
        "resumes": len(use.resume_ms),
        "failed": len(use.failed),
        "frozen_s": sum(until - since for since, until in spans),
        "pause_ms": spread(use.pause_ms),
        "resume_ms": spread(use.resume_ms),
        "reclaimed_bytes": add(reclaimed),
        "prefetched_bytes": add(prefetched),
        "served_frozen": use.served_frozen,
    }


def headline(study: Study, summary: Figures) -> list[str]:
    """That it was frozen, and what it kept then: the story of such a run, beside which its swap is a detail."""
    parts = []
    for name in study.containers:
        freezes = [freeze for freeze in study.freezes if freeze.container == name]
        if study.freezer is None or not freezes:
            continue
        text = f"{name} was frozen {often(len(freezes))}"
        asked = [one.memory for one in freezes if one.memory.reclaimed_bytes is not None]
        if asked:
            most = max(asked, key=lambda memory: memory.reclaimed_bytes or 0)
            text += f" and gave back up to {format_bytes(most.reclaimed_bytes)}"
        parts.append(f"{text}{_waking(freezes)}")
    return parts


def _waking(freezes: list[Freeze]) -> str:
    """What waking cost: the answer that waited for it, and what had to be read back."""
    woken = [one for one in freezes if one.wake.latency_ms is not None]
    if not woken:
        return ""
    times = sorted(one.wake.latency_ms or 0.0 for one in woken)
    least, most = (format_seconds(one / 1e3) for one in (times[0], times[-1]))
    who = "the answer that waited for it" if len(woken) == 1 else f"the {len(woken):,} answers that waited for it"
    text = f"; waking, {who} took {most if least == most else f'{least} to {most}'}"
    read = max((one.wake.swap_in_bytes or 0 for one in woken), default=0)
    return f"{text}, with {format_bytes(read)} read back from swap" if read else text


def sentences(study: Study, summary: Figures) -> list[str]:
    """Nothing for a run without a freezer."""
    use = study.freezer
    if use is None:
        return []
    found = [text for name in study.containers for text in _of(study, name)]
    if use.failed:
        found.append(f"{count(len(use.failed), 'freezer action')} failed, first: {use.failed[0]}.")
    if use.served_frozen:
        found.append(f"Requests were forwarded to a frozen app {often(use.served_frozen)}.")
    return found


def _of(study: Study, name: str) -> Iterator[str]:
    freezes = [freeze for freeze in study.freezes if freeze.container == name]
    if not freezes:
        return
    end = study.duration_s
    spans = [(end if one.thawed_at_s is None else one.thawed_at_s) - one.frozen_at_s for one in freezes]
    text = f"{name} was frozen {often(len(freezes))}, {format_seconds(sum(spans))} of {format_seconds(end)}"
    costs = [
        f"{verb} took {took}"
        for verb, took in (
            ("pausing", _half([one.freeze_ms for one in freezes])),
            ("resuming", _half([one.thaw_ms for one in freezes])),
        )
        if took is not None
    ]
    yield f"{text}{'; ' if costs else ''}{' and '.join(costs)}."
    yield from _given_back(name, freezes)


def _given_back(name: str, freezes: list[Freeze]) -> Iterator[str]:
    asked = [one for one in freezes if one.memory.reclaimed_bytes is not None]
    if not asked:
        return
    most = max(asked, key=lambda one: one.memory.reclaimed_bytes or 0)
    memory, wake = most.memory, most.wake
    text = f"While frozen, {name} gave back up to {format_bytes(memory.reclaimed_bytes)}"
    swapped = (memory.swap_frozen_bytes or 0) - (memory.swap_before_bytes or 0)
    text += f", {format_bytes(swapped)} of it to swap" if swapped > 0 else ""
    if wake.swap_in_bytes:
        faults = count(wake.major_faults or 0, "major fault")
        text += f"; going on, it read {format_bytes(wake.swap_in_bytes)} back with {faults}"
    yield f"{text}."
    yield from _read_ahead(asked)
    kept = next((one.memory.kept_why for one in asked if one.memory.kept_why), None)
    if kept:
        yield f"Not all of it came back: {kept}."


def _read_ahead(freezes: list[Freeze]) -> Iterator[str]:
    """Of the last wake that was helped, which knows most."""
    helped = [one for one in freezes if one.wake.prefetched_bytes is not None and one.wake.prefetch_ms is not None]
    if not helped:
        return
    wake = helped[-1].wake
    known = wake.prefetch_known_bytes
    what = "no wake was seen before" if known is None else f"{format_bytes(known)} known from the wake before"
    text = f"Ahead of the last such resume {format_bytes(wake.prefetched_bytes or 0)} were read back ({what})"
    took = format_seconds((wake.prefetch_ms or 0.0) / 1e3)
    yield f"{text}, which held it up for {took}; {count(wake.major_faults or 0, 'major fault')} followed."


def _half(values: list[float | None]) -> str | None:
    """A median, with of how many; one alone is that one."""
    known = sorted(value for value in values if value is not None)
    half = percentile(known, 0.5)
    of = f" (median of {len(known)})" if len(known) > 1 else ""
    return None if half is None else f"{format_seconds(half / 1e3)}{of}"


def listing(study: Study) -> Listing | None:
    """A row for each freeze."""
    heads = (
        "container", "frozen at", "for", "pause", "resume", "anon before", "anon frozen", "cache before",
        "cache frozen", "swap", "reclaimed", "first answer", "major faults", "swapped in", "read ahead",
    )  # fmt: skip
    reasons = dict.fromkeys(one.memory.kept_why for one in study.freezes if one.memory.kept_why)
    hints = tuple(f"Not all was reclaimed: {why}." for why in reasons)
    return Listing(heads, tuple(map(_row, study.freezes)), hints) if study.freezes else None


def _row(one: Freeze) -> tuple[str | int | None, ...]:
    memory, wake, thawed = one.memory, one.wake, one.thawed_at_s
    return (
        one.container,
        f"{one.frozen_at_s:.3f} s",
        "not thawed" if thawed is None else format_seconds(thawed - one.frozen_at_s),
        milliseconds(one.freeze_ms),
        milliseconds(one.thaw_ms),
        size(memory.anon_before_bytes),
        size(memory.anon_frozen_bytes),
        size(memory.file_before_bytes),
        size(memory.file_frozen_bytes),
        size(memory.swap_frozen_bytes),
        size(memory.reclaimed_bytes),
        milliseconds(wake.latency_ms),
        wake.major_faults,
        size(wake.swap_in_bytes),
        size(wake.prefetched_bytes),
    )


def log(study: Study) -> Iterator[Entry]:
    """When each began and ended."""
    for freeze in study.freezes:
        yield Entry(freeze.frozen_at_s, "emu", f"{freeze.container} froze")
        if freeze.thawed_at_s is not None:
            yield Entry(freeze.thawed_at_s, "emu", f"{freeze.container} thawed")


def behind(on: MemoryPanel) -> None:
    """While a container was frozen."""
    canvas, panel = on.canvas, on.panel
    for freeze in on.study.freezes:
        if freeze.container == on.name:
            until = canvas.end_s if freeze.thawed_at_s is None else freeze.thawed_at_s
            canvas.band(panel, freeze.frozen_at_s, until, "var(--frozen)")
            if not canvas.short_of(0.06, freeze.frozen_at_s, until):
                canvas.words(panel, (freeze.frozen_at_s + until) / 2, 0.9, "frozen")


FREEZES = Topic("Freezes", figures, headline, sentences, listing, log=log, behind=behind)
