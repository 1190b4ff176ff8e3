"""Figures of one cgroup, or of a container over all its instances, within a stretch of time.

Peaks are the largest over the instances, counters are summed over them (each begins at 0 in its own cgroup). None
is what was not measured in any instance.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from emu.messages import SANDBOX
from emu.record.events import Owner
from emu.record.samples import NODE
from emu.study.counters import rises
from emu.study.model.machine import Device
from emu.study.model.requests import PhaseSpan
from emu.study.model.study import Study
from emu.study.model.timeline import Column, Timeline
from emu.study.swap_files import is_unsplit

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
"""Percentiles that are shown."""
MOST = "max"
EVENTS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill")


class Window:
    """A stretch of a run, to be measured: by default all of it."""

    def __init__(self, study: Study, begin_s: float = -inf, until_s: float = inf) -> None:
        self.study = study
        self.begin_s = begin_s
        self.until_s = until_s

    def peak(self, lines: Iterable[Timeline], column: str) -> int | None:
        """The largest value within, of the samples and of what the kernel's log says at OOM kills."""
        lines = list(lines)
        values = [value for line in lines for value in self._within(line, getattr(line, column)) if value is not None]
        return max(values + [value for line in lines for value in self._at_kills(line, column)], default=None)

    def _at_kills(self, line: Timeline, column: str) -> Iterator[int]:
        """What a cgroup held as the kernel killed in it: between two samples, so it may be more than either."""
        for kill in self.study.kills:
            whose = {"container": kill.owner, "pod": kill.owner.whole_pod, "node": NODE}.get(kill.level)
            if whose == line.owner and self.begin_s < kill.time_s <= self.until_s:
                held = {**kill.held, **kill.held_kernel}
                if column in held:
                    yield held[column]

    def held(self, lines: Iterable[Timeline], column: str) -> float | None:
        """How much was held for how long within, in GiB-seconds: each sample counts until the next one."""
        pairs = [(line.t, getattr(line, column)) for line in lines]
        if all(value is None for _, column_ in pairs for value in column_):
            return None
        return sum(self._area(t, values) for t, values in pairs) / 2**30

    def rise(self, pairs: Iterable[tuple[Timeline, Column]]) -> int | None:
        """How much counters rose within, together; each pair is a timeline and a column of it."""
        return add(self._rise_of(line.known, column) for line, column in pairs)

    def counted(self, lines: Iterable[Timeline], column: str) -> int | None:
        """How much a counter of the timelines rose within."""
        return self.rise((line, getattr(line, column)) for line in lines)

    def events(self, owners: Iterable[Owner], *, below: bool | None = None) -> dict[str, int | None]:
        """memory.events within, by counter; None each where it was never read."""
        known = [owner for owner in owners if self._has_events(owner)]
        if not known:
            return dict.fromkeys(EVENTS)
        found: dict[str, int | None] = {}
        for name in EVENTS:
            risen = [rise for owner in known for rise in rises(self.study, owner, name, below=below)]
            found[name] = sum(rise.by for rise in risen if self.begin_s < rise.t <= self.until_s)
        return found

    def io(self, lines: Iterable[Timeline]) -> dict[str, int | None]:
        """Bytes through block devices: all, those of swap, and those of all others. None where io.stat was absent,
        and for the parts where it was not recorded which device is which, or is not known what of one was swap.
        """
        measured = [line for line in lines if line.has_io]
        devices = self.study.machine.devices
        every = list(dict.fromkeys(device for line in measured for device in line.io))
        swap = [device for device in every if _is_swap(devices, device)]
        rest = [device for device in every if device not in swap]
        parts = {"io": every, "swap_io": swap, "disk": rest}
        known = bool(devices) and not any(is_unsplit(devices, line) for line in measured)
        found: dict[str, int | None] = {}
        for part, chosen in parts.items():
            for way in ("read", "write"):
                counted = bool(measured) and (part == "io" or known)
                found[f"{part}_{way}_bytes"] = self._bytes(measured, chosen, f"{way}_bytes") if counted else None
        return found

    def _bytes(self, lines: list[Timeline], devices: list[str], way: str) -> int:
        pairs = [(line, getattr(line.io[device], way)) for line in lines for device in devices if device in line.io]
        return self.rise(pairs) or 0

    def _within(self, line: Timeline, column: Column) -> Column:
        first = max(0, bisect_right(line.t, self.begin_s) - 1)
        last = bisect_right(line.t, self.until_s)
        return [] if line.t and line.t[-1] < self.begin_s else column[first:last]

    def _area(self, t: list[float], column: Column) -> float:
        spans = ((max(a, self.begin_s), min(b, self.until_s)) for a, b in pairwise(t))
        return sum(value * (b - a) for (a, b), value in zip(spans, column, strict=False) if value and b > a)

    def _rise_of(self, known: list[float], column: Column) -> int | None:
        if all(value is None for value in column):
            return None
        before = last(column[: bisect_right(known, self.begin_s)]) or 0
        after = last(column[: bisect_right(known, self.until_s)]) or 0
        return after - before

    def _has_events(self, owner: Owner) -> bool:
        line = self.study.timeline_of(owner)
        if line is not None and (line.events or line.events_all):
            return True
        return bool(self.study.marks_of(owner))


