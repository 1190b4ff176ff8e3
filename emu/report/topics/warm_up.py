"""A pod that came back from zero and whose first request read a file: what was read from disk before the pod was
ready, and what for the request. The rest was still in memory.

All of it is the kernel's: bytes of io.stat, pgmajfault and refaults of memory.stat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emu.report.topics.topic import Figures, Listing, Topic
from emu.report.words import listed
from emu.study.measures import Window, surely_read, times
from emu.study.model.requests import PhaseSpan, Request
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import workload
from emu.units import format_bytes, format_seconds


@dataclass(frozen=True)
class WarmUp:
    """The first request of a pod that was made for it. Seconds and bytes; None is not measured."""

    pod: str
    container: str
    phase: str
    file: str
    start_s: float
    """How long it waited in the activator: for the start of the pod."""
    request_s: float
    """From there to the end of its answer."""
    took_s: float
    """For the client, from its begin to the end of its answer."""
    start_disk_read_bytes: int | None
    """What the container read from disk before the request was sent on to it."""
    request_disk_read_bytes: int | None
    """And from then on to the end of the answer."""
    start_major_faults: int | None
    request_major_faults: int | None
    refault_bytes: int | None
    """Of both, what had been in the page cache before and was dropped."""


def warm_ups(study: Study) -> list[WarmUp]:
    """Of each pod that came back, in order of time."""
    reads = {phase.name: phase for phase in study.phases if phase.reads is not None}
    cold = [one for one in study.requests or () if one.cold and one.pod and one.forwarded_s is not None]
    firsts: dict[str, Request] = {}
    for one in sorted(cold, key=lambda one: one.forwarded_s or 0.0):
        firsts.setdefault(one.pod, one)
    found = (_warm_up(study, one, reads[one.phase]) for one in firsts.values() if one.phase in reads)
    return [one for one in found if one is not None]


def _warm_up(study: Study, one: Request, phase: PhaseSpan) -> WarmUp | None:
    lines = [
        line for owner, line in study.timelines.items() if owner.pod == one.pod and _is_its(owner.container, phase)
    ]
    forwarded, done, took = one.forwarded_s, one.done_s, one.latency_s
    if not lines or forwarded is None or done is None or took is None:
        return None
    before, while_ = Window(study, until_s=forwarded), Window(study, forwarded, surely_read(lines[-1], done))
    refaults = Window(study, until_s=surely_read(lines[-1], done)).counted(lines, "refaults")
    return WarmUp(
        pod=one.pod,
        container=phase.container,
        phase=phase.name,
        file=phase.reads or "",
        start_s=forwarded - one.begin_s,
        request_s=done - forwarded,
        took_s=took,
        start_disk_read_bytes=_read(before, lines),
        request_disk_read_bytes=_read(while_, lines),
        start_major_faults=before.counted(lines, "pgmajfault"),
        request_major_faults=while_.counted(lines, "pgmajfault"),
        refault_bytes=times(refaults, study.machine.page_bytes),
    )


def _is_its(container: str, phase: PhaseSpan) -> bool:
    """Of a study whose containers are called `pod/container` too."""
    return container.rpartition("/")[2] == phase.container


def _read(window: Window, lines: list[Timeline]) -> int | None:
    io = window.io(lines)
    return io["io_read_bytes"] if io["disk_read_bytes"] is None else io["disk_read_bytes"]


def figures(study: Study) -> Figures:
    """`warm_ups`: one for each pod that came back."""
    return {"warm_ups": [asdict(one) for one in warm_ups(study)]}


def headline(study: Study, summary: Figures) -> list[str]:
    """The last one: a pod that came for the first request of a run found what was there before the run."""
    return [f"{_read_words(one)}, and took {_took_words(one)}" for one in summary["warm_ups"][-1:]]


def sentences(study: Study, summary: Figures) -> list[str]:
    """Whose page cache it was: what a pod read before it was removed outlives it."""
    return list(_sentences(summary["warm_ups"]))


def _sentences(found: list[dict[str, Any]]) -> Iterator[str]:
    for one in found:
        start, request = one["start_disk_read_bytes"], one["request_disk_read_bytes"]
        if start is None or request is None:
            continue
        who = f"{workload(one['pod'])}/{one['container']}"
        if start + request < 2**20:
            yield (
                f"{who} came back and found {one['file']} in memory: the pages that the pod before it had read "
                "outlived it, because nothing else needed the memory."
            )
        elif start > request:
            yield f"{who} read {format_bytes(start)} from disk before it was ready, while the request waited for it."
        if one["refault_bytes"]:
            yield (
                f"Of what {who} read from disk as it came back, {format_bytes(one['refault_bytes'])} had been in the "
                "page cache and was dropped when other pods needed the memory (refaults)."
            )


def _read_words(one: Mapping[str, Any]) -> str:
    size = one["request_disk_read_bytes"]
    read = "an unknown amount" if size is None else format_bytes(size)
    return f"the first request after scale to zero read {read} from disk"


def _took_words(one: Mapping[str, Any]) -> str:
    return (
        f"{format_seconds(one['took_s'])}: {format_seconds(one['start_s'])} for the start of the pod and "
        f"{format_seconds(one['request_s'])} in it"
    )


def compared(rows: Iterable[tuple[str, list[dict[str, Any]]]]) -> str:
    """Of several variants, by name: what the first request of the pod that came back last read, and how long it took;
    empty where there is nothing to compare.
    """
    lasts = [(name, found[-1]) for name, found in rows if found]
    known = [(name, one) for name, one in lasts if one["request_disk_read_bytes"] is not None]
    if len(known) < 2:
        return ""
    read = listed([f"{format_bytes(one['request_disk_read_bytes'])} with {name}" for name, one in known])
    waited = listed(
        [f"{format_seconds(one['took_s'])} ({format_seconds(one['request_s'])} in the pod)" for _, one in known]
    )
    return f"The first request after scale to zero read from disk {read}, and took {waited}"


def listing(study: Study) -> Listing | None:
    """A row for each pod that came back."""
    found = warm_ups(study)
    if not found:
        return None
    heads = (
        "container", "file", "start", "from disk by then", "request", "from disk for it", "major faults", "refaults"
    )  # fmt: skip
    rows = tuple(
        (
            f"{workload(one.pod)}/{one.container}" if one.pod else one.container,
            one.file,
            format_seconds(one.start_s),
            _size(one.start_disk_read_bytes),
            format_seconds(one.request_s),
            _size(one.request_disk_read_bytes),
            one.request_major_faults,
            _size(one.refault_bytes),
        )
        for one in found
    )
    return Listing(heads, rows, (_HINT,))


_HINT = (
    "The first request of each pod that came back. Start: its wait in the activator. Request: from there to its end."
)


def _size(value: int | None) -> str | None:
    return None if value is None else format_bytes(value)


WARM_UP = Topic("Warm-up", figures, headline, sentences, listing)
