"""What to read back of a frozen container's swapped memory before it is thawed, and what a wake is learnt to touch.

A page that a process touches is mapped into it; one that was only read ahead is not. So what was in swap at a thaw
and is mapped at the next pause was touched in between, whether it was read ahead or not, and a wrong guess is
forgotten after one wake. What a first wake touches is not known. Then small mappings are taken: an interpreter's
stacks, data and heaps, without which it answers nothing, lie in those; what it merely holds lies in large ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from emu.policy.reclaiming import read_amount, wanted_bytes

NONE, TOUCHED = "none", "touched"
NEEDS_RECLAIM = "prefetch reads back reclaimed memory, and no reclaim is configured"
FIRST_WAKE_BYTES = 8 << 20
"""So much is read back by `touched` where no wake was seen yet."""
SPARE_BYTES = 4 << 20
"""Left free below the limit: what the app does first must not meet a limit that reading ahead has reached."""


def read_prefetch(text: str | int) -> str:
    """What to read ahead in its one form: `none`, `touched`, or an amount. ValueError with the accepted forms."""
    said = str(text).strip()
    if said in (NONE, TOUCHED):
        return said
    try:
        return read_amount(text)
    except ValueError as wrong:
        raise ValueError(f"{wrong}; or none, or touched") from None


@dataclass(frozen=True, slots=True)
class Area:
    """Pages of one process that lie next to each other, [begin, end), in a mapping of so many bytes."""

    pid: int
    begin: int
    end: int
    mapping_bytes: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin


@dataclass(frozen=True)
class Plan:
    """What to read back, in this order. `known_bytes`: of what is swapped, what the wake before touched; None: none
    was seen. `why`: less than was wanted; empty where it is all.
    """

    areas: tuple[Area, ...]
    swapped_bytes: int
    known_bytes: int | None
    why: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return total(self.areas)


def total(areas: Iterable[Area]) -> int:
    """Bytes of all of them."""
    return sum(area.size for area in areas)


def plan(wanted: str, swapped: Sequence[Area], touched: Sequence[Area] | None, room_bytes: int) -> Plan:
    """What of `swapped` to read back, where `room_bytes` are free below the limits; `touched` as `learn` gave it."""
    known = () if touched is None else tuple(common(swapped, touched))
    rest = sorted(without(swapped, known), key=lambda area: (area.mapping_bytes, area.pid, area.begin))
    whole = total(swapped)
    if wanted != TOUCHED:
        budget = wanted_bytes(wanted, whole)
    elif touched is None:
        budget = FIRST_WAKE_BYTES
    else:
        budget, rest = whole, []
    room = max(0, room_bytes - SPARE_BYTES)
    taken = tuple(first((*known, *rest), min(budget, room)))
    why = "the memory limit leaves no more room" if room < min(budget, total((*known, *rest))) else ""
    return Plan(taken, whole, None if touched is None else total(known), why)


def learn(before: Sequence[Area] | None, swapped: Sequence[Area], back: Sequence[Area]) -> tuple[Area, ...]:
    """What the next wake is expected to touch: `back`, which is mapped at a pause and was `swapped` at the thaw, and
    what was known `before` of pages that were not swapped then.
    """
    return (*common(swapped, back), *without(before or (), swapped))


def first(areas: Iterable[Area], most_bytes: int) -> Iterator[Area]:
    """The first of them, up to so many bytes; the last one may be cut."""
    left = most_bytes
    for area in areas:
        if left <= 0:
            return
        yield area if area.size <= left else replace(area, end=area.begin + left)
        left -= area.size


def common(areas: Iterable[Area], others: Iterable[Area]) -> Iterator[Area]:
    """The parts of `areas` that are in `others` too, by process and address."""
    spans = _Spans(others)
    for area in areas:
        for begin, end in spans.within(area):
            yield replace(area, begin=begin, end=end)


def without(areas: Iterable[Area], others: Iterable[Area]) -> Iterator[Area]:
    """The parts of `areas` that are not in `others`."""
    spans = _Spans(others)
    for area in areas:
        at = area.begin
        for begin, end in spans.within(area):
            if begin > at:
                yield replace(area, begin=at, end=begin)
            at = end
        if at < area.end:
            yield replace(area, begin=at)


class _Spans:
    """Areas by process, in order of address; areas of one process do not overlap."""

    def __init__(self, areas: Iterable[Area]) -> None:
        self._of: dict[int, list[tuple[int, int]]] = {}
        for area in areas:
            self._of.setdefault(area.pid, []).append((area.begin, area.end))
        for spans in self._of.values():
            spans.sort()

    def within(self, area: Area) -> Iterator[tuple[int, int]]:
        """The parts of an area that they have, in order."""
        spans = self._of.get(area.pid, [])
        for at in range(max(0, bisect_right(spans, (area.begin, area.end)) - 1), len(spans)):
            begin, end = spans[at]
            if begin >= area.end:
                return
            if end > area.begin:
                yield max(begin, area.begin), min(end, area.end)