def last(column: Column) -> int | None:
    """The last value measured."""
    return next((value for value in reversed(column) if value is not None), None)


def limit_at_peak(lines: Iterable[Timeline], limit: int | None) -> int | None:
    """memory.max when most was charged; `limit`, the last one, unless a resize has changed it meanwhile."""
    read = [pair for line in lines for pair in zip(line.memory_current, line.memory_max, strict=False)]
    if len({most for _, most in read if most is not None}) < 2:
        return limit
    return max(((current or 0, most) for current, most in read), key=lambda pair: pair[0])[1]


def surely_read(line: Timeline, t: float) -> float:
    """By when a sample has surely been read that was begun after `t`."""
    following = bisect_left(line.t, t)
    return line.known[following] if following < len(line.t) else inf


def first(column: Column) -> int | None:
    """The first value measured."""
    return next((value for value in column if value is not None), None)


def add(values: Iterable[int | None]) -> int | None:
    """The sum of what was measured; None if nothing was."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def times(value: int | None, factor: int) -> int | None:
    """A product, where there is something to multiply."""
    return None if value is None else value * factor


def rounded(value: Any) -> Any:
    """Floats to the microsecond, through lists and mappings: more was not measured."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return value


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The quantile of values in order, by linear interpolation between the two nearest (Hyndman and Fan's type 7, as
    NumPy's and R's default): the median of two is their mean. None of nothing.
    """
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = int(place)
    if below + 1 >= len(ordered):
        return ordered[-1]
    low, high = ordered[below], ordered[below + 1]
    return low + (high - low) * (place - below)


def median_answer_s(study: Study, phase: PhaseSpan) -> float | None:
    """How long the median answer to a phase's requests took; None where there was none."""
    taken = (one.latency_s for one in study.requests or () if one.phase == phase.name)
    return percentile(sorted(took for took in taken if took is not None), SHARES["p50"])


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """How many there are, and their percentiles."""
    ordered = sorted(values)
    return {"n": len(ordered), **{name: percentile(ordered, share) for name, share in SHARES.items()}}


def says_something(name: str, n: int | None) -> bool:
    """Whether a percentile of `n` values says more than the maximum does: a p99 of fewer than a hundred does not, nor
    a p90 of fewer than ten, nor a median of one.
    """
    return name == MOST or n is None or n * (1 - SHARES[name]) >= 1 - 1e-9


def _is_swap(devices: Mapping[str, Device], number: str) -> bool:
    return number in devices and devices[number].is_swap


def startup_s(study: Study, names: Iterable[str]) -> float | None:
    """Seconds from the making of the first of these containers to the moment when each had been ready once.

    For several the pod's sandbox counts as the first. None where one was never ready.
    """
    wanted = list(names)
    firsts = [study.instances_of(name)[:1] for name in wanted]
    ready = [
        next((one.ready_s for one in study.instances_of(name) if one.ready_s is not None), None) for name in wanted
    ]
    made = [one.created_s for found in firsts for one in found if one.created_s is not None]
    if len(wanted) > 1:
        made += [one.created_s for one in study.instances_of(SANDBOX) if one.created_s is not None]
    known = [time for time in ready if time is not None]
    return max(known) - min(made) if made and known and len(known) == len(wanted) else None
