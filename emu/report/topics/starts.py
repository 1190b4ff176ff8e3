"""Starts, in words: how fast from the coldest and the warmest, where the time goes, and what being warm keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from emu.policy.starts import IMAGE
from emu.report.entry import Entry
from emu.report.page.starts_pictures import starts_pictures
from emu.report.topics.topic import Cell, Column, Drawing, Figures, Listing, Name, Part, Picture, Topic, View
from emu.report.words import count, latency_cells, listed, milliseconds, of_limit, size
from emu.study.model.study import Study
from emu.study.starts import starts_summary
from emu.units import format_bytes, format_seconds

MOST_STAGES = 3
"""Of a start, those that took longest."""
_GIB, _HOUR_S = 2**30, 3600


def figures(study: Study) -> Figures:
    """`starts`: each temperature with its latencies and costs; null for a run without starts."""
    return {"starts": starts_summary(study.starts)}


def headline(study: Study, summary: Figures) -> list[str]:
    """How long the first byte takes from each temperature; nothing for a run without starts."""
    known = _known(summary)
    if not known:
        return []
    times = ", ".join(f"{_time(one)} {name}" for name, one in known.items())
    numbers = {one["answered"] for one in known.values()}
    of = f"medians of {min(numbers)}{f' to {max(numbers)}' if len(numbers) > 1 else ''}"
    return [f"the first byte comes after {times}{'' if numbers == {1} else f' ({of})'}"]


def sentences(study: Study, summary: Figures) -> list[str]:
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
    cold = known.get("cold", {})
    if cold.get("image_cached_after_bytes") is not None:
        yield (
            f"The app's image has {format_bytes(cold['image_bytes'])} of files; after it was loaded "
            f"{format_bytes(cold['image_cached_after_bytes'])} of them were in the page cache."
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


def _known(summary: Figures) -> dict[str, Any]:
    starts = summary["starts"]
    return {name: one for name, one in starts["temperatures"].items() if one["answered"]} if starts else {}


def _time(figures: dict[str, Any]) -> str:
    return format_seconds(figures["first_byte_ms"]["p50"] / 1e3)


def _longest(figures: dict[str, Any]) -> str:
    stages = sorted(figures["stages_ms"].items(), key=lambda one: -one[1])[:3]
    return ", ".join(f"{name} ({format_seconds(ms / 1e3)})" for name, ms in stages)


def compared(played: Iterable[tuple[str, dict[str, Any] | None]]) -> list[str]:
    """Of several variants, by name: how long a start took from each temperature that all have, and how much of it the
    image did; the coldest first. Nothing where there is nothing to compare.
    """
    found = [(name, _known({"starts": starts})) for name, starts in played if starts]
    if len(found) < 2:
        return []
    common = [one for one in found[0][1] if all(one in known for _, known in found)]
    said = [_compared(one, [(name, known[one]) for name, known in found]) for one in common]
    loaded = {name: known[common[0]] for name, known in found} if common else {}
    if loaded and all(one.get("image_cached_after_bytes") is not None for one in loaded.values()):
        each = [
            f"{of_limit(one['image_cached_after_bytes'], one['image_bytes'])} with {name}"
            for name, one in loaded.items()
        ]
        said.append(f"Of the image's files so much was in the page cache once it was loaded: {listed(each)}")
    return said


def _compared(temperature: str, each: list[tuple[str, dict[str, Any]]]) -> str:
    took = []
    for name, one in each:
        image = one["stages_ms"].get(IMAGE)
        size = "" if one.get("image_bytes") is None else f" of {format_bytes(one['image_bytes'])}"
        of = "" if image is None else f" ({format_seconds(image / 1e3)} for the image{size})"
        took.append(f"{_time(one)} with {name}{of}")
    return f"The first byte of a {temperature} start came after {listed(took)}"


def parts(view: View) -> Iterator[Part]:
    """A row for each temperature, and on the page where the time goes."""
    starts = view.summary.get("starts")
    if not starts:
        return
    heads = (
        "from", "trials", "n", "first byte p50", "p90", "p99", "max", "end p50", Column("page faults", "page"),
        "major faults", "read", "swapped in", "held idle", "in swap", Column("GiB·s / idle hour", "page"),
        Column("where the time goes", "terminal"),
    )  # fmt: skip
    rows = tuple(_row(name, one) for name, one in starts["temperatures"].items())
    hint = "Counted from when the activator had read the request. Read and faults are the app's."
    yield Listing(heads, rows, (hint,), whole=True)
    known = _known(view.summary)
    if known:
        yield Picture(lambda: starts_pictures(view.study, known))


def _row(name: str, one: dict[str, Any]) -> tuple[Cell, ...]:
    stages = sorted(one["stages_ms"].items(), key=lambda stage: -stage[1])[:MOST_STAGES]
    held = one["held_bytes"]
    return (
        Name(name),
        one["trials"],
        one["first_byte_ms"]["n"],
        *latency_cells(one["first_byte_ms"]),
        milliseconds(one["done_ms"]["p50"]),
        one["page_faults"],
        one["major_faults"],
        *(size(one[f"{part}_bytes"]) for part in ("io_read", "swap_in", "held", "held_swap")),
        None if held is None else f"{held / _GIB * _HOUR_S:.1f}",
        ", ".join(f"{stage} {milliseconds(took)}" for stage, took in stages),
    )


def log(study: Study) -> Iterator[Entry]:
    """Each request, and the first byte of its answer."""
    for start in study.starts:
        detail: dict[str, Any] = {"trial": start.trial, "temperature": start.temperature}
        yield Entry(start.arrived_s, "emu", f"a request came to a {start.temperature} pod", detail)
        if start.first_byte_s is not None:
            took = format_seconds(start.first_byte_s - start.arrived_s)
            text = f"the first byte of its answer came after {took}, status {start.status}"
            yield Entry(start.first_byte_s, "emu", text, detail)


def panels(drawing: Drawing) -> None:
    """Bands through all panels."""
    drawing.canvas.phases([(start.arrived_s, start.done_s, start.temperature) for start in drawing.study.starts])


STARTS = Topic(
    "Starts, from the request's arrival",
    figures,
    headline,
    sentences,
    more=parts,
    section=lambda view: "Starts",
    log=log,
    panels=panels,
)
