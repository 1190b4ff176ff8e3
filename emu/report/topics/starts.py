"""Starts, in words: how fast from the coldest and the warmest, where the time goes, and what being warm keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.words import count
from emu.units import format_bytes, format_seconds


def start_headline(summary: dict[str, Any]) -> list[str]:
    """How long the first byte takes from each temperature; nothing for a run without starts."""
    known = _known(summary)
    if not known:
        return []
    times = ", ".join(f"{_time(one)} {name}" for name, one in known.items())
    numbers = {one["answered"] for one in known.values()}
    of = f"medians of {min(numbers)}{f' to {max(numbers)}' if len(numbers) > 1 else ''}"
    return [f"the first byte comes after {times}{'' if numbers == {1} else f' ({of})'}"]


def start_sentences(summary: dict[str, Any]) -> list[str]:
    """Nothing for a run without starts."""
    starts = summary["starts"]
    return list(_sentences(starts, _known(summary))) if starts else []


def _sentences(starts: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    for name in ("cold", "warm-disk", "warm-page-cache"):
        if name in known:
            yield f"A {name} start spends most on {_longest(known[name])}."
            break
    disk, cached = known.get("warm-disk"), known.get("warm-page-cache")
    if disk and cached and disk["io_read_bytes"] is not None and cached["io_read_bytes"] is not None:
        yield (
            f"Without the page cache the app reads {format_bytes(disk['io_read_bytes'])} from the disk as it starts, "
            f"with it {format_bytes(cached['io_read_bytes'])}."
        )
    frozen, swap = known.get("warm-memory"), known.get("warm-swap")
    if frozen and swap:
        kept = f"A frozen pod keeps {format_bytes(frozen['held_bytes'])}, and its first answer takes {_time(frozen)}"
        left = f"{format_bytes(swap['held_bytes'])}, with {format_bytes(swap['held_swap_bytes'])} in swap"
        yield f"{kept}; reclaimed, it keeps {left}, and takes {_time(swap)}."
    early = starts["frozen_early"]
    if early:
        starts_ = count(early, "start")
        yield f"In {starts_} the freezer paused the app before its first request, which had to wait for the thaw."
    if starts["failed"]:
        yield f"{count(starts['failed'], 'start')} failed."
    if starts["mistaken"]:
        yield f"{count(starts['mistaken'], 'start')} found the pod at another temperature than was prepared."


def _known(summary: dict[str, Any]) -> dict[str, Any]:
    starts = summary["starts"]
    return {name: one for name, one in starts["temperatures"].items() if one["answered"]} if starts else {}


def _time(figures: dict[str, Any]) -> str:
    return format_seconds(figures["first_byte_ms"]["p50"] / 1e3)


def _longest(figures: dict[str, Any]) -> str:
    stages = sorted(figures["stages_ms"].items(), key=lambda one: -one[1])[:3]
    return ", ".join(f"{name} ({format_seconds(ms / 1e3)})" for name, ms in stages)
