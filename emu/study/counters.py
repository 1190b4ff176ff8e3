"""When a counter rose, and by how much: from the samples and from the recorder's own events together.

Both read the same file of the kernel, so each value is reported up to twice; the running maximum counts it once.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from emu.record.events import Owner
from emu.study.model.study import Study
from emu.study.model.timeline import Column, Timeline


class Rise(NamedTuple):
    """A counter of memory.events rose: seen at `t`, by so many."""

    t: float
    by: int


def rises(study: Study, owner: Owner, counter: str, *, below: bool | None = None) -> list[Rise]:
    """When a counter of memory.events of a cgroup rose. `below` True also counts the cgroups under it, False only
    its own level. By default a container counts with all below it (whatever its processes make there is its own),
    and the pod alone.
    """
    whole = bool(owner.container) if below is None else below
    line = study.timeline_of(owner)
    readings: list[tuple[float, int]] = []
    if line is not None:
        readings += _values(line, counter, whole)
    for mark in study.marks_of(owner):
        if mark.local != whole and counter in mark.values:
            readings.append((mark.t, mark.values[counter]))
    found: list[Rise] = []
    top = 0
    for t, value in sorted(readings):
        if value > top:
            found.append(Rise(t, value - top))
            top = value
    return found


def _values(line: Timeline, counter: str, whole: bool) -> list[tuple[float, int]]:
    """Each change of a counter in a timeline."""
    column: Column = (line.events_all if whole else line.events).get(counter, [])
    found: list[tuple[float, int]] = []
    for t, value in zip(line.t, column, strict=False):
        if value is not None and (not found or found[-1][1] != value):
            found.append((t, value))
    return found


def value_at(t: list[float], column: Column, when: float) -> int | None:
    """The last value measured at or before a time."""
    return next((value for value in reversed(column[: bisect_right(t, when)]) if value is not None), None)
